"""One time for which an event loop does not turn: what its thread does meanwhile, and for whom."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from asgiserver.log.loggers import logger
from asgiserver.log.outlet import write_at_last
from asgiserver.watch.dump import path_of, session_in
from asgiserver.watch.frames import Whose, best, is_debugger, is_logging, serves, stack_of
from asgiserver.watch.notice import Notices
from asgiserver.watch.report import text_of
from asgiserver.watch.tasks import root_of

if TYPE_CHECKING:
    from asgiserver.asgi.session import Session
    from asgiserver.context import ServerContext
    from asgiserver.watch.frames import Place, Stack
    from asgiserver.watch.measure import Clocks, Measure

__all__ = ["Stall", "say_all", "tell_pause"]

HALF = 0.5
"""The share of the time from which on the CPU counts as what a thread was waiting for."""


class Stall:
    """What is known of a loop that does not answer; `before` was measured before that began."""

    notices = Notices("loop_stall", "blocked event loops")

    def __init__(self, context: ServerContext, before: Measure) -> None:
        serves(context.config.app)
        self.excused = 0.0
        self._context = context
        self._before = before
        self._places: Counter[Place] = Counter()
        self._session: Session | None = None
        self._fields: dict[str, Any] = {}
        self._request = ""
        self._is_told = False
        self._is_said = False
        self._in_debugger = False
        self._in_logging = False

    def __repr__(self) -> str:
        return f"<Stall {dict(self._places)}>"

    def sample(self, stack: Stack, weight: int) -> None:
        """The loop's thread was seen at `stack`."""
        place = best(place for _, place in stack)
        if place is not None:
            self._places[place] += weight
        self._in_debugger = self._in_debugger or any(is_debugger(frame) for frame, _ in stack)
        self._in_logging = any(is_logging(frame) for frame, _ in stack)
        self._session = self._session or session_in(stack) or self._session_of_task()

    def _session_of_task(self) -> Session | None:
        """The request for which the current task works, a task that the application has made."""
        running = self._context.running
        try:
            task = asyncio.current_task(self._context.loop)
            root = None if task is None else root_of(task, running)
        except RuntimeError:
            return None
        return None if root is None else running.get(root)

    def tell(self, seconds: float, clocks: Clocks) -> None:
        """Count the stall and log it, unless that is done: it has lasted for `seconds` so far."""
        if self._count() and self._is_said:
            self._say("The event loop has been blocked for", seconds, "loop_stall", clocks)

    def end(self, seconds: float, clocks: Clocks) -> None:
        """The loop turns again, after `seconds` in all, which is too long."""
        self._count()
        if self._is_told:
            self._context.stats.stalled_seconds += seconds
        if self._is_said:
            self._in_logging = False
            self._say("The event loop was blocked for", seconds, "loop_stall_end", clocks)

    def _count(self) -> bool:
        """Count the stall; False when that is done, or a person with a debugger is the reason."""
        if self._is_told or self._in_debugger:
            return False
        self._is_told = True
        self._context.stats.stalls += 1
        self._is_said = self.notices.allows()
        if self._is_said:
            self._note_request()
        return True

    def _note_request(self) -> None:
        session = self._session
        if session is None:
            return
        method = "WebSocket" if session.is_websocket else session.request.method
        path, age = path_of(session), session.age
        self._fields = {"method": method, "path": path, "age": age}
        self._request = f", by {method} {path} ({age:.1f} s old)"

    def _say(self, begin: str, seconds: float, event: str, clocks: Clocks) -> None:
        now, before = clocks.read(), self._before
        wall = max(now.wall - before.wall - self.excused, 0.001)
        cpu = (now.thread - before.thread) / wall
        others = (now.process - before.process) / wall - cpu
        gc = (now.gc - before.gc) / wall
        delay = (now.delay - before.delay) / wall
        common = self._places.most_common(1)
        place = f" in {common[0][0]}" if common else ""
        running = len(self._context.running)
        self.notices.say(
            f"{begin} {seconds:.1f} s{place}{self._request}; {running} requests run;"
            f" {_how(cpu, delay, others)}"
            f" (CPU {cpu:.0%}, other threads {others:.0%}, collector {gc:.0%})",
            event=event,
            past_logging=self._in_logging,
            duration=seconds,
            frame=str(common[0][0]) if common else "",
            running=running,
            cpu=cpu,
            cpu_of_others=others,
            without_cpu=delay,
            gc=gc,
            **self._fields,
        )


def _how(cpu: float, delay: float, others: float) -> str:
    """What the thread did, in a word."""
    if cpu >= HALF:
        return "busy"
    if cpu + delay >= HALF:
        return "busy, but short of CPU"
    return "kept from running by other threads" if others >= HALF else "waiting"


pauses_of_process = Notices("not_running", "pauses of this process")


def tell_pause(seconds: float, thread: int) -> None:
    """Log that the process did not run; `thread` is that of its loop."""
    if not pauses_of_process.allows():
        return
    place = best(place for _, place in _stack(thread))
    held = ""
    if place is not None and place.whose >= Whose.LIBRARY:
        held = f", or {place} has held the interpreter lock"
    pauses_of_process.say(
        f"This process did not run for {seconds:.1f} s: it was stopped, or the machine was asleep"
        f" or too busy{held}",
        duration=seconds,
    )


def say_all(dump: dict[str, Any], threads: list[int]) -> None:
    """Log what the process does; `threads` are those of its loops."""
    in_logging = any(is_logging(frame) for thread in threads for frame, _ in _stack(thread))
    text = f"This process is doing this:\n{text_of(dump)}"
    if in_logging:
        write_at_last(f"asgiserver: {text}\n")
    else:
        logger.error("%s", text)


def _stack(thread: int) -> Stack:
    return stack_of(sys._current_frames().get(thread))
