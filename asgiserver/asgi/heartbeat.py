"""How long a WebSocket's peer has been silent, counted in ticks of the server's clock.

This module knows neither what a ping is nor what is done about the silence.
"""

from __future__ import annotations

LATE = 2.5
"""Seconds between two ticks above which the server's own loop was late; no peer is dropped then."""


class Heartbeat:
    """Seconds of silence, and seconds since the closing handshake began.

    `pinged`: the silence began with a ping. `late`: the server's own loop was late at the last
    tick.
    """

    __slots__ = ("_last_tick", "_received", "closing", "late", "pinged", "silence")

    def __init__(self, now: float) -> None:
        self.silence = self.closing = 0.0
        self.pinged = self.late = False
        self._received = 0  # bytes received until the last tick
        self._last_tick = now

    def __repr__(self) -> str:
        return f"<Heartbeat silence={self.silence:.1f} pinged={self.pinged}>"

    def tick(self, now: float, received: int, closing: bool) -> None:
        """About a second has passed; `received` is the number of bytes that have come so far."""
        elapsed = now - self._last_tick
        self._last_tick = now
        self.late = elapsed > LATE
        if self.late:
            elapsed = 1.0  # the peer is not to blame for the time when our loop could not read
        if self._received != received:
            self._received = received
            self.begin(pinged=False)
        self.silence += elapsed
        if closing:
            self.closing += elapsed

    def begin(self, pinged: bool) -> None:
        """Begin to count the silence anew; `pinged` when it begins with a ping."""
        self.silence = 0.0
        self.pinged = pinged
