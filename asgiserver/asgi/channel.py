"""The wire side of one exchange; `asgi.session.Session` is the ASGI side.

Every wire implements `Channel`, every ASGI protocol is a `Session`, and neither knows more of the
other than what stands in these two files. All methods are synchronous except `wait_writable` and
`send_file`, which may have to wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from asgiserver.http.message import ResponseHead
    from asgiserver.types import Fields, Outcome


class Channel(Protocol):
    """The wire side of one exchange.

    An HTTP/1 connection has one channel, for one exchange at a time; with HTTP/2 each stream is a
    channel, so nothing here is about the connection.
    """

    writable: bool
    """False while the peer reads too slowly: await `wait_writable` before sending more."""

    async def wait_writable(self) -> None:
        """Return when more may be sent, or the peer is gone (then `Session.disconnect` has run)."""

    def send_informational(self, status: int, fields: Fields) -> None:
        """Send an interim response (RFC 9110 section 15.2), if the wire has such a thing."""

    def send_head(self, head: ResponseHead, body: bytes, end: bool) -> None:
        """Send the head with the first bytes of the body; `end` when these are the whole body."""

    def send_body(self, data: bytes, end: bool) -> None:
        """Send more of the body; `end` with its last bytes."""

    async def send_file(self, fd: int, offset: int, count: int) -> None:
        """Send `count` bytes of an open file, from `offset`, as part of the body.

        The caller calls `send_body` next, perhaps without bytes. Returns when the kernel has all
        `count` bytes, or when the peer is gone (then `Session.disconnect` has run). Raises
        `OSError` when the file is shorter or cannot be read: the response is broken then.
        """

    def send_trailers(self, fields: Fields) -> None:
        """Keep trailer fields, which `head.trailers` announced; there may be several such calls.

        They are sent, if the peer accepts them, by the `send_body` that ends the body.
        """

    def open_tunnel(self, fields: Fields) -> None:
        """Accept an upgrade: 101 on HTTP/1.1, 200 on HTTP/2. Raw bytes follow both ways.

        Only a session whose request had `Framing.upgrade` calls this.
        """

    def send_tunnel(self, data: bytes, more: bytes = b"") -> None:
        """Send raw bytes through an open tunnel: a frame in one piece, or its head and payload."""

    def consumed(self, size: int) -> None:
        """The application took `size` bytes: read on, or widen the window of the stream."""

    def finish(self) -> bool:
        """The response is complete: take the next request, or close a tunnel after all is sent.

        The request may not be: the wire drops the rest of it, or resets the stream. Returns true
        when the wire keeps nothing more for this peer, which does not read: the last `send` then
        awaits `wait_writable`. An HTTP/1 connection holds back the next request instead.
        """

    def abort(self, reason: Outcome) -> None:
        """Break off the exchange: close the connection at once, or reset the stream."""
