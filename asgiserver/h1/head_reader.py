"""Complete request heads to checked requests, remembering what clients repeat. It knows no I/O."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Protocol

from asgiserver.errors import PeerError
from asgiserver.http.framing import METHODS, read_request_head
from asgiserver.http.message import Framing, RequestHead

if TYPE_CHECKING:
    from asgiserver.h1.head import RawHead

logger = logging.getLogger("asgiserver")

# Numbers, because bytes look them up fifteen times faster than a string of one byte.
_FRAGMENT, _UNDERSCORE = 0x23, 0x5F

_KEPT = 256
_KEPT_SIZE = 4096
"""How many parts of heads are remembered, and of what size (bytes) at most; of as many more it is
known that they have been met once."""


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
    """Reads complete request heads; one serves all connections of a server.

    A client sends the same field lines with every request. Those that have passed every check are
    remembered by their bytes when they come again, and from then on only the request line has to be
    read. Where all heads differ, behind a proxy that numbers them, nothing but hashes is kept.
    """

    __slots__ = ("_known", "_met", "_parse", "_said", "_underscores", "limits")

    def __init__(self, parser: HeadParser, limits: Limits, underscores: str = "drop") -> None:
        self._parse = parser.parse
        self._underscores = underscores  # of --header-underscore
        self._said = False
        self.limits = limits
        self._met: set[int] = set()  # hashes of what has come once
        # By everything behind the target: the version, which is 1.1, and the field lines.
        self._known: dict[bytes, tuple[list[tuple[bytes, bytes]], Framing]] = {}

    def __repr__(self) -> str:
        return f"<HeadReader known={len(self._known)}>"

    def known(self, head: bytes) -> RequestHead | None:
        """The request of a head whose field lines are remembered; None when `read` has to look.

        Where the target is a path and the version 1.1, no rule ties the request line to the fields
        (an absolute target has to agree with Host, HTTP/1.0 has other framing).
        """
        try:
            name, path, rest = head.split(b" ", 2)
        except ValueError:
            return None
        method = METHODS.get(name)
        known = self._known.get(rest)
        if (
            known is None
            or method is None
            or not path.startswith(b"/")
            or not path.isascii()
            or not path.decode().isprintable()
            or _FRAGMENT in path
        ):
            return None
        fields, framing = known
        return RequestHead(method, path, "1.1", fields.copy(), framing)

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
        request = read_request_head(method, target, version, fields)
        if version == "1.1" and target[0] == 0x2F:
            self._remember(head.split(b" ", 2)[2], fields, request.framing)
        return request

    def _remember(self, rest: bytes, fields: list[tuple[bytes, bytes]], framing: Framing) -> None:
        """Keep what has come for the second time."""
        if len(rest) > _KEPT_SIZE:
            return
        key = hash(rest)
        if key not in self._met:
            if len(self._met) >= _KEPT:
                self._met.clear()
            self._met.add(key)
            return
        if len(self._known) >= _KEPT:
            self._known.clear()
        self._known[rest] = fields.copy(), framing

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
