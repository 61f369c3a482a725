"""The `Channel` of an HTTP/1 connection: one response after the other (RFC 9112).

The channel frames heads and bodies and knows the request that it answers. Its connection knows the
deadlines and the requests that follow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from asgiserver.h1.encoder import EMPTY_LINE, encode_fields, status_line
from asgiserver.wire.output import FLUSH_SIZE, JOIN_SIZE, Output
from asgiserver.wire.sendfile import send_file

if TYPE_CHECKING:
    from asgiserver.asgi.session import Session
    from asgiserver.h1.codecs import H1Codecs
    from asgiserver.h1.parser import RequestParser
    from asgiserver.http.message import ResponseHead
    from asgiserver.types import Fields

DISCARD_SIZE = 65536
"""Bytes of request body that are read and dropped to keep the connection, when an application has
answered without reading them."""

SMALL_BODY = 4096
"""A body of fewer bytes is sent with its head and not counted against `FLUSH_SIZE`. While the
connection is corked, there are at most as many such bodies as pipelined requests in one turn."""


class Owner(Protocol):
    """What a channel asks of its connection."""

    def arm(self) -> None:
        """The connection may have to wait for somebody else now."""

    def tunnel(self) -> None:
        """All further bytes belong to another protocol."""

    def taken(self, session: Session) -> None:
        """The application has taken what `session` had buffered."""

    def answered(self) -> None:
        """The response is complete, and the connection is kept."""

    def close(self, linger: bool) -> None:
        """The response is complete, and it was the last one of the connection."""

    def abort(self, reason: str) -> None:
        """The response is broken off: cut the connection."""


class H1Channel(Output):
    """Sends the responses of one connection, one at a time.

    `keep_alive` is what the request asks for, and after the head what the response has announced.
    `owner` is deleted when the connection is lost.
    """

    __slots__ = (
        "_chunked",
        "_encoder",
        "_parser",
        "_trailers",
        "is_old",
        "keep_alive",
        "owner",
        "session",
    )

    _trailers: bytes  # of the current response, when it is chunked

    def __init__(self, codecs: H1Codecs, parser: RequestParser, owner: Owner) -> None:
        super().__init__(codecs.turn)
        self._encoder = codecs.encoder
        self._parser = parser
        self.owner = owner
        self.session: Session | None = None  # the current session
        self.is_old: bool | None = None  # whether the request is HTTP/1.0; None before the first
        self.keep_alive = True
        self._chunked = False  # whether the current response is chunked

    def __repr__(self) -> str:
        return f"<H1Channel {self.session} keep_alive={self.keep_alive}>"

    @property
    def has_served(self) -> bool:
        """Whether a request has come."""
        return self.is_old is not None

    # `Channel`: called by the session.

    def send_informational(self, status: int, fields: Fields) -> None:
        """Send an interim response (RFC 9110 section 15.2), except to HTTP/1.0, which has none.

        `Owner.arm` follows because after a 100 the connection waits for the client's body.
        """
        if not self.is_old:
            self.gathered.append(status_line(status) + encode_fields(fields))
            self.write(b"\r\n")
        self.owner.arm()

    def send_head(self, head: ResponseHead, body: bytes, end: bool) -> None:
        """Frame the response (RFC 9112 section 6.3) and send its head with its first bytes."""
        if (
            head.encoded_for is self._encoder.stamp
            and self.keep_alive
            and not self.is_old
            and not self._parser.in_body
        ):
            self._chunked = False
            whole = head.encoded
        else:
            whole = self._frame(head)
        if self.corked and len(body) < SMALL_BODY and not self._chunked:
            self.gathered.append(whole + body)
            return
        self.gathered.append(whole)
        self.send_body(body, end)

    def _frame(self, head: ResponseHead) -> bytes:
        """Encode the head; decide on the framing of the body, and whether the connection is kept.

        In HTTP/1.0 only the end of the connection ends a body of unknown length.
        """
        is_old = self.is_old
        unknown = head.content_length is None and not head.bodyless
        self._chunked = unknown and not is_old
        keep = self.keep_alive
        if keep:
            keep = not head.close and not (unknown and is_old)
            if keep and self._parser.in_body:
                keep = self._may_discard_body()
            self.keep_alive = keep
        if not keep:
            ending = b"connection: close\r\n\r\n"
        elif is_old:
            ending = b"connection: keep-alive\r\n\r\n"
        else:
            ending = EMPTY_LINE
        if self._chunked:
            ending = b"transfer-encoding: chunked\r\n" + ending
            self._trailers = b""
        return self._encoder.encode(head, ending)

    def _may_discard_body(self) -> bool:
        """Whether the rest of the request body is worth reading to keep the connection."""
        session = self.session
        if session is not None and session.continue_wanted:
            return False  # a client that waits for a 100 may never send its body
        left = self._parser.body_left
        return left is None or left <= DISCARD_SIZE

    def send_body(self, data: bytes, end: bool) -> None:
        """Send more of the body, in chunks (RFC 9112 section 7.1) unless its length is known."""
        if not self.corked and self.transport.is_closing():
            return  # `connection_lost` is about to be called; asyncio would warn of every write
        size = len(data)
        if not self._chunked:
            if size:
                self.gathered.append(data)
        else:
            if size:
                self.gathered += (b"%x\r\n" % size, data, b"\r\n")
            if end:
                self.gathered.append(b"0\r\n%b\r\n" % self._trailers)
        self._gathered_size = size = self._gathered_size + size
        if size >= FLUSH_SIZE or (end and size >= JOIN_SIZE and not self._parser.rest):
            self.flush()
        elif not self.corked:
            self.turn.add(self)

    async def send_file(self, fd: int, offset: int, count: int) -> None:
        """Send a part of the body from a file; see `Channel.send_file`."""
        session = self.session
        if self._chunked:
            self.gathered.append(b"%x\r\n" % count)
        await send_file(self, fd, offset, count)
        if self.transport.is_closing():
            if session is not None:
                session.disconnect("client_gone")
        elif self._chunked:
            self.gathered.append(b"\r\n")  # written together with what follows

    def send_trailers(self, fields: Fields) -> None:
        """Keep trailer fields for the end of the body, if the client accepts them (TE)."""
        session = self.session
        if self._chunked and session is not None and session.request.framing.takes_trailers:
            self._trailers += encode_fields(fields)

    def open_tunnel(self, fields: Fields) -> None:
        """Switch protocols (RFC 9110 section 15.2.2)."""
        self.keep_alive = False
        self.gathered.append(self._encoder.start(101) + encode_fields(fields))
        self.write(b"\r\n")
        self.owner.tunnel()

    def send_tunnel(self, data: bytes, more: bytes = b"") -> None:
        """Send raw bytes through the tunnel, in one piece or in two."""
        if more:
            self.write_pair(data, more)
        else:
            self.write(data)

    def consumed(self, size: int) -> None:
        """The application has taken what was buffered: read on."""
        session = self.session
        if session is not None:
            self.owner.taken(session)

    def finish(self) -> bool:
        """The response is complete: take the next request, or close."""
        self.session = None
        if not self.keep_alive:
            self.owner.close(not self._parser.clean)
        elif not self.corked:  # while it is corked, as for most requests, the dispatcher goes on
            self.owner.answered()
        return False

    def abort(self, reason: str) -> None:
        """Cut the connection, so that the client cannot take a part for the whole response."""
        self.owner.abort(reason)

    # `Output`, as the connection sees it.

    def pause_writing(self) -> None:
        """The client reads too slowly; it has to read something before a deadline."""
        super().pause_writing()
        self.owner.arm()

    def resume_writing(self) -> None:
        """The client has read."""
        super().resume_writing()
        self.owner.arm()

    def cut(self) -> None:
        """Close at once; with a reset for HTTP/1.0, where a normal close could end the body."""
        if self.is_old:
            self.reset()
        else:
            self.transport.abort()
