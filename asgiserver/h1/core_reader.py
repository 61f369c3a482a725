"""Request heads through the compiled core; what that leaves, Python reads. It knows no I/O.

The core accepts and never refuses: what it gives is what `HeadReader.read` would have given, and
where it gives nothing, that decides. So no status and no text of an error depends on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiserver.h1.head_reader import HeadReader
from asgiserver.http.message import PLAIN, Framing, RequestHead
from asgiserver.speedups import _core

if TYPE_CHECKING:
    from asgiserver.h1.head_reader import HeadParser, Limits

_CLOSE, _CHUNKED, _OLD = _core.CLOSE, _core.CHUNKED, _core.OLD
_EXPECT, _TRAILERS = _core.EXPECT, _core.TRAILERS


def _framing_of(facts: int, content_length: int = 0, upgrade: bytes = b"") -> Framing:
    if not facts:  # as of most bodies
        return Framing(True, content_length, False, False, False, upgrade)
    return Framing(
        not facts & _CLOSE,
        content_length,
        facts & _CHUNKED > 0,
        facts & _EXPECT > 0,
        facts & _TRAILERS > 0,
        upgrade,
    )


# By facts, for all requests that have no length and no upgrade. HTTP/1.0 is a fact too, so that
# nothing of it is PLAIN.
_FRAMINGS = (
    PLAIN,
    *map(_framing_of, range(1, (_CLOSE | _CHUNKED | _EXPECT | _TRAILERS | _OLD) + 1)),
)


class CoreReader(HeadReader):
    """A `HeadReader` that asks the compiled core first."""

    __slots__ = ("_keeps", "_most")

    def __init__(self, parser: HeadParser, limits: Limits, underscores: str = "drop") -> None:
        super().__init__(parser, limits, underscores)
        self._most = limits.fields
        self._keeps = underscores == "keep"

    def read(self, head: bytes) -> RequestHead:
        """See `HeadReader.read`."""
        found = _core.read_head(head, self._most, self._keeps)
        if found is None:
            return super().read(head)
        method, target, version, fields, facts, length, upgrade, forwarded, parts = found
        framing = _framing_of(facts, length, upgrade) if length or upgrade else _FRAMINGS[facts]
        return RequestHead(method, target, version, fields, framing, forwarded, parts)
