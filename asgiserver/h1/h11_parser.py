"""Request heads through h11: pure Python, runs everywhere."""

from __future__ import annotations

import h11

from asgiserver.h1.head import RawHead, parse_head
from asgiserver.http.framing import METHODS


class H11HeadParser:
    """h11 as a parser of heads only; bodies and connections are ours.

    h11 accepts bare LF, folded lines and more (be liberal in what you accept); the strict grammar
    stands before it, so that both parsers take the same requests. The fields are the grammar's: h11
    joins equal Content-Lengths and rewrites Transfer-Encoding, which the framing check has to see.
    """

    __slots__ = ()

    def parse(self, head: bytes) -> RawHead:
        """Split a complete head. Raises `PeerError`."""
        strict = parse_head(head)
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=len(head))
        try:
            connection.receive_data(head)
            event = connection.next_event()
        except h11.RemoteProtocolError:
            # Host, Content-Length and Transfer-Encoding: the shared framing check says what is
            # wrong, in the same words for both parsers.
            return strict
        assert isinstance(event, h11.Request)  # the head is complete
        return METHODS[event.method], event.target, event.http_version.decode(), strict[3]
