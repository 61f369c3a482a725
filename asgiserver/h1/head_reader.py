"""Complete request heads to checked requests. It knows no I/O."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

from asgiserver.errors import PeerError
from asgiserver.h1.framing import read_request_head
from asgiserver.http.underscores import Underscores

if TYPE_CHECKING:
    from asgiserver.h1.framing import H1RequestHead
    from asgiserver.h1.head import RawHead

END = b"\r\n\r\n"
"""The end of a head."""

# A request begins with a method, that is with a token; TLS and most noise does not.
FIRST_BYTES = frozenset(
    b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)
_UNDERSCORE = 0x5F  # a number: bytes look that up much faster than a string of one byte


class HeadParser(Protocol):
    """Splits a complete request head: httptools or h11 does."""

    def parse(self, head: bytes) -> RawHead:
        """Raises `PeerError`."""
        ...


class Limits:
    """Sizes in bytes of what a request may be; see the options of the same names."""

    __slots__ = ("body", "fields", "head", "line")

    def __init__(
        self, line: int = 8192, head: int = 65536, fields: int = 128, body: float = math.inf
    ) -> None:
        self.line = min(line, head - 4)  # the shortest head is a line and two line ends
        self.head = head
        self.fields = fields
        self.body = body


def make_head_parser(name: str) -> HeadParser:
    """The head parser called `name`: auto, httptools or h11."""
    if name != "h11":
        try:
            from asgiserver.h1.httptools_parser import HttptoolsHeadParser

            return HttptoolsHeadParser()
        except ImportError:
            if name == "httptools":
                raise
    from asgiserver.h1.h11_parser import H11HeadParser

    return H11HeadParser()


class HeadReader:
    """Reads complete request heads; one serves all connections of a server."""

    __slots__ = ("_parse", "_underscores", "limits")

    def __init__(self, parser: HeadParser, limits: Limits, underscores: str = "drop") -> None:
        self._parse = parser.parse
        self._underscores = Underscores(underscores)
        self.limits = limits

    def __repr__(self) -> str:
        return f"<{type(self).__name__} underscores={self._underscores.policy}>"

    def read_whole(self, data: bytes) -> H1RequestHead | None:
        """The request in `data`, when that is one head and nothing else; None: look for its end.

        Raises `PeerError`.
        """
        if 0 < data.find(END) == len(data) - 4 and data[0] in FIRST_BYTES:
            return self.read(data)
        return None

    def read(self, head: bytes) -> H1RequestHead:
        """The request of a head, its last empty line included. Raises `PeerError`."""
        method, target, version, fields = self._parse(head)
        if len(fields) > self.limits.fields:
            raise PeerError(431, "too many header fields")
        if _UNDERSCORE in head:
            fields = self._underscores.checked(fields)
        return read_request_head(method, target, version, fields)
