"""The garbage collector: how long it keeps the process, and how little it may have to do.

The collector belongs to the process, so all servers of a process share what is measured here.
"""

from __future__ import annotations

import gc
from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, Any

from asgiserver.metrics.histogram import BUCKETS, Histogram

if TYPE_CHECKING:
    from asgiserver.context import ServerContext
    from asgiserver.watch.notice import Notices

__all__ = ["Pauses", "pauses", "spare"]

LONG = 0.05
"""Seconds from which on a pause is logged and counted."""

THRESHOLDS = (10_000, 20, 50)
"""--gc tuned: new objects, young and middle collections between collections of each generation.
Python begins with 700 (3.11), or 2,000, and 10 and 10."""


def spare(mode: str) -> None:
    """Spare the collector all that the start-up has made; `mode` is freeze or tuned.

    These objects stay until the process ends, and no collection looks at them any more.
    """
    gc.collect()
    gc.freeze()
    if mode == "tuned":
        gc.set_threshold(*THRESHOLDS)


class Pauses:
    """Measures each collection. It is called by the collector, in whatever thread that runs."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._pauses = Histogram()
        self._long: deque[tuple[float, int]] = deque(maxlen=100)
        self._notices: Notices | None = None
        self._servers: list[ServerContext] = []

    def __repr__(self) -> str:
        return f"<Pauses {self._pauses!r}>"

    def __call__(self, phase: str, info: dict[str, Any]) -> None:
        """See `gc.callbacks`."""
        if phase == "start":
            self._began = perf_counter()
        elif self._began is not None:
            took, self._began = perf_counter() - self._began, None
            self._pauses.add(took)
            if took >= LONG:
                # Logging here would run any handler at any line of any code.
                self._long.append((took, info["generation"]))

    @property
    def seconds(self) -> float:
        """Seconds spent in the collector so far, a collection that goes on among them."""
        began = self._began
        return self._pauses.numbers[BUCKETS] + (0.0 if began is None else perf_counter() - began)

    def measure(self, context: ServerContext) -> None:
        """Measure for a server from now on, until `leave`."""
        if not self._servers:
            gc.callbacks.append(self)
        self._servers.append(context)
        context.stats.gc = self._pauses.numbers

    def leave(self, context: ServerContext) -> None:
        """Measure no more for this server; nothing if it was not measured for."""
        if context in self._servers:
            self._servers.remove(context)
            if not self._servers:
                gc.callbacks.remove(self)

    def tell(self, context: ServerContext) -> None:
        """Count and log the long pauses; called at each tick of the clock."""
        while self._long:
            context.stats.gc_pauses += 1
            self._say(*self._long.popleft())

    def _say(self, took: float, generation: int) -> None:
        if self._notices is None:
            from asgiserver.watch.notice import Notices

            self._notices = Notices("gc_pause", "pauses for the garbage collector")
        if self._notices.allows():
            self._notices.say(
                f"The garbage collector has paused this process for {took * 1000:.0f} ms"
                f" (generation {generation})",
                duration=took,
                generation=generation,
            )


pauses = Pauses()
