"""The frames of HTTP/2 as bytes (RFC 9113 sections 4 and 6): their numbers, and what writes them.

`asgiserver.h2.codec` reads frames in one loop, without an object for each. Functions here that read
take the payload of one frame, and raise a fault when its size or its content is wrong.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from asgiserver.h2.faults import (
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    PROTOCOL_ERROR,
    ConnectionFault,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""The first bytes of a client (section 3.4)."""

DATA = 0x0
HEADERS = 0x1
PRIORITY = 0x2
RST_STREAM = 0x3
SETTINGS = 0x4
PUSH_PROMISE = 0x5
PING = 0x6
GOAWAY = 0x7
WINDOW_UPDATE = 0x8
CONTINUATION = 0x9
PRIORITY_UPDATE = 0x10  # RFC 9218 section 7.1

END_STREAM = 0x1
ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
HAS_PRIORITY = 0x20
WHOLE = END_HEADERS | END_STREAM

HEADER_TABLE_SIZE = 0x1
ENABLE_PUSH = 0x2
MAX_CONCURRENT_STREAMS = 0x3
INITIAL_WINDOW_SIZE = 0x4
MAX_FRAME_SIZE = 0x5
MAX_HEADER_LIST_SIZE = 0x6
ENABLE_CONNECT_PROTOCOL = 0x8  # RFC 8441
NO_RFC7540_PRIORITIES = 0x9  # RFC 9218 section 2.1

HEAD_SIZE = 9
"""Bytes before the payload of a frame."""

FRAME_SIZE = 16_384
"""Bytes that every peer takes in a frame. We send no larger ones, because larger ones would make
other streams wait longer for their turn."""

DEFAULT_WINDOW = 65_535
LARGEST_WINDOW = 2**31 - 1
LAST_ID = 2**31 - 1

READ_HEAD = Struct(">HBBBl").unpack_from
"""Upper 16 and lower 8 bits of the size, type, flags, stream id; negative with its reserved bit."""

PACK_HEAD = Struct(">LBL").pack
"""Packs size and type, flags, stream id; size and type are ``size * 256 + kind``."""
# HOT 1 %: CPython has quick instructions for products and sums, and none for shifts and masks.

_SETTING = Struct(">HL")
_UPDATE = Struct(">HBBBLL").pack
_GOAWAY = Struct(">LL").pack


def frame_head(size: int, kind: int, flags: int, stream_id: int) -> bytes:
    """The nine bytes before a payload of `size` bytes."""
    return PACK_HEAD(size * 256 + kind, flags, stream_id)


def frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    """A whole frame."""
    size = len(payload)
    return PACK_HEAD(size * 256 + kind, flags, stream_id) + payload


def rst_stream(stream_id: int, code: int) -> bytes:
    """RST_STREAM (section 6.4)."""
    return _UPDATE(0, 4, RST_STREAM, 0, stream_id, code)


def window_update(stream_id: int, size: int) -> bytes:
    """WINDOW_UPDATE (section 6.9) that adds `size` bytes."""
    return _UPDATE(0, 4, WINDOW_UPDATE, 0, stream_id, size)


def goaway(last_stream_id: int, code: int, reason: bytes = b"") -> bytes:
    """GOAWAY (section 6.8) with a reason for people."""
    return frame(GOAWAY, 0, 0, _GOAWAY(last_stream_id, code) + reason)


def settings(values: Iterable[tuple[int, int]]) -> bytes:
    """SETTINGS (section 6.5)."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*pair) for pair in values))


SETTINGS_ACK = frame(SETTINGS, ACK, 0, b"")


def header_frames(stream_id: int, block: bytes, end: bool) -> bytes:
    """HEADERS with `block`, and CONTINUATION when the block is larger than a frame."""
    size = len(block)
    if size <= FRAME_SIZE:
        return PACK_HEAD(size * 256 + HEADERS, END_HEADERS | end, stream_id) + block
    parts = [frame(HEADERS, int(end), stream_id, block[:FRAME_SIZE])]
    for start in range(FRAME_SIZE, size, FRAME_SIZE):
        flags = END_HEADERS if start + FRAME_SIZE >= size else 0
        parts.append(frame(CONTINUATION, flags, stream_id, block[start : start + FRAME_SIZE]))
    return b"".join(parts)


def read_settings(data: bytes) -> list[tuple[int, int]]:
    """The settings in a payload, in order. Raises `ConnectionFault` (section 6.5.2)."""
    if len(data) % 6:
        raise ConnectionFault(FRAME_SIZE_ERROR, "SETTINGS of a wrong size")
    values: list[tuple[int, int]] = list(_SETTING.iter_unpack(data))
    for name, value in values:
        if name == ENABLE_PUSH and value > 1:
            raise ConnectionFault(PROTOCOL_ERROR, "invalid SETTINGS_ENABLE_PUSH")
        if name == INITIAL_WINDOW_SIZE and value > LARGEST_WINDOW:
            raise ConnectionFault(FLOW_CONTROL_ERROR, "invalid SETTINGS_INITIAL_WINDOW_SIZE")
        if name == MAX_FRAME_SIZE and not FRAME_SIZE <= value < 1 << 24:
            raise ConnectionFault(PROTOCOL_ERROR, "invalid SETTINGS_MAX_FRAME_SIZE")
        if name in (ENABLE_CONNECT_PROTOCOL, NO_RFC7540_PRIORITIES) and value > 1:
            raise ConnectionFault(PROTOCOL_ERROR, "invalid value of a setting that is on or off")
    return values


def without_padding(data: bytes, start: int, stop: int) -> tuple[int, int]:
    """Where the content of a padded payload begins and ends (section 6.1)."""
    if start == stop:
        raise ConnectionFault(FRAME_SIZE_ERROR, "a padded frame without its padding length")
    padding = data[start]
    if start + 1 + padding > stop:
        raise ConnectionFault(PROTOCOL_ERROR, "more padding than payload")
    return start + 1, stop - padding


def after_priority(data: bytes, start: int, stop: int, stream_id: int) -> int:
    """Where the block begins after the fields of HAS_PRIORITY, which are ignored (section 5.3.2).

    A stream that depends on itself is a fault, as in RFC 7540 section 5.3.1: only broken clients
    send that.
    """
    if stop - start < 5:
        raise ConnectionFault(FRAME_SIZE_ERROR, "a priority of a wrong size")
    if int.from_bytes(data[start : start + 4]) & LAST_ID == stream_id:
        raise ConnectionFault(PROTOCOL_ERROR, "a stream depends on itself")
    return start + 5
