"""The waist: the wire side (`Channel`) and the ASGI side (`Session`) of one exchange.

Every wire implements `Channel`, every ASGI protocol implements `Session`; neither knows more of the
other than what stands here. All of it is synchronous but the two places that may have to wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from asgiserver.context import Runnable

if TYPE_CHECKING:
    from asgiserver.http.message import RequestHead, ResponseHead
    from asgiserver.types import Fields


class Channel(Protocol):
    """The wire side of one exchange.

    An HTTP/1 connection has one, for one exchange at a time; on HTTP/2 each stream is one.
    """

    writable: bool
    """False while the peer reads too slowly: await `wait_writable` before sending more."""

    async def wait_writable(self) -> None:
        """Return once more may be sent, or the peer is gone (then `Session.disconnect` has run)."""

    def send_informational(self, status: int, fields: Fields) -> None:
        """Send an interim response (RFC 9110 section 15.2)."""

    def send_head(self, head: ResponseHead, body: bytes, end: bool) -> None:
        """Send the head together with the first bytes of the body; `end` when they are all."""

    def send_body(self, data: bytes, end: bool) -> None:
        """Send more of the body; `end` with the last."""

    async def send_file(self, fd: int, offset: int, count: int) -> None:
        """Send `count` bytes of an open file, from `offset`, as part of the body.

        A `send_body` follows, perhaps of no bytes. Returns when the kernel has them all, or when
        the peer is gone (then `Session.disconnect` has run). Raises `OSError` when the file is
        shorter or cannot be read: the response is broken then.
        """

    def send_trailers(self, fields: Fields) -> None:
        """End the body with trailer fields (only when `head.trailers` announced them)."""

    def open_tunnel(self, fields: Fields) -> None:
        """Accept an upgrade: 101 on HTTP/1.1, 200 on HTTP/2. Raw bytes follow in both ways."""

    def send_tunnel(self, data: bytes, more: bytes = b"") -> None:
        """Send raw bytes through an open tunnel: a frame in one piece, or its head and payload."""

    def consumed(self, size: int) -> None:
        """The application took `size` bytes: resume reading, or widen the window."""

    def finish(self) -> None:
        """The exchange is over: take the next request, or close a tunnel after what is queued."""

    def abort(self, reason: str) -> None:
        """Break the exchange off: close the connection at once, or reset the stream."""


class Session(Runnable, Protocol):
    """The ASGI side of one exchange; what runs of it is a `Runnable`."""

    request: RequestHead

    buffered: int
    """Bytes received that the application has not taken yet."""

    continue_wanted: bool
    """Whether the client waits for a 100 (Continue) before it sends the body."""

    @property
    def unsent(self) -> bool:
        """Whether nothing of the answer is on the wire yet."""

    may_half_close: bool
    """Whether a client that has closed its sending side may wait for an answer."""

    def feed(self, data: bytes) -> None:
        """Bytes of the request body, or of the tunnel."""

    def feed_end(self) -> None:
        """The request body is complete, or the peer closed its side of the tunnel."""

    def disconnect(self, reason: str) -> None:
        """The peer is gone."""

    def hang_up(self, reason: str) -> None:
        """The peer sends no more and may have left, but it may also wait for the answer."""

    def on_tick(self, now: float) -> None:
        """Called about once a second (clock seconds) while the wire waits for the application."""

    def connection_drains(self) -> None:
        """The connection takes no further exchange: the server is stopping."""
