"""Request heads through httptools (llhttp): the fast one."""

from __future__ import annotations

import httptools

from asgiserver.h1.head import VERSIONS, RawHead, parse_head
from asgiserver.http.semantics import METHODS
from asgiserver.http.target import is_target

_TAB = 0x09


class HttptoolsHeadParser:
    """llhttp as a parser of heads only; bodies and connections are ours.

    One llhttp parser serves all requests of all connections, because each is fed a complete head
    in one piece and is done with it. Only after a head that announces a body, an upgrade or the
    end of the connection llhttp waits for something that never comes; then the next head has a new
    parser.

    Where llhttp refuses, or takes a request line that RFC 9112 section 3 does not allow, the strict
    grammar decides.
    """

    __slots__ = ("_fields", "_parser", "_reusable", "_target")

    def __init__(self) -> None:
        self._parser: httptools.HttpRequestParser | None = None
        self._fields: list[tuple[bytes, bytes]] = []
        self._target = b""
        self._reusable = False

    def parse(self, head: bytes) -> RawHead:
        """Split a complete head. Raises `PeerError`."""
        parser = self._parser
        if parser is None:
            parser = self._parser = httptools.HttpRequestParser(self)
        fields: list[tuple[bytes, bytes]] = []
        self._fields = fields
        self._target = b""
        self._reusable = False
        try:
            parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError:
            self._parser = None
            return parse_head(head)
        target = self._target
        name = parser.get_method()
        if not self._reusable or parser.should_upgrade():
            self._parser = None
            if _TAB in head:  # perhaps in Transfer-Encoding, where the grammar takes none
                return parse_head(head)
        # The version stands here in a strict request line. llhttp also takes more blanks than one,
        # other versions (0.9, 2.0), other protocols (RTSP, ICE), and targets with other bytes.
        end = len(name) + len(target) + 2
        version = VERSIONS.get(head[end : end + 8])
        method = METHODS.get(name)
        if version is None or method is None or not is_target(target):
            self._parser = None
            return parse_head(head)
        return method, target, version, fields

    # Called by httptools.

    def on_url(self, url: bytes) -> None:
        """The request target, whole: a head is fed in one piece."""
        self._target = url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field line; llhttp leaves the white space after the value."""
        self._fields.append((name.lower(), value.rstrip()))

    def on_message_complete(self) -> None:
        """The request has no body; when this returns, llhttp forgets its Connection field."""
        assert self._parser is not None
        self._reusable = self._parser.should_keep_alive()
