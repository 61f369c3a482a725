"""Chunked transfer coding (RFC 9112 section 7.1), as strict as its grammar. It knows no I/O."""

from __future__ import annotations

import math
import re

from asgiserver.errors import PeerError
from asgiserver.h1.head import FIELD_LINE
from asgiserver.http.fields import TCHAR

_TOKEN = rb"[" + TCHAR + rb"]+"
_QUOTED = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
# Without the white space of RFC 9112 section 7.1.1, which nobody may send, and which llhttp and h11
# refuse too.
_EXTENSION = rb";" + _TOKEN + rb"(?:=(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?"
# 15 hexadecimal digits: no sum of sizes overflows anything anywhere behind us.
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:" + _EXTENSION + rb")*").fullmatch
# Whoever puts these there is up to something (RFC 9110 section 6.5.1).
_NEVER_TRAILERS = frozenset({b"content-length", b"transfer-encoding"})

MAX_SIZE_LINE = 4096
"""Bytes of a chunk's size and extensions; nobody sends extensions, but attackers do."""

_SIZE, _DATA, _DATA_END, _TRAILERS = range(4)


class ChunkedDecoder:
    """Takes the bytes behind a head, gives those of the body and says where the body ends.

    `limit` bounds the extensions of the whole body and its trailer section (bytes, together),
    `fields` the trailer fields, `body` the body itself (bytes). Trailer fields are checked and
    dropped: ASGI has no place for them, and they never become header fields (RFC 9110 6.5.1).
    """

    __slots__ = ("_fields_left", "_left", "_line", "_room", "_spare", "_state")

    def __init__(self, limit: int, fields: int, body: float = math.inf) -> None:
        self._state = _SIZE
        self._left = 0  # bytes of the current chunk still to come
        self._line = b""  # the beginning of a line whose end has not come
        self._spare = limit  # bytes of extensions and trailers that may still come
        self._fields_left = fields
        self._room = body  # bytes of body that may still be announced

    def feed(self, data: bytes, pos: int) -> tuple[bytes, int]:
        """Decode `data` from `pos`: the body's bytes, and where the body ends (-1: not yet).

        Raises `PeerError` (400, 413 when the next chunk would make the body too large, or 431 when
        trailers or extensions are too large). For which fault
        does not depend on the pieces that `data` comes in.
        """
        parts: list[bytes] = []
        size = len(data)
        while pos < size:
            if self._state == _DATA:
                part = data[pos : pos + self._left]
                parts.append(part)
                pos += len(part)
                self._left -= len(part)
                if self._left:
                    break
                self._state = _DATA_END
                continue
            if self._state == _DATA_END:
                pos = self._take_data_end(data, pos)
                continue
            line, pos = self._take_line(data, pos)
            if line is None:
                break
            if self._state == _SIZE:
                self._read_size(line)
            elif not line:
                return _join(parts), pos
            else:
                self._read_trailer(line)
        return _join(parts), -1

    def _read_size(self, line: bytes) -> None:
        match = _SIZE_LINE(line)
        if match is None or len(line) > MAX_SIZE_LINE:
            self._check_begun(line + b"\r")
            raise PeerError(400, "invalid chunk size")
        digits = match[1]
        self._spare -= len(line) - len(digits)
        if self._spare < 0:
            raise PeerError(431, "chunk extensions too large")
        self._left = int(digits, 16)
        self._room -= self._left
        if self._room < 0:
            raise PeerError(413, "request body too large")
        self._state = _DATA if self._left else _TRAILERS

    def _read_trailer(self, line: bytes) -> None:
        match = FIELD_LINE(line)
        if match is None or len(line) + 2 > self._spare:
            self._check_begun(line + b"\r")
            raise PeerError(400, "invalid trailer")
        if match[1].lower() in _NEVER_TRAILERS:
            raise PeerError(400, "framing field in the trailers")
        self._spare -= len(line) + 2
        self._fields_left -= 1
        if self._fields_left < 0:
            raise PeerError(431, "too many trailer fields")

    def _take_data_end(self, data: bytes, pos: int) -> int:
        """The CRLF behind a chunk, which may come in two pieces (CVE-2025-43859)."""
        wanted = b"\n" if self._line else b"\r\n"
        found = data[pos : pos + len(wanted)]
        if not wanted.startswith(found):
            raise PeerError(400, "chunk data is not followed by CRLF")
        if len(found) == len(wanted):
            self._line = b""
            self._state = _SIZE
        else:
            self._line = found
        return pos + len(found)

    def _take_line(self, data: bytes, pos: int) -> tuple[bytes | None, int]:
        """The next line without its CRLF; None when its end has not come."""
        kept = self._line
        if kept.endswith(b"\r") and data[pos : pos + 1] == b"\n":
            line, pos = kept[:-1], pos + 1
        else:
            end = data.find(b"\r\n", pos)
            if end < 0:
                self._line = kept + data[pos:]
                self._check_begun(self._line)
                return None, len(data)
            line, pos = kept + data[pos:end], end + 2
        self._line = b""
        return line, pos

    def _check_begun(self, line: bytes) -> None:
        """Refuse what shows before a line's LF has come: its size, and a bare CR or LF.

        The first fault counts: `line` ends where it shows.
        """
        lf, cr = line.find(b"\n"), line.find(b"\r", 0, -1)
        bare = [shows for at, shows in ((lf, lf + 1), (cr, cr + 2)) if at >= 0]
        if bare:
            line = line[: min(bare)]
        size = len(line) - line.endswith(b"\r")
        if self._state == _TRAILERS:
            if size and size + 2 > self._spare:
                raise PeerError(431, "trailers too large")
        elif size > MAX_SIZE_LINE:
            raise PeerError(431, "chunk extensions too large")
        if bare:
            raise PeerError(400, "bare CR or LF")


def _join(parts: list[bytes]) -> bytes:
    return parts[0] if len(parts) == 1 else b"".join(parts)
