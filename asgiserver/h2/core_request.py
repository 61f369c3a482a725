"""Reads requests with the compiled core, and with Python what the core leaves. It knows no frames.

The core accepts and never refuses: what it gives is what `request_head.read_request` would have
given. Where the core gives nothing, that function decides, so no fault is named here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiserver import speedups
from asgiserver.h2 import request_head
from asgiserver.h2.priority import read_priority
from asgiserver.h2.request_head import BODY, NO_BODY, H2RequestHead
from asgiserver.http.message import Framing

if TYPE_CHECKING:
    from asgiserver.h2.settings import Settings
    from asgiserver.types import Fields


def _left_to_python(*_fields_and_limits: object) -> None:
    """In the place of the compiled core where there is none."""


_read_fields = speedups.choose("read_fields", _left_to_python)


def read_request(fields: Fields, end: bool, settings: Settings) -> H2RequestHead:
    """See `request_head.read_request`."""
    found = _read_fields(
        fields, settings.fields, settings.line, settings.keeps_underscores, not end
    )
    if found is None:
        return request_head.read_request(fields, end, settings)
    method, target, fields, waits, length, priority, forwarded, parts = found
    framing = NO_BODY if end else BODY
    if not end and (waits or length is not None):
        framing = Framing(True, length, waits, True)
    head = H2RequestHead(method, target, "2", fields, framing, forwarded, parts)
    if priority is not None:
        head.priority = read_priority(priority)
    return head
