"""Parses request heads with h11, which is pure Python and runs everywhere."""

from __future__ import annotations

import h11

from asgiserver.h1.head import RawHead, parse_head
from asgiserver.http.semantics import METHODS


class H11HeadParser:
    """h11 as a parser of heads only; asgiserver itself handles bodies and connections.

    h11 accepts bare LF, folded lines and more (be liberal in what you accept), so the strict
    grammar is applied first: both parsers accept the same requests. The fields are taken from the
    grammar, because h11 joins equal Content-Lengths and rewrites Transfer-Encoding, and the framing
    check has to see them as they came.
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
            # The fault is in Host, Content-Length or Transfer-Encoding: the framing check that both
            # parsers share reports it, in the same words for both.
            return strict
        assert isinstance(event, h11.Request)  # the head is complete
        return METHODS[event.method], event.target, event.http_version.decode(), strict[3]
