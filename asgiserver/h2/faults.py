"""What a peer can do wrong in HTTP/2, and the error codes that say so (RFC 9113 section 7)."""

from __future__ import annotations

NO_ERROR = 0x0
PROTOCOL_ERROR = 0x1
INTERNAL_ERROR = 0x2
FLOW_CONTROL_ERROR = 0x3
SETTINGS_TIMEOUT = 0x4
STREAM_CLOSED = 0x5
FRAME_SIZE_ERROR = 0x6
REFUSED_STREAM = 0x7
CANCEL = 0x8
COMPRESSION_ERROR = 0x9
CONNECT_ERROR = 0xA
ENHANCE_YOUR_CALM = 0xB
INADEQUATE_SECURITY = 0xC
HTTP_1_1_REQUIRED = 0xD

NAMES = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
]
"""The names of the codes, by their numbers."""


def name_of(code: int) -> str:
    """The name of an error code; ``other`` for one that RFC 9113 does not have."""
    return NAMES[code] if code < len(NAMES) else "other"


class ConnectionFault(Exception):
    """The connection has to end: GOAWAY with `code`, then it is closed (section 5.4.1).

    `reason` is one short line that is safe to log and to send, because it has no bytes of the peer.
    `budget` is the name of the counter that was used up, when the fault is a flood.
    """

    def __init__(self, code: int, reason: str, budget: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.budget = budget


class StreamFault(Exception):
    """A stream has to end: RST_STREAM with `code` (section 5.4.2). It never leaves the codec."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
