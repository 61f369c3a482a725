"""Range requests (RFC 9110 section 14): the ranges of a request, and the framing of the parts."""

from __future__ import annotations

import re

MOST_RANGES = 32
"""The most ranges of one request; when a request has more, the whole content is sent."""

# 19 digits are enough for the size of any file.
_SPEC = re.compile(rb"([0-9]{1,19})-([0-9]{0,19})|-([0-9]{1,19})").fullmatch

Range = tuple[int, int]
"""Offset and count of bytes; a count of 0 does not occur."""


def parse_range(value: bytes, size: int) -> list[Range] | None:
    """The ranges in a Range field, in its order, for a content of `size` bytes.

    The list is empty when none of the ranges exists (416). None means that the field is to be
    ignored: its unit is another one, its syntax is wrong, there are too many ranges, or they
    overlap so that the answer would be larger than the content (section 14.2; section 17.15 for
    the attack).
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
                return None  # a suffix of no bytes exists, but Content-Range cannot express it
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
    """The heads before the parts of a multipart/byteranges, and the end after the last (14.6)."""
    heads = [
        b"\r\n--%b\r\ncontent-type: %b\r\ncontent-range: %b\r\n\r\n"
        % (boundary, media, content_range(part, size))
        for part in ranges
    ]
    heads[0] = heads[0].removeprefix(b"\r\n")
    return [*heads, b"\r\n--%b--\r\n" % boundary]
