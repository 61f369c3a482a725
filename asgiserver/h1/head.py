"""The strict grammar of a request head (RFC 9112 sections 2 to 5), line by line.

This module is the reference for what is refused and how: it checks a head before h11, which is
lenient by design, and it names the fault when httptools has refused a head. It knows no I/O.
"""

from __future__ import annotations

import re

from asgiserver.errors import PeerError
from asgiserver.http.fields import TCHAR, TOKEN
from asgiserver.http.semantics import METHODS
from asgiserver.http.target import TARGET

RawHead = tuple[str, bytes, str, list[tuple[bytes, bytes]]]
"""Method, target, HTTP version, fields with lower-case names."""

VERSIONS = {b"HTTP/1.1": "1.1", b"HTTP/1.0": "1.0"}

_REQUEST_LINE = re.compile(
    rb"([" + TCHAR + rb"]+) (" + TARGET + rb") (HTTP/[0-9]\.[0-9])"
).fullmatch
FIELD_LINE = re.compile(rb"([" + TCHAR + rb"]+):[ \t]*([\t -~\x80-\xff]*)").fullmatch
_BARE_LF = re.compile(rb"(?<!\r)\n").search


def parse_head(head: bytes) -> RawHead:
    """Split a head, its last empty line included. Raises `PeerError` at the first fault.

    A bare LF is reported before any other fault, because it is refused as soon as it arrives.
    """
    if bare_lf(head, 0) >= 0:
        raise PeerError(400, "bare CR or LF")
    request_line, *lines = head[:-4].split(b"\r\n")
    match = _REQUEST_LINE(request_line)
    if match is None:
        raise PeerError(400, _request_line_fault(request_line))
    name, target, version = match.groups()
    if version not in VERSIONS:
        raise PeerError(505, "HTTP version is not supported")
    method = METHODS.get(name)
    if method is None:
        raise PeerError(501, "method is not supported")
    fields = []
    for line in lines:
        match = FIELD_LINE(line)
        if match is None:
            raise PeerError(400, _field_line_fault(line))
        field = match[1].lower(), match[2].rstrip(b" \t")
        # Requests have been smuggled with white space that some servers strip and others do not
        # (CVE-2019-16789).
        if field[0] == b"transfer-encoding" and b"\t" in match[2]:
            raise PeerError(400, "invalid Transfer-Encoding")
        fields.append(field)
    return method, target, VERSIONS[version], fields


def bare_lf(data: bytes, start: int) -> int:
    """The position of the first LF without a CR before it in `data[start:]`; -1 for none."""
    before = max(0, start - 1)  # the CR of an LF at `start` is there
    if data.count(b"\n", start) == data.count(b"\r\n", before):
        return -1
    match = _BARE_LF(data, start)
    return match.start() if match is not None else -1


def _request_line_fault(line: bytes) -> str:
    if b"\r" in line:
        return "bare CR or LF"
    return "invalid request line"


def _field_line_fault(line: bytes) -> str:
    if b"\r" in line:
        return "bare CR or LF"
    if line[:1] in (b" ", b"\t"):
        return "folded header line"
    name, colon, _ = line.partition(b":")
    if not colon or not TOKEN(name):
        return "invalid header name"
    return "invalid character in a header value"
