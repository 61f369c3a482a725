"""Whether the client of an HTTP/2 connection reads, and is still there; without I/O and clock.

Each stream has deadlines of its own. What is watched here concerns all of them at once.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from asgiserver.wire.waiting import READER

if TYPE_CHECKING:
    from asgiserver.h2.setup import H2Setup

PING = b"\0alive\0\0"
"""The payload of the PING to a silent client."""

PING_TIME = 20.0
"""Seconds that a client has to answer a PING, with anything at all."""

LONGEST_TICK = 2.0
"""Seconds that count when a tick comes late: that the loop was blocked is no client's fault."""


class Silence(enum.Enum):
    """What to do about a client that has sent nothing since the last tick."""

    WAIT = enum.auto()
    PING = enum.auto()  # ask whether it is there
    DEAD = enum.auto()


class Watch:
    """What one client has done lately; asked at each tick while it has requests open."""

    __slots__ = (
        "_ping_interval",
        "_pinged",
        "_quiet",
        "_ticked",
        "_timeout",
        "_unread",
        "_waited",
        "seconds",
    )

    def __init__(self, now: float, setup: H2Setup) -> None:
        self._ping_interval = setup.ping_interval
        self._timeout = setup.times[READER]
        self._ticked = now
        self.seconds = 0.0  # that have passed until the last tick since the one before it
        self._quiet = 0.0  # seconds since anything has come
        self._pinged = False
        self._unread = 0  # bytes that the client had not read at the last tick
        self._waited = 0.0  # seconds for which it has not read any of them

    def __repr__(self) -> str:
        return f"<Watch quiet={self._quiet:.0f} s unread={self._unread} for {self._waited:.0f} s>"

    def pass_time(self, now: float) -> int:
        """It is `now`: how many seconds have passed since the last call."""
        passed = now - self._ticked
        self._ticked = now
        self.seconds = min(passed, LONGEST_TICK)
        return round(passed)

    def heard(self) -> None:
        """The client has sent something."""
        self._quiet = 0.0

    def is_unread(self, size: int) -> bool:
        """Whether a client, of which `size` bytes are unread now, has read nothing for too long.

        `size` is 0 while the transport is not full.
        """
        if not size or size < self._unread:
            self._waited = 0.0
        elif self._unread:
            self._waited += self.seconds
        self._unread = size
        return self._waited >= self._timeout

    def silence(self) -> Silence:
        """What to do, if the client is silent for too long."""
        self._quiet += self.seconds
        if self._quiet < self._ping_interval:
            self._pinged = False
        elif not self._pinged:
            self._pinged = True
            return Silence.PING
        elif self._quiet >= self._ping_interval + PING_TIME:
            return Silence.DEAD
        return Silence.WAIT
