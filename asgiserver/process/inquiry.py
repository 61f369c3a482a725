"""Asks all workers what they are doing, and waits for their answers, but not for long.

This module knows workers by what they are asked. It decides nothing about them.
"""

from __future__ import annotations

import math
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from asgiserver.process.stacks import STACKS_SIGNAL

if TYPE_CHECKING:
    from collections.abc import Callable

    from asgiserver.process.handle import WorkerHandle

__all__ = ["Inquiries"]

PATIENCE = 1.0
"""Seconds in which a worker's watchdog answers, unless C code holds the interpreter lock. Then the
worker gets a signal, whose handler needs no lock."""

DEADLINE = 2.5
"""Seconds after which an inquiry ends without those that have not answered."""


class Inquiries:
    """One inquiry at a time: whoever asks while one goes on gets its result, too."""

    def __init__(self) -> None:
        self._asking: list[Callable[[dict[str, Any]], None]] = []
        self._entries: list[dict[str, Any]] = []
        self._silent: dict[int, tuple[WorkerHandle, dict[str, Any]]] = {}  # by process id
        self._signalled = False
        self._signal_at = math.inf
        self._ends_at = math.inf

    def __repr__(self) -> str:
        return f"<Inquiries asking={len(self._asking)} silent={list(self._silent)}>"

    def ask(self, workers: list[WorkerHandle], done: Callable[[dict[str, Any]], None]) -> None:
        """Ask `workers`; `done` gets one object, which can be written as JSON."""
        self._asking.append(done)
        if len(self._asking) > 1:
            return
        now = time.monotonic()
        self._entries = [_entry(worker, now) for worker in workers]
        self._silent = {
            worker.pid: (worker, entry)
            for worker, entry in zip(workers, self._entries, strict=True)
        }
        self._signalled = False
        self._signal_at, self._ends_at = now + PATIENCE, now + DEADLINE
        for worker in workers:
            worker.told.ask()
        self._end_if_complete()

    def on_answer(self, worker: WorkerHandle, dump: dict[str, Any]) -> bool:
        """A worker has answered; False when it was not asked by an inquiry that goes on."""
        return self._note(worker, dump=dump)

    def on_stacks(self, worker: WorkerHandle, text: str) -> bool:
        """A worker has written its stacks; False when it was not asked."""
        if not self._signalled:
            return False  # somebody else wanted them
        note = "its interpreter is held by code in C, or it is starting: these are its threads"
        return self._note(worker, stacks=text, note=note)

    def on_gone(self, worker: WorkerHandle) -> None:
        """A worker has ended."""
        self._note(worker, note="it has ended meanwhile")

    def _note(self, worker: WorkerHandle, **known: Any) -> bool:
        if worker.pid not in self._silent:
            return False
        _, entry = self._silent.pop(worker.pid)
        entry |= known
        self._end_if_complete()
        return True

    def chores(self, now: float) -> float:
        """Do what is due by time alone; return when to come back."""
        if not self._asking:
            return math.inf
        if now >= self._ends_at:
            for worker, entry in self._silent.values():
                entry["note"] = _why_silent(worker.pid)
            self._silent.clear()
            self._end_if_complete()
            return math.inf
        if now >= self._signal_at and not self._signalled:
            self._signalled = True
            for worker, _ in self._silent.values():
                if STACKS_SIGNAL is not None:
                    worker.process.signal(STACKS_SIGNAL)
        return self._ends_at if self._signalled else self._signal_at

    def _end_if_complete(self) -> None:
        if self._silent:
            return
        asking, self._asking = self._asking, []
        result = {"pid": os.getpid(), "workers": self._entries}
        for done in asking:
            done(result)


def _entry(worker: WorkerHandle, now: float) -> dict[str, Any]:
    return {
        "index": worker.slot,
        "pid": worker.pid,
        "phase": worker.phase.value,
        "age": round(now - worker.born, 1),
        "silent": round(now - worker.beat_at, 1),
        "note": "",
        "dump": None,
        "stacks": "",
    }


def _why_silent(pid: int) -> str:
    if sys.platform.startswith("linux"):
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                state = file.read().rpartition(b")")[2].split()[:1]
        except OSError:
            return "it has ended meanwhile"
        if state in ([b"T"], [b"t"]):
            return "it does not answer: it was stopped by a signal, or by a debugger"
    return "it does not answer"
