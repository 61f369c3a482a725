"""Range requests (RFC 9110 section 14): which bytes are asked for, and how they are framed."""

from __future__ import annotations

import re

MOST_RANGES = 32
"""Ranges of one request above which they are not worth it: the whole is sent."""

# At most 19 digits: nothing has more bytes.
_SPEC = re.compile(rb"([0-9]{1,19})-([0-9]{0,19})|-([0-9]{1,19})").fullmatch

Range = tuple[int, int]
"""Offset and count of bytes; a count of 0 does not occur."""


def parse_range(value: bytes, size: int) -> list[Range] | None:
    """The ranges that a Range field asks for of `size` bytes, in its order.

    Empty when none of them exists (416). None when the field is to be ignored: another unit, wrong
    syntax, too many ranges or ranges that overlap, which would make the answer larger than the
    whole (section 14.2 and, for what attackers do with it, 17.15).
    """
    unit, _, specs = value.partition(b"=")
    parts = [part for spec in specs.split(b",") if (part := spec.strip(b" \t"))]
    if unit.strip().lower() != b"bytes" or not parts or len(parts) > MOST_RANGES:
        return None
    ranges = []
    for part in parts:
        match = _SPEC(part)
        if match is None:
            return None
        first, last, suffix = match.groups()
        if suffix is not None:
            count = min(int(suffix), size)
            start = size - count
            if not size and int(suffix):
                return None  # it exists, and Content-Range cannot say it
        else:
            start = int(first)
            if last and int(last) < start:
                return None
            count = min(int(last), size - 1) - start + 1 if last else size - start
        if count > 0:
            ranges.append((start, count))
    if sum(count for _, count in ranges) > size:
        return None
    return ranges


def content_range(part: Range, size: int) -> bytes:
    """The value of Content-Range for a part of `size` bytes (section 14.4)."""
    start, count = part
    return b"bytes %d-%d/%d" % (start, start + count - 1, size)


def part_heads(ranges: list[Range], size: int, media: bytes, boundary: bytes) -> list[bytes]:
    """What stands before each part of a multipart/byteranges, and behind the last (14.6)."""
    heads = [
        b"\r\n--%b\r\ncontent-type: %b\r\ncontent-range: %b\r\n\r\n"
        % (boundary, media, content_range(part, size))
        for part in ranges
    ]
    heads[0] = heads[0].removeprefix(b"\r\n")
    return [*heads, b"\r\n--%b--\r\n" % boundary]
