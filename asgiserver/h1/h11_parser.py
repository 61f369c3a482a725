"""Request heads through h11: pure Python, runs everywhere."""

from __future__ import annotations

import h11

from asgiserver.errors import PeerError
from asgiserver.h1.head import RawHead, parse_head
from asgiserver.http.framing import METHODS


class H11HeadParser:
    """h11 as a parser of heads only; bodies and connections are ours.

    h11 accepts bare LF, folded lines and more (be liberal in what you accept); the strict grammar
    stands before it, so that both parsers take the same requests.
    """

    __slots__ = ()

    def parse(self, head: bytes) -> RawHead:
        """Split a complete head. Raises `PeerError`."""
        method, _, version, strict_fields = parse_head(head)
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=len(head))
        try:
            connection.receive_data(head)
            event = connection.next_event()
        except h11.RemoteProtocolError as error:
            # Host, Content-Length and Transfer-Encoding: the shared framing check says what is
            # wrong, in the same words for both parsers.
            if error.error_status_hint in (400, 501):
                target = head.split(b" ", 2)[1]
                return method, target, version, strict_fields
            raise PeerError(error.error_status_hint, "malformed request head") from error
        if not isinstance(event, h11.Request):
            raise PeerError(400, "malformed request head")
        fields = [(name, value) for name, value in event.headers]
        return METHODS[event.method], event.target, event.http_version.decode(), fields
