"""The field ``traceparent``, by which a caller passes on its trace (W3C Trace Context)."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["TraceParent", "read_traceparent"]

_FORM = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?").fullmatch


class TraceParent(NamedTuple):
    """The trace and the span of the caller, in hexadecimal."""

    trace_id: str
    span_id: str


def read_traceparent(value: bytes) -> TraceParent | None:
    """What `value` says; None when it is not valid (Trace Context, section 3.2.2)."""
    match = _FORM(value)
    if match is None:
        return None
    version, trace_id, span_id, _, rest = match.groups()
    if version == b"ff" or (version == b"00" and rest is not None):
        return None
    if not trace_id.strip(b"0") or not span_id.strip(b"0"):
        return None
    return TraceParent(trace_id.decode(), span_id.decode())
