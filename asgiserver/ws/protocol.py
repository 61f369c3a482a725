"""The interface of a codec between WebSocket frames and messages; `codecs` chooses a codec.

A codec knows no connection, no clock and no ASGI, and sends nothing by itself.
"""

from __future__ import annotations

from typing import Protocol

__all__ = [
    "FRAMES_PER_FEED",
    "FrameCodec",
    "MessageSink",
    "ProtocolViolation",
    "close_payload",
    "is_close_code",
]

# The frames handled in one call of `feed`, so that one peer does not keep the loop from others.
FRAMES_PER_FEED = 128

# Opcodes (RFC 6455 section 5.2).
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

# Codes that a close frame may carry beside 3000 to 4999 (RFC 6455 section 7.4, IANA registry).
_CLOSE_CODES = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})


class ProtocolViolation(Exception):
    """The peer broke RFC 6455 or a limit: close with `code` and `reason`, and read no more."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class MessageSink(Protocol):
    """The receiver of messages, which a codec calls synchronously inside `FrameCodec.feed`."""

    def on_message(self, data: str | bytes) -> None:
        """Take a whole message: text as `str`, binary as `bytes`."""

    def on_ping(self, payload: bytes) -> None:
        """Take a ping; the sink sends the pong."""

    def on_pong(self, payload: bytes) -> None:
        """Take a pong, which may answer no ping."""

    def on_close(self, code: int, reason: str) -> None:
        """Take the peer's close frame, with 1005 when it has no code. Nothing is read after it."""


class FrameCodec(Protocol):
    """The server's side of one connection's frames.

    Every codec reports the same messages and the same violations for the same bytes, however they
    are split. An encoded message is a pair: a whole frame and nothing, or a head and a large
    payload, which is not copied onto its head.
    """

    paused: bool
    """While this is set, `feed` keeps bytes and reports nothing. The sink may set it."""

    @property
    def backlog(self) -> int:
        """Bytes kept that have not been looked at yet."""

    def feed(self, data: bytes) -> bool:
        """Take bytes from the peer and report at most `FRAMES_PER_FEED` frames.

        True when frames may be left: call again with ``b""`` after other connections had their turn
        (or after clearing `paused`). Raises `ProtocolViolation`, after which the codec must not be
        fed again.
        """

    def encode_text(self, text: str) -> tuple[bytes, bytes]:
        """One text message. Raises `UnicodeEncodeError` for lone surrogates."""

    def encode_binary(self, data: bytes) -> tuple[bytes, bytes]:
        """One binary message."""

    def encode_ping(self, payload: bytes) -> bytes:
        """A ping of at most 125 bytes."""

    def encode_pong(self, payload: bytes) -> bytes:
        """A pong of at most 125 bytes."""

    def encode_close(self, code: int, reason: str) -> bytes:
        """A close frame, which is empty for 1005. The reason is cut at 123 bytes of UTF-8."""


def is_close_code(code: int) -> bool:
    """Whether a close frame may carry `code` (RFC 6455 section 7.4)."""
    return code in _CLOSE_CODES or 3000 <= code < 5000


def close_payload(code: int, reason: str) -> bytes:
    """The payload of a close frame (RFC 6455 section 5.5.1)."""
    if code == 1005:
        return b""
    text = reason.encode("utf-8", "replace")
    if len(text) > 123:
        text = text[:123].decode("utf-8", "ignore").encode()
    return code.to_bytes(2, "big") + text
