"""What a codec tells its wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from asgiserver.errors import PeerError
    from asgiserver.h2.streams import Stream
    from asgiserver.http.message import RequestHead

S_contra = TypeVar("S_contra", bound="Stream", contravariant=True)


class Sink(Protocol[S_contra]):
    """What a codec calls, synchronously, within `H2Codec.feed` (`on_drained` within `pump`, too).

    A sink runs no application code. It may call the codec: answer, reset, consume. It is told
    nothing more of a stream after `on_reset`, and after both sides have ended.
    """

    def on_request(self, stream: S_contra, head: RequestHead, end: bool) -> None:
        """A request is checked; `end` when it has neither body nor trailers.

        `head.http_version` is "2". `:authority` is the field `host`, the first one; pieces of a
        cookie are joined. An extended CONNECT (RFC 8441) has the method "CONNECT" and
        `head.framing.upgrade` b"websocket".

        May raise `PeerError`: the codec calls `on_refused` with it.
        """

    def on_refused(
        self, stream: S_contra, error: PeerError, head: RequestHead | None, end: bool
    ) -> None:
        """The request is refused with a status: answer it. Nothing follows but `on_reset`.

        `head` is None when there is none. 413 may come after `on_request`, when the body exceeds
        the limit. What still comes of the body is dropped and credited. A request that RFC 9113
        calls malformed (section 8.1.1) is not answered: the codec resets such a stream.
        """

    def on_data(self, stream: S_contra, data: bytes) -> None:
        """More of the request body, never empty. Padding is credited already.

        `H2Codec.consumed` credits what the application has taken, now or later.
        """

    def on_end(self, stream: S_contra) -> None:
        """The body is complete; not called after a head with `end`. Trailers are dropped."""

    def on_reset(self, stream: S_contra, code: int, reason: str) -> None:
        """The stream is gone before both sides had ended: by the client's RST_STREAM, then `reason`
        is empty; or by a fault of the client, which `reason` tells.

        It counts as a concurrent stream until `H2Codec.release`, because its task may run on.
        """

    def on_cut(self, code: int) -> None:
        """RST_STREAM with `code` is written, for whatever reason."""

    def on_fault(self, reason: str) -> None:
        """A stream that the sink does not know was reset: its request is malformed."""

    def on_drained(self, stream: S_contra) -> None:
        """All that was pending of `stream` is written."""

    def on_ping_ack(self, payload: bytes) -> None:
        """The answer to `H2Codec.ping`."""

    def on_goaway(self, code: int) -> None:
        """The client opens no more streams; those that are open go on."""
