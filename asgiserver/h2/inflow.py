"""The windows that we give (RFC 9113 section 5.2): credit for what the application has consumed.

The windows of all streams together are never more than the connection's, so a stream whose
application does not read stops only itself, and what waits for applications has a bound. The window
of a stream that fills it within a round trip is doubled, as long as the bound has room: PING
measures the round trip, without a clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiserver.h2.frames import PING, frame, window_update

if TYPE_CHECKING:
    from asgiserver.h2.settings import Settings
    from asgiserver.h2.streams import Stream

TUNING = b"\0window\0"
"""The payload of our PING that measures."""


class Inflow:
    """What the client may send on one connection, and what is credited when.

    For the connection, `left` plus `due` plus all that is unconsumed is always `size`; for a stream
    that may still send, `credit` plus `due` plus `unconsumed` is `credit_size`.
    """

    __slots__ = ("_base", "_pool", "_tuned", "_tuning", "due", "left", "size", "step")

    def __init__(self, settings: Settings) -> None:
        self._base = settings.stream_window
        # As the connection is credited in steps, its window is one step larger than its streams'.
        self.step = settings.most_window // 64
        self.size = settings.most_window + self.step
        self.left = self.size
        self.due = 0
        # What windows may still grow by.
        self._pool = settings.most_window - settings.max_streams * settings.stream_window
        self._tuning: Stream | None = None  # whose window is measured
        self._tuned = 0  # bytes consumed of it since that PING was sent

    def __repr__(self) -> str:
        return f"<Inflow left={self.left} due={self.due} pool={self._pool}>"

    def open(self, stream: Stream) -> None:
        """A request with a body begins."""
        stream.credit = stream.credit_size = self._base

    def consumed(self, stream: Stream, size: int) -> bytes:
        """The application has taken `size` bytes: the frames to write, if any."""
        size = min(size, stream.unconsumed)
        stream.unconsumed -= size
        output = self.dropped(size)
        if not stream.remote_open:
            return output
        stream.due += size
        if stream is self._tuning:
            self._tuned += size
        if stream.due * 2 >= stream.credit_size:
            output += self._grant(stream, 0)
            if self._tuning is None and self._pool:
                self._tuning = stream
                self._tuned = 0
                output += frame(PING, 0, 0, TUNING)
        return output

    def dropped(self, size: int) -> bytes:
        """`size` bytes count for the connection alone: the frame to write, if any."""
        self.due += size
        if self.due < self.step:
            return b""
        size, self.due = self.due, 0
        self.left += size
        return window_update(0, size)

    def measured(self) -> bytes:
        """The PING is answered: the frame to write, if any."""
        stream, self._tuning = self._tuning, None
        if stream is None or not stream.remote_open or self._tuned * 2 < stream.credit_size:
            return b""
        more = min(stream.credit_size, self._pool)
        self._pool -= more
        stream.credit_size += more
        return self._grant(stream, more)

    def close(self, stream: Stream) -> bytes:
        """Nothing of `stream` is consumed or received any more: the frame to write, if any."""
        self._pool += stream.credit_size - self._base
        stream.credit_size = stream.due = 0
        size, stream.unconsumed = stream.unconsumed, 0
        return self.dropped(size)

    def _grant(self, stream: Stream, more: int) -> bytes:
        more += stream.due
        stream.due = 0
        stream.credit += more
        return window_update(stream.id, more) if more else b""
