"""Bytes to requests: one framing for every head parser (RFC 9112). It knows no I/O.

Heads are found and measured here, then read by the core, httptools or h11; bodies are delimited
here. So limits, pipelining and what is refused are the same for all head parsers, in whatever
pieces the bytes come.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from asgiserver.errors import PeerError
from asgiserver.h1.chunked import ChunkedDecoder
from asgiserver.h1.head import bare_lf
from asgiserver.h1.head_reader import END, FIRST_BYTES

if TYPE_CHECKING:
    from asgiserver.h1.framing import H1RequestHead
    from asgiserver.h1.head_reader import HeadReader


class RequestSink(Protocol):
    """What a parser calls, synchronously. A sink runs no application code."""

    def on_preface(self, data: bytes) -> bool:
        """`data`, all that is left to parse, begins with `PREFACE`. True: the sink takes it over.

        The parser takes nothing more in any case.
        """

    def on_request(self, head: H1RequestHead) -> None:
        """A head is complete and checked. May raise `PeerError`."""

    def on_body(self, data: bytes) -> None:
        """More of the body. May raise `PeerError`."""

    def on_request_end(self) -> None:
        """The body is complete; not called when `Framing.has_body` is false."""


PREFACE = b"PRI * HTTP/2.0\r\n\r\n"
"""The head that HTTP/2's preface looks like to HTTP/1, which refuses it (RFC 9113 section 3.4)."""

_HEAD, _LENGTH, _CHUNKED, _STOPPED = range(4)
_STATES = ("head", "length", "chunked", "stopped")
_EMPTY_LINES = re.compile(rb"(?:\r\n)*").match


