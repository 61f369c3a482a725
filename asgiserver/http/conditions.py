"""Conditional requests (RFC 9110 section 13): whether a request applies to the current content.

These pure functions decide by the validators of the content and the fields of the request.
"""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_TAG = re.compile(rb'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')


def failed_condition(
    method: str, fields: Mapping[bytes, bytes], etag: bytes, modified: float
) -> int:
    """The status by which a condition ends the request, or 0 (order: section 13.2.2).

    `fields` are the request's, with the lines of a repeated field joined by commas. `etag` is
    strong and in quotes; `modified` is seconds since the epoch.
    """
    modified = int(modified)  # Last-Modified has whole seconds
    if (value := fields.get(b"if-match")) is not None:
        if not _matches(value, etag, weak=False):
            return 412
    elif (value := fields.get(b"if-unmodified-since")) is not None:
        date = parse_date(value)
        if date is not None and modified > date:
            return 412
    reading = method in ("GET", "HEAD")
    if (value := fields.get(b"if-none-match")) is not None:
        if _matches(value, etag, weak=True):
            return 304 if reading else 412
    elif reading and (value := fields.get(b"if-modified-since")) is not None:
        date = parse_date(value)
        if date is not None and modified <= date:
            return 304
    return 0


def range_applies(if_range: bytes | None, etag: bytes, modified: float, now: float) -> bool:
    """Whether a Range field counts (section 13.1.5): If-Range must match the current content.

    A date is a strong validator only when its second is over (section 8.8.2.2).
    """
    if if_range is None:
        return True
    if if_range.endswith(b'"'):
        return if_range == etag
    return parse_date(if_range) == int(modified) and int(modified) < int(now)


def parse_date(value: bytes) -> float | None:
    """An HTTP date (section 5.6.7) in seconds since the epoch; None for anything else."""
    try:
        date = parsedate_to_datetime(value.decode("ascii"))
        if date.tzinfo is None:  # the form of asctime() has no zone
            date = date.replace(tzinfo=UTC)
        return date.timestamp()
    except (ValueError, OverflowError, IndexError, TypeError):
        return None


def _matches(value: bytes, etag: bytes, *, weak: bool) -> bool:
    """Whether `value`, a list of entity tags or ``*``, matches `etag` (section 8.8.3.2)."""
    if value.strip() == b"*":
        return True
    return any(tag == etag and (weak or not mark) for mark, tag in _TAG.findall(value))
