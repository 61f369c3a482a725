"""Reads request heads with the compiled core, and with Python what the core leaves; without I/O.

The core accepts and never refuses: what it gives is what `HeadReader.read` would have given. Where
the core gives nothing, `HeadReader.read` decides, so no status and no text of an error depends on
the core.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiserver.h1.framing import H1RequestHead
from asgiserver.h1.head_reader import HeadReader
from asgiserver.http.message import PLAIN, Framing
from asgiserver.speedups import _core

if TYPE_CHECKING:
    from asgiserver.h1.head_reader import HeadParser, Limits

_CLOSE, _CHUNKED, _OLD = _core.CLOSE, _core.CHUNKED, _core.OLD
_EXPECT, _TRAILERS, _LENGTH = _core.EXPECT, _core.TRAILERS, _core.LENGTH


def _framing_of(facts: int, content_length: int = 0, upgrade: bytes = b"") -> Framing:
    """The framing that the core has found: `facts` are its bits."""
    if facts == _LENGTH:  # as of most bodies
        return Framing(True, content_length)
    chunked = facts & _CHUNKED > 0
    return Framing(
        chunked or content_length > 0,
        None if chunked else content_length,
        facts & _EXPECT > 0,
        facts & _TRAILERS > 0,
        upgrade,
    )


# By facts, for all requests that have no length and no upgrade. HTTP/1.0 is a fact too, so that
# nothing of it is PLAIN.
_FRAMINGS = (PLAIN, *map(_framing_of, range(1, _LENGTH)))


class CoreReader(HeadReader):
    """A `HeadReader` that asks the compiled core first."""

    __slots__ = ("_keeps", "_most")

    def __init__(self, parser: HeadParser, limits: Limits, underscores: str = "drop") -> None:
        super().__init__(parser, limits, underscores)
        self._most = limits.fields
        self._keeps = underscores == "keep"

    def read(self, head: bytes) -> H1RequestHead:
        """See `HeadReader.read`."""
        return self.read_whole(head) or super().read(head)

    def read_whole(self, data: bytes) -> H1RequestHead | None:
        """See `HeadReader.read_whole`: the core finds the end of a head while it reads the head."""
        found = _core.read_head(data, self._most, self._keeps)
        if found is None:
            return None
        method, target, version, fields, facts, length, upgrade, forwarded, parts = found
        request = H1RequestHead(method, target, version, fields, PLAIN, forwarded, parts)
        if not facts:
            request.keep_alive = True
        else:
            request.keep_alive = not facts & _CLOSE
            if facts < _LENGTH:  # neither a length nor an upgrade: these are the highest bits
                request.framing = _FRAMINGS[facts]
            else:
                request.framing = _framing_of(facts, length, upgrade)
        return request
