"""Complete request heads to checked requests. It knows no I/O."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Protocol

from asgiserver.errors import PeerError
from asgiserver.http.framing import read_request_head

if TYPE_CHECKING:
    from asgiserver.h1.head import RawHead
    from asgiserver.http.message import RequestHead

logger = logging.getLogger("asgiserver")

_UNDERSCORE = 0x5F  # a number: bytes look that up much faster than a string of one byte


class HeadParser(Protocol):
    """Splits a complete request head; httptools and h11 stand behind the same line."""

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

    __slots__ = ("_parse", "_said", "_underscores", "limits")

    def __init__(self, parser: HeadParser, limits: Limits, underscores: str = "drop") -> None:
        self._parse = parser.parse
        self._underscores = underscores  # of --header-underscore
        self._said = False
        self.limits = limits

    def __repr__(self) -> str:
        return f"<{type(self).__name__} underscores={self._underscores}>"

    def read(self, head: bytes) -> RequestHead:
        """The request of a head, its last empty line included. Raises `PeerError`."""
        method, target, version, fields = self._parse(head)
        if len(fields) > self.limits.fields:
            raise PeerError(431, "too many header fields")
        if (
            self._underscores != "keep"
            and _UNDERSCORE in head
            and _UNDERSCORE in b"".join([name for name, _ in fields])  # cookies have them, too
        ):
            fields = self._without_underscores(fields)
        return read_request_head(method, target, version, fields)

    def _without_underscores(self, fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """The fields whose names no gateway turns into those of others (CVE-2015-0219).

        CGI has no hyphens, so ``x_real_ip`` and ``x-real-ip`` are one variable of WSGI and Django.
        """
        if self._underscores == "refuse":
            raise PeerError(400, "underscore in a header name")
        if not self._said:
            self._said = True
            name = next(name for name, _ in fields if b"_" in name)
            logger.info(
                "Dropped the field %s: many applications take it for another; if yours needs"
                " such names: --header-underscore keep",
                name.decode(),
            )
        return [field for field in fields if b"_" not in field[0]]
