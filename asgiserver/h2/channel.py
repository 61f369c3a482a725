"""The `Channel` of one HTTP/2 stream: one exchange, or one WebSocket (RFC 9113, RFC 8441).

The codec keeps what a window or its turn does not let out yet, and decides what leaves when. The
channel keeps the application from sending more meanwhile, and the client from delaying the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from asgiserver.asgi.files import read_at
from asgiserver.context import wake
from asgiserver.errors import PeerError
from asgiserver.h2.faults import CANCEL, INTERNAL_ERROR, NO_ERROR
from asgiserver.h2.streams import Stream
from asgiserver.http.message import ResponseHead
from asgiserver.wire.waiting import (
    ANSWER,
    APPLICATION,
    BODY,
    BODY_BYTES,
    DROPPED,
    LINGER,
    NOT_OPEN,
    REQUESTS,
    TUNNEL,
    credited,
    for_whom,
)

if TYPE_CHECKING:
    import asyncio

    from asgiserver.asgi.session import Session
    from asgiserver.context import ServerContext
    from asgiserver.h2.codec import H2Codec
    from asgiserver.h2.output import H2Output
    from asgiserver.h2.setup import H2Setup
    from asgiserver.types import Fields, Outcome
    from asgiserver.wire.waiting import Waiting

READ_SIZE = 131072
"""Bytes of a file that are read at a time, at most."""

HELD = 1_048_576
"""Bytes of responses that one connection keeps for a client which does not read: last parts, whose
`send` has returned, and what has been read of files."""

LEAST_READ = 4096
"""Bytes of a file that a stream may have read however much the others of its connection hold: a
client that does not read one download may read another."""

BODY_UNREAD = 49152
"""When an application leaves this many bytes of a body unread, the client may have to wait for the
application: a window is at least 65,535 bytes, and is not widened for each byte taken."""


class Owner(Protocol):
    """What a channel asks of its connection."""

    context: ServerContext
    codec: H2Codec[H2Channel]
    leaving: bool  # the connection ends after its last stream
    output: H2Output
    setup: H2Setup

    def answered(self, stream: H2Channel) -> None:
        """The session of `stream` is over, and maybe the stream is; asked while `leaving`."""

    def cut(self, stream: H2Channel, code: int, outcome: Outcome = "client_gone") -> None:
        """Reset `stream` with an error code of RFC 9113 section 7.

        `outcome` is that of its session, if its session does not know of the end already.
        """


class H2Channel(Stream):
    """One stream; `writable` is false while something of it waits to be written.

    `gone` is true when the stream is reset or lost.
    """

    session: Session | None
    writable = True
    gone = False
    waiting: Waiting = NOT_OPEN
    _left = 0.0  # seconds until the deadline of `waiting`
    _seen = 0  # what the client had done at the last tick: bytes sent, or bytes read
    _kept = 0  # bytes of what had to wait in the codec, so far, but what came with the head
    _trailers: Fields | None = None
    _tunnel_open = False
    _waiters: list[asyncio.Future[None]] | None = None

    def __init__(self, owner: Owner, number: int, window: int, remote_open: bool) -> None:
        # HOT 1 %: each request makes one, so the lines of `Stream.__init__` stand here again.
        self.id = number
        self.window = window
        self.local_open = True
        self.remote_open = remote_open
        self.session = None
        self._owner = owner

    def __repr__(self) -> str:
        return f"<H2Channel {self.id} {self.waiting.name} pending={self.pending} {self.session}>"

    # `Channel`: called by the session.

    def send_informational(self, status: int, fields: Fields) -> None:
        """Send an interim response (RFC 9110 section 15.2)."""
        if not self.gone:
            head = [(b":status", b"%d" % status), *fields]
            self._owner.codec.send_informational(self, head)
            self._owner.output.leave_soon()

    def send_head(self, head: ResponseHead, body: bytes, end: bool) -> None:
        """Send the head with the first bytes of the body; see `Channel.send_head`."""
        if self.gone:
            return
        owner = self._owner
        if not owner.codec.send_head(self, owner.setup.response_fields(head), body, end):
            self.writable = False
        if not owner.output.corked:
            owner.output.leave_soon()

    def send_body(self, data: bytes, end: bool) -> None:
        """Send more of the body; the trailers end it if there are any."""
        if self.gone:
            return
        owner = self._owner
        trailers = self._trailers if end else None
        last = end and trailers is None
        if (data or last) and not owner.codec.send_data(self, data, last):
            self.writable = False
            self._kept += len(data)
        if trailers is not None:
            owner.codec.send_trailers(self, trailers)
        if not owner.output.corked:
            owner.output.leave_soon()

    async def send_file(self, fd: int, offset: int, count: int) -> None:
        """Send a part of the body from a file; see `Channel.send_file`.

        Each slice is read once the one before has left, and is no larger than the client's window.
        A stream takes at most half of what the others have left of `HELD`, so that there is some
        left for the next one.
        """
        loop, codec = self._owner.context.loop, self._owner.codec
        while count and not self.gone:
            if not self.writable:
                await self.wait_writable()
                continue
            room = max(16384, min(self.window, codec.window))
            share = max(LEAST_READ, (HELD - codec.held) // 2)
            self.held = size = min(count, READ_SIZE, room, share)
            data = await loop.run_in_executor(None, read_at, fd, size, offset)
            if not data:
                raise OSError("the file is shorter than announced")
            offset += len(data)
            count -= len(data)
            self.send_body(data, False)
            if self.writable:
                self.held = 0

    def send_trailers(self, fields: Fields) -> None:
        """Keep trailer fields for the end of the body."""
        self._trailers = [*(self._trailers or ()), *fields]

    def open_tunnel(self, fields: Fields) -> None:
        """Accept an extended CONNECT (RFC 8441 section 5)."""
        self._tunnel_open = True
        self.send_head(ResponseHead(200, fields), b"", False)

    def send_tunnel(self, data: bytes, more: bytes = b"") -> None:
        """Send bytes through the tunnel."""
        self.send_body(data + more, False)

    def consumed(self, size: int) -> None:
        """The application has taken `size` bytes: let the client send as many more."""
        if not self.gone:
            self._owner.codec.consumed(self, size)
            self._owner.output.leave_soon()

    def finish(self) -> bool:
        """The exchange is over; what waits is still sent."""
        self.session = None
        if self._tunnel_open:
            self.send_body(b"", True)
        owner = self._owner
        if owner.leaving:
            owner.answered(self)
        return self.pending > 0 and not self._hold_rest()

    def _hold_rest(self) -> bool:
        """Whether the wire keeps what waits of a complete response, without its application.

        All of the last part counts, however little of it waits, because all of it is kept.
        """
        if not self.held:
            size = len(self.rest)
            if self._owner.codec.held + size > HELD:
                return False
            self.held = size
        return True

    def abort(self, reason: Outcome) -> None:
        """Reset the stream, so that the client cannot take a part for the whole response."""
        if not self.gone:
            self._owner.cut(self, INTERNAL_ERROR if reason == "app_error" else CANCEL)

    async def wait_writable(self) -> None:
        """Return when all that was sent has left, or the stream is gone."""
        while not self.writable:
            waiter = self._owner.context.loop.create_future()
            if self._waiters is None:
                self._waiters = []
            self._waiters.append(waiter)
            await waiter

    # Called by the connection.

    def drained(self) -> None:
        """Nothing of the stream waits any more."""
        self.writable = True
        self.held = 0
        if self._waiters:
            wake(self._waiters)

    def lost(self, reason: Outcome) -> None:
        """The stream is gone, whoever ended it; `reason` becomes the outcome of its session."""
        self.gone = True
        session, self.session = self.session, None
        if session is not None:
            session.disconnect(reason)
        self.drained()

    def tick(self, seconds: float) -> None:
        """About a second has passed: find out for whom the stream waits, and for how long already.

        This is not done whenever something changes, as for an HTTP/1 connection, because most
        streams end before the clock ticks.
        """
        waiting, done = self._for_whom()
        if waiting is not self.waiting or (waiting > ANSWER and done != self._seen):
            self.waiting = waiting
            self._left = self._owner.setup.times[waiting]
        else:
            self._left -= seconds
            if waiting is BODY:
                times = self._owner.setup.times
                self._left = credited(self._left, done - self._seen, 0.0, times)
        self._seen = done
        if waiting is APPLICATION and self.session is not None:
            self.session.on_tick(self._owner.context.clock.now)
        elif self._left <= 0:
            self._too_late()

    def _for_whom(self) -> tuple[Waiting, int]:
        """For whom the stream waits now, and how much the client has done of it so far (bytes)."""
        session = self.session
        reading, owed = REQUESTS, False
        if session is None:  # all is answered: what still comes of the request is dropped
            reading = DROPPED
        elif self._tunnel_open:
            reading = TUNNEL
        elif self.remote_open and not self.is_tunnel:
            reading = BODY_BYTES
            # An application that answers before the body is complete (full duplex, as in gRPC)
            # knows for what it waits.
            owed = session.continue_wanted or self.unconsumed >= BODY_UNREAD or not session.unsent
        waiting = for_whom(
            self.waiting,
            reading,
            running=session is not None,
            blocked=self.pending > 0,
            owed=owed,
        )
        if waiting is BODY and session is not None:
            return waiting, session.received
        return waiting, self._kept - self.pending

    def _too_late(self) -> None:
        """The client has not sent, or has not read, what it had to."""
        context = self._owner.context
        session = self.session
        if self.waiting is BODY and session is not None:
            context.refuse(session, PeerError(408, "request body timed out"))
            return
        if self.waiting is LINGER:
            self._owner.cut(self, NO_ERROR)
            return
        context.stats.count_refused("write timeout")
        self._owner.cut(self, CANCEL, "timeout")
