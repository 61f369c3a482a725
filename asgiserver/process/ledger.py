"""The figures of all workers: of those that are there, and what those that are gone have counted.

The supervisor's main thread adds and retires workers; the admin listener's thread reads. A worker
is either there or gone in whatever a reader sees, so no total ever falls.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from asgiserver.metrics.figures import add
from asgiserver.server.board import Board
from asgiserver.server.publisher import Published, read_board

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asgiserver.metrics.figures import Values
    from asgiserver.process.handle import WorkerHandle

__all__ = ["Ledger", "Page"]

_NOTHING = Published(0.0, {}, [])
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class Page(NamedTuple):
    """A worker, and what it has published last."""

    worker: WorkerHandle
    published: Published


class Ledger:
    """Gives each worker a `Board`, and reads what is on it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._boards: dict[int, Board] = {}  # by the pid of the worker
        self._workers: dict[int, WorkerHandle] = {}
        self._last: dict[int, Published] = {}
        self._gone: Values = {}
        self._restarts: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<Ledger workers={len(self._workers)}>"

    def open(self) -> Board:
        """A board for a worker that is about to be started. Raises `OSError`."""
        return Board.create()

    def add(self, worker: WorkerHandle, board: Board) -> None:
        """A worker has been started, which publishes on `board`."""
        with self._lock:
            self._boards[worker.pid] = board
            self._workers[worker.pid] = worker

    def retire(self, worker: WorkerHandle, cause: str) -> None:
        """A worker is gone: what it has counted stays. An empty `cause` is no restart."""
        with self._lock:
            board = self._boards.pop(worker.pid, None)
            if board is None:
                return
            published = self._read(worker.pid, board)
            del self._workers[worker.pid]
            self._last.pop(worker.pid, None)
            add(self._gone, published.figures, worker.slot, gone=True)
            if cause:
                self._restarts[cause] = self._restarts.get(cause, 0) + 1
            board.close()

    def read(self) -> tuple[list[Page], Values, dict[str, int]]:
        """All workers, what those that are gone have counted, and restarts by cause."""
        with self._lock:
            pages = [
                Page(self._workers[pid], self._measured(pid, self._read(pid, board)))
                for pid, board in self._boards.items()
            ]
            return pages, dict(self._gone), dict(self._restarts)

    def _read(self, pid: int, board: Board) -> Published:
        """What a worker has published last; what could not be read just now is as it was before."""
        before = self._last.get(pid, _NOTHING)
        published = read_board(board)
        if published is None:
            return before
        _keep_cpu(published.figures, before.figures)
        self._last[pid] = published
        return published

    def _measured(self, pid: int, published: Published) -> Published:
        """With CPU time and memory of now: a worker whose loop is blocked publishes neither."""
        if published.figures:
            before = dict(published.figures)
            published.figures.update(_process_figures(pid))
            _keep_cpu(published.figures, before)
        return published

    def abandon(self) -> None:
        """Called in a forked child: it needs no board but its own."""
        for board in self._boards.values():
            board.close()


def _keep_cpu(figures: Values, before: Values) -> None:
    """Let no CPU time fall: the worker and the kernel round in different ways."""
    times: list[Any] = [shown.get("cpu", 0.0) for shown in (figures, before)]
    figures["cpu"] = max(times)


def _process_figures(pid: int) -> Iterator[tuple[str, float]]:
    """CPU time and resident memory of a process, where the system has /proc."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return
    yield "cpu", (int(fields[11]) + int(fields[12])) / _TICKS  # utime and stime, proc(5)
    if int(fields[21]):  # a process that has just ended has no memory
        yield "rss", int(fields[21]) * _PAGE
