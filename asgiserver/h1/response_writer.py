"""The response half of an HTTP/1 connection: heads, framing and bodies (RFC 9112).

It knows the request that it answers, but neither deadlines nor what comes next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiserver.asgi.exchange import Exchange
from asgiserver.h1.encoder import HeadEncoder, encode_fields, status_line
from asgiserver.wire.output import FLUSH_SIZE, Output

if TYPE_CHECKING:
    import asyncio

    from asgiserver.asgi.websocket import WebSocketSession
    from asgiserver.h1.parser import RequestParser
    from asgiserver.http.message import RequestHead, ResponseHead
    from asgiserver.types import Fields

DISCARD_SIZE = 65536
"""Bytes of request body read and dropped to keep the connection, when an application has answered
without reading them."""


SMALL_BODY = 4096
"""Bytes: a body below this leaves with its head without being counted. While the connection is
corked there are no more of them than pipelined requests in a turn."""


class ResponseWriter(Output):
    """Writes one response after the other; a part of `Channel`.

    `_keep_alive` is what the request wants, and from the head on what the response has announced.
    """

    __slots__ = (
        "_chunked",
        "_encoder",
        "_is_old",
        "_keep_alive",
        "_parser",
        "_request",
        "_session",
        "_trailers",
    )

    _parser: RequestParser

    def __init__(self, loop: asyncio.AbstractEventLoop, encoder: HeadEncoder) -> None:
        super().__init__(loop)
        self._encoder = encoder
        self._session: Exchange | WebSocketSession | None = None
        self._request: RequestHead | None = None  # of the current or the last session
        self._is_old = False  # the request is HTTP/1.0
        self._keep_alive = True
        self._chunked = False  # how the current response is framed
        self._trailers = b""

    def send_informational(self, status: int, fields: Fields) -> None:
        """An interim response (RFC 9110 section 15.2); HTTP/1.0 has none."""
        if not self._is_old:
            self.gathered.append(status_line(status) + encode_fields(fields))
            self.write(b"\r\n")

    def send_head(self, head: ResponseHead, body: bytes, end: bool) -> None:
        """Frame the response (RFC 9112 section 6.3) and send its head with its first bytes."""
        encoder = self._encoder
        if (
            head.stamp is encoder.stamp
            and self._keep_alive
            and not self._is_old
            and not self._parser.in_body
        ):
            self._chunked = False
            whole = head.whole
        else:
            whole = self._frame(head)
        if self.corked and len(body) < SMALL_BODY and not self._chunked:
            self.gathered.append(whole + body)
            return
        self.gathered.append(whole)
        self.send_body(body, end)

    def _frame(self, head: ResponseHead) -> bytes:
        """Decide on the framing of the body, and encode the head."""
        encoder = self._encoder
        unknown = head.content_length is None and not head.bodyless
        self._chunked = unknown and not self._is_old
        if head.close or unknown or not self._keep_alive or self._is_old or self._parser.in_body:
            ending = self._framing_fields(head, self._chunked)
            return b"%b%b%b" % (encoder.begin(head), head.block, ending)
        return encoder.whole(head)

    def _framing_fields(self, head: ResponseHead, chunked: bool) -> bytes:
        """What the wire itself has to say, and the end of the head; decides on the connection."""
        keep = self._keep_alive and not head.close
        if keep and self._parser.in_body:
            keep = self._may_discard_body()
        if self._is_old and head.content_length is None and not head.bodyless:
            keep = False  # the end of the connection is the end of the body
        self._keep_alive = keep
        ending = b"transfer-encoding: chunked\r\n" if chunked else b""
        if not keep:
            return ending + b"connection: close\r\n\r\n"
        if self._is_old:
            return ending + b"connection: keep-alive\r\n\r\n"
        return ending + b"\r\n"

    def send_body(self, data: bytes, end: bool) -> None:
        """More of the body; in chunks of RFC 9112 section 7.1 unless its length is known."""
        if not self.corked and self.transport.is_closing():
            return  # lost, though not told yet; asyncio would warn of every write
        size = len(data)
        if not self._chunked:
            if size:
                self.gathered.append(data)
        else:
            if size:
                self.gathered += (b"%x\r\n" % size, data, b"\r\n")
            if end:
                self.gathered.append(b"0\r\n%b\r\n" % self._trailers)
                self._trailers = b""
        self._gathered_size = size = self._gathered_size + size
        if size >= FLUSH_SIZE or not self.corked:
            self.flush()

    def send_trailers(self, fields: Fields) -> None:
        """Keep trailer fields for the end of the body, when the client takes them (TE)."""
        if self._chunked and self._request is not None and self._request.framing.takes_trailers:
            self._trailers += encode_fields(fields)

    def _may_discard_body(self) -> bool:
        """Whether what is left of the request body is worth reading to keep the connection."""
        session = self._session
        if isinstance(session, Exchange) and session.continue_wanted:
            return False  # it may never come
        left = self._parser.body_left
        return left is None or left <= DISCARD_SIZE
