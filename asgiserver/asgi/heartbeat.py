"""How long a WebSocket's peer has been silent, counted in ticks of the server's clock.

It knows neither what is done about that nor what a ping is.
"""

from __future__ import annotations

LATE = 2.5
"""Seconds between two ticks above which our own loop was late: nobody is dropped for that."""


class Heartbeat:
    """Seconds of silence, and seconds since the closing handshake began.

    `pinged`: the silence is that after a ping. `late`: at the last tick our own loop was late.
    """

    __slots__ = ("_heard", "_ticked", "closing", "late", "pinged", "silence")

    def __init__(self, now: float) -> None:
        self.silence = self.closing = 0.0
        self.pinged = self.late = False
        self._heard = 0  # bytes received when that was looked at last
        self._ticked = now

    def __repr__(self) -> str:
        return f"<Heartbeat silence={self.silence:.1f} pinged={self.pinged}>"

    def tick(self, now: float, received: int, closing: bool) -> None:
        """About a second has passed; `received` are all bytes that have come so far."""
        elapsed = now - self._ticked
        self._ticked = now
        self.late = elapsed > LATE
        if self.late:
            elapsed = 1.0  # while our loop was blocked nothing could be read: not the peer's fault
        if self._heard != received:
            self._heard = received
            self.begin(pinged=False)
        self.silence += elapsed
        if closing:
            self.closing += elapsed

    def begin(self, pinged: bool) -> None:
        """The silence begins now."""
        self.silence = 0.0
        self.pinged = pinged
