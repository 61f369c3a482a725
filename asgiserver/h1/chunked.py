"""The chunked transfer coding (RFC 9112 section 7.1), as strict as its grammar, without I/O."""

from __future__ import annotations

import math
import re

from asgiserver.errors import PeerError
from asgiserver.h1.head import FIELD_LINE
from asgiserver.http.fields import TCHAR

_TOKEN = rb"[" + TCHAR + rb"]+"
_QUOTED = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
# The bad white space (BWS) of RFC 9112 section 7.1.1 is refused: no sender may generate it, and
# llhttp and h11 refuse it too.
_EXTENSION = rb";" + _TOKEN + rb"(?:=(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?"
# At most 15 hexadecimal digits, so that no sum of sizes overflows in any program that reads them.
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:" + _EXTENSION + rb")*").fullmatch
# These may not be in trailers (RFC 9110 section 6.5.1); a client that sends them there attacks.
_NEVER_TRAILERS = frozenset({b"content-length", b"transfer-encoding"})

MAX_SIZE_LINE = 4096
"""Bytes of a chunk's size and its extensions, which only attackers send in practice."""

_SIZE, _DATA, _DATA_END, _TRAILERS = range(4)


class ChunkedDecoder:
    """Takes the bytes after a head, gives those of the body and says where the body ends.

    `limit` bounds the extensions of the whole body and its trailer section (bytes, together),
    `fields` the trailer fields, `body` the body itself (bytes). Trailer fields are checked and
    dropped: ASGI has no place for them, and they never become header fields (RFC 9110 6.5.1).
    """

    __slots__ = ("_body_left", "_chunk_left", "_fields_left", "_line", "_overhead_left", "_state")

    def __init__(self, limit: int, fields: int, body: float = math.inf) -> None:
        self._state = _SIZE
        self._chunk_left = 0  # bytes of the current chunk still to come
        self._line = b""  # the beginning of a line whose end has not come
        self._overhead_left = limit  # bytes of extensions and trailers that may still come
        self._fields_left = fields
        self._body_left = body  # bytes of body that may still be announced

    def feed(self, data: bytes, pos: int) -> tuple[bytes, int]:
        """Decode `data` from `pos`; return the body's bytes and where the body ends (-1: not yet).

        Raises `PeerError` (400, 413 when the next chunk would make the body too large, or 431 when
        trailers or extensions are too large). Which fault is reported does not depend on how the
        bytes were cut into pieces.
        """
        parts: list[bytes] = []
        size = len(data)
        while pos < size:
            if self._state == _DATA:
                part = data[pos : pos + self._chunk_left]
                parts.append(part)
                pos += len(part)
                self._chunk_left -= len(part)
                if self._chunk_left:
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
        self._overhead_left -= len(line) - len(digits)
        if self._overhead_left < 0:
            raise PeerError(431, "chunk extensions too large")
        self._chunk_left = int(digits, 16)
        self._body_left -= self._chunk_left
        if self._body_left < 0:
            raise PeerError(413, "request body too large")
        self._state = _DATA if self._chunk_left else _TRAILERS

    def _read_trailer(self, line: bytes) -> None:
        match = FIELD_LINE(line)
        if match is None or len(line) + 2 > self._overhead_left:
            self._check_begun(line + b"\r")
            raise PeerError(400, "invalid trailer")
        if match[1].lower() in _NEVER_TRAILERS:
            raise PeerError(400, "framing field in the trailers")
        self._overhead_left -= len(line) + 2
        self._fields_left -= 1
        if self._fields_left < 0:
            raise PeerError(431, "too many trailer fields")

    def _take_data_end(self, data: bytes, pos: int) -> int:
        """Take the CRLF after a chunk, which may come in two pieces (CVE-2025-43859)."""
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
        """The next line without its CRLF and where it ends; the line is None until it is whole."""
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
        """Refuse the faults that show before a line's end has come: its size, and a bare CR or LF.

        The first fault is reported, so the size counts only up to a bare CR or LF.
        """
        lf, cr = line.find(b"\n"), line.find(b"\r", 0, -1)
        bare = [shows for at, shows in ((lf, lf + 1), (cr, cr + 2)) if at >= 0]
        if bare:
            line = line[: min(bare)]
        size = len(line) - line.endswith(b"\r")
        if self._state == _TRAILERS:
            if size and size + 2 > self._overhead_left:
                raise PeerError(431, "trailers too large")
        elif size > MAX_SIZE_LINE:
            raise PeerError(431, "chunk extensions too large")
        if bare:
            raise PeerError(400, "bare CR or LF")


def _join(parts: list[bytes]) -> bytes:
    return parts[0] if len(parts) == 1 else b"".join(parts)