class RequestParser:
    """Parses one connection's requests, one at a time.

    `feed` stops after the end of a request; what follows is kept until the owner, done with that
    request, calls `feed(b"")`. So pipelining needs no queue and its memory is what one read brings.
    After a `PeerError` nothing more is parsed on the connection.
    """

    __slots__ = (
        "_chunks",
        "_left",
        "_limits",
        "_longest_line",
        "_read",
        "_read_whole",
        "_scanned",
        "_sink",
        "_state",
        "in_body",
        "rest",
    )

    def __init__(self, sink: RequestSink, reader: HeadReader) -> None:
        self._sink = sink
        self._read = reader.read
        self._read_whole = reader.read_whole
        self._limits = reader.limits
        self._longest_line = reader.limits.line
        self._state = _HEAD
        self.rest = b""  # kept: the beginning of a head, or what came after the last request
        self.in_body = False
        self._scanned = 0  # no head ends before this position in `rest`
        self._left = 0  # bytes of the body still to come
        self._chunks: ChunkedDecoder | None = None

    def __repr__(self) -> str:
        return f"<RequestParser {_STATES[self._state]} rest={len(self.rest)}>"

    @property
    def clean(self) -> bool:
        """Whether the next byte may begin a request."""
        return self._state == _HEAD

    @property
    def body_left(self) -> int | None:
        """Bytes of the body still to come; None when that is not known."""
        return None if self._state == _CHUNKED else self._left

    def hold(self, data: bytes) -> None:
        """Keep bytes that came after the request being answered."""
        self.rest += data

    def feed(self, data: bytes) -> None:
        """Parse up to the end of a request. Raises `PeerError`, then and ever after drops data."""
        try:
            if self._state != _HEAD:
                if self._state != _STOPPED:
                    self._feed_body(data, 0)
            elif (
                self.rest
                or len(data) > self._longest_line
                or (request := self._read_whole(data)) is None
            ):
                self._feed_head(self.rest + data)
            elif request.framing.has_body:
                self._feed_first_body(request, data, len(data))
            else:  # one head and nothing else, as by far the most are
                self._sink.on_request(request)
        except PeerError:
            left = (self.rest + data).lstrip(b"\r\n")  # empty lines do not count before a head
            self.stop()
            if not (left.startswith(PREFACE) and self._sink.on_preface(left)):
                raise

    def feed_eof(self) -> None:
        """No more bytes come. Raises `PeerError` within a head; within a body the owner knows."""
        if self.rest and self.clean:
            self.stop()
            raise PeerError(400, "incomplete request")

    def take_rest(self) -> bytes:
        """The bytes after an upgrade request: they belong to the other protocol."""
        rest = self.rest
        self.rest = b""
        return rest

    def stop(self) -> None:
        """Parse no more: the connection is going to close, or speaks another protocol."""
        self._state = _STOPPED
        self.in_body = False
        self.rest = b""

    def close(self) -> None:
        """Let go of the sink, so that the two are freed without the garbage collector."""
        self._state = _STOPPED
        self.rest = b""
        del self._sink

    def _feed_head(self, data: bytes) -> None:
        """Parse the first head in `data`, when it is complete, and what has come of its body."""
        scanned, self._scanned = self._scanned, 0
        end = data.find(END, scanned)
        if end < 0 or data[0] not in FIRST_BYTES:
            data, end = self._search_head(data, scanned)
            if end < 0:
                self.rest = data
                return
        end += 4
        head = data[:end]
        if end > self._limits.line:
            self._check_begun(head, 0)
        request = self._read_whole(head) or self._read(head)
        if request.framing.has_body:
            self._feed_first_body(request, data, end)
        else:
            self.rest = data[end:]
            self._sink.on_request(request)

    def _feed_first_body(self, request: H1RequestHead, data: bytes, end: int) -> None:
        """A request with a body, and what has come of it after the end of its head."""
        sink = self._sink
        size = request.framing.content_length
        if size is not None and size <= len(data) - end and size <= self._limits.body:
            sink.on_request(request)
            sink.on_body(data[end : end + size])  # all of a short body has come with its head
            self.rest = data[end + size :]
            sink.on_request_end()
            return
        self._begin_body(request)
        sink.on_request(request)
        if end < len(data):
            self._feed_body(data, end)

    def _begin_body(self, request: H1RequestHead) -> None:
        limits, length = self._limits, request.framing.content_length
        if length is None:
            self._state = _CHUNKED
            self._chunks = ChunkedDecoder(limits.head, limits.fields, limits.body)
        else:
            if length > limits.body:
                self._sink.on_request(request)  # first, so that the access log has the refusal
                raise PeerError(413, "request body too large")
            self._state = _LENGTH
            self._left = length
        self.in_body = True
        self.rest = b""

    def _search_head(self, data: bytes, scanned: int) -> tuple[bytes, int]:
        """The slow way: empty lines before the request, noise, or a head in pieces.

        There is no end of the head before `scanned`.
        """
        if data[:1] in (b"\r", b"\n"):
            # RFC 9112 section 2.2: ignore an empty line before the request line.
            empty = _EMPTY_LINES(data)
            assert empty is not None
            data = data[empty.end() :]
            scanned = 0
        if not data or data == b"\r":
            return data, -1
        if data[0] not in FIRST_BYTES:
            if data[0] == 0x16:
                raise PeerError(400, "TLS on a plain HTTP port")
            raise PeerError(400, "not an HTTP request")
        end = data.find(b"\r\n\r\n", scanned)
        if end >= 0:
            return data, end
        self._check_begun(data, scanned)
        self._scanned = max(0, len(data) - 3)
        return data, -1

    def _check_begun(self, head: bytes, scanned: int) -> None:
        """Refuse what shows before a head is complete: its size, and a bare LF as line end.

        With bare LFs the empty line that ends a head would never come. The first fault counts, so
        the answer does not depend on the pieces in which the head comes. There is no bare LF before
        `scanned`.
        """
        limits = self._limits
        bare = bare_lf(head, scanned)
        if bare >= 0:
            head = head[: bare + 1]
        size = len(head)
        if (
            size > limits.line
            and head.find(b"\r\n", 0, limits.line + 2) < 0
            and (size > limits.line + 1 or head[-1] != 0x0D)  # its LF may be yet to come
        ):
            raise PeerError(414, "request line too long")
        if size > limits.head:
            raise PeerError(431, "request head too large")
        if bare >= 0:
            raise PeerError(400, "bare CR or LF")

    def _feed_body(self, data: bytes, pos: int) -> None:
        if self._state == _LENGTH:
            body = data[pos : pos + self._left] if pos or len(data) > self._left else data
            self._left -= len(body)
            pos = pos + len(body) if not self._left else -1
        else:
            assert self._chunks is not None
            body, pos = self._chunks.feed(data, pos)
        if body:
            self._sink.on_body(body)
        if pos >= 0:
            self._state = _HEAD
            self.in_body = False
            self._chunks = None
            self.rest = data[pos:]
            self._sink.on_request_end()
