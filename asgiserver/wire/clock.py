"""Coarse time for one server: a tick a second serves every deadline and the Date field."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from asgiserver.http import dates

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from asgiserver.context import Connection

TICK = 1.0
"""Seconds between ticks: how late a deadline may be noticed."""


class CoarseClock:
    """Sweeps the connections' deadlines once a second.

    A connection has a deadline, which is a float, and no timer: setting a timer for each request
    would cost 1.3 to 2.6 us. When the loop was blocked and a tick comes late, the clients are not
    to blame: their input is read first, and their deadlines move by as much as the loop was late.
    """

    __slots__ = ("_connections", "_handle", "_loop", "_on_tick", "date", "now")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, connections: Callable[[], Iterable[Connection]]
    ) -> None:
        self._loop = loop
        self._connections = connections
        self._handle: asyncio.TimerHandle | None = None
        self._on_tick: list[Callable[[], None]] = []
        self.now = loop.time()
        self.date = http_date()

    def __repr__(self) -> str:
        return f"<CoarseClock {self.now:.0f} {self.date!r}>"

    def call_each_tick(self, callback: Callable[[], None]) -> None:
        """Call `callback` now and at every tick."""
        self._on_tick.append(callback)
        callback()

    def start(self) -> None:
        """Begin to tick."""
        self.now = self._loop.time()
        self._handle = self._loop.call_later(TICK, self._tick)

    def stop(self) -> None:
        """Stop ticking, and forget the callbacks."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._on_tick.clear()

    def _tick(self) -> None:
        now = self._loop.time()
        late = now - self.now - TICK
        self.now = now
        self.date = http_date()
        for callback in self._on_tick:
            callback()
        if late > TICK:
            for connection in self._connections():
                connection.extend(late)
        self._handle = self._loop.call_later(TICK, self._tick)
        for connection in list(self._connections()):
            if connection.deadline <= now:
                connection.on_deadline(now)


def http_date() -> bytes:
    """The current time in the format of the Date field (RFC 9110 section 5.6.7)."""
    return dates.http_date(time.time())
