"""The server's own frame codec (RFC 6455 section 5), sans-I/O and small for speed.

The usual frame (whole, unfragmented, uncompressed) takes a short path; everything else goes
through `MessageAssembler` like the frames of the other codecs.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from asgiserver.ws.assembly import NOT_UTF8, MessageAssembler
from asgiserver.ws.protocol import (
    BINARY,
    CLOSE,
    FRAMES_PER_FEED,
    PING,
    PONG,
    TEXT,
    MessageSink,
    ProtocolViolation,
    close_payload,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from asgiserver.ws.deflate import Deflate

__all__ = ["PythonCodec", "apply_mask", "xor_mask"]

_LONG_LENGTH = "frame length not in its shortest form"

_FIN = 0x80
_RSV1 = 0x40

# Heads of unfragmented frames with up to 125 bytes of payload.
_TEXT_HEADS = [bytes((_FIN | TEXT, size)) for size in range(126)]
_BINARY_HEADS = [bytes((_FIN | BINARY, size)) for size in range(126)]

_HEAD_16 = Struct(">BBH").pack
_HEAD_64 = Struct(">BBQ").pack

# Payloads of this many bytes or more are not joined to their heads.
_LARGE = 4096

# Payloads of more bytes are not copied before they are unmasked; for fewer bytes a copy costs less
# than a `memoryview`.
_VIEWED = 16384


def xor_mask(data: bytes | memoryview, mask: bytes) -> bytes:
    """`data` masked or unmasked (RFC 6455 section 5.3) as one big integer."""
    size = len(data)
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "little")
    return (int.from_bytes(data, "little") ^ key).to_bytes(size, "little")


apply_mask: Callable[[bytes | memoryview, bytes], bytes]
try:
    from websockets.speedups import apply_mask
except ImportError:  # without the C routine: slower, but much faster than a loop over bytes
    apply_mask = xor_mask


def _head(first: int, size: int) -> bytes:
    """A frame's head without a mask, with the length in its shortest form."""
    if size < 126:
        return bytes((first, size))
    if size < 65536:
        return _HEAD_16(first, 126, size)
    return _HEAD_64(first, 127, size)


class PythonCodec:
    """A `FrameCodec`.

    The codec is either between frames, with the beginning of a frame in `rest`, or inside a data
    frame whose last `remaining` bytes are missing. The bytes of that frame that have arrived are
    unmasked and checked already. `between` says that no message is in progress.
    """

    __slots__ = (
        "assembler",
        "between",
        "deflate",
        "final",
        "mask",
        "max_size",
        "paused",
        "remaining",
        "rest",
        "sink",
    )

    def __init__(self, sink: MessageSink, max_size: float, deflate: Deflate | None) -> None:
        self.assembler = MessageAssembler(sink, max_size, deflate)
        self.sink = sink
        self.deflate = deflate
        self.max_size = max_size
        self.paused = False
        self.rest = b""
        self.between = True
        self.remaining = 0
        self.mask = b""  # the mask of the frame in progress, rotated to the next byte
        self.final = False  # whether the frame in progress is the last of its message

    def __repr__(self) -> str:
        return f"<PythonCodec rest={len(self.rest)} remaining={self.remaining} {self.assembler!r}>"

    @property
    def backlog(self) -> int:
        """Bytes kept that have not been looked at yet."""
        return len(self.rest)

    def feed(self, data: bytes) -> bool:
        """See `FrameCodec.feed`."""
        if self.rest:
            data = self.rest + data
            self.rest = b""
        position = 0
        end = len(data)
        budget = FRAMES_PER_FEED
        while position < end and budget and not self.paused:
            budget -= 1
            # HOT 38 %: of the bytecodes of an echo. The short path is for a masked, final,
            # uncompressed frame of up to 64 KiB between messages.
            start = position + 6
            if self.between and start + 2 <= end:
                first = data[position]
                size = data[position + 1] - 0x80
                if size > 125:
                    start += 2
                    size = data[position + 2] << 8 | data[position + 3] if size == 126 else -1
                    if 0 <= size < 126:
                        raise ProtocolViolation(1002, _LONG_LENGTH)
                stop = start + size
                if (first == 0x82 or first == 0x81) and stop <= end and 0 <= size <= self.max_size:
                    position = stop
                    masked = data if size <= _VIEWED else memoryview(data)
                    payload = apply_mask(masked[start:stop], data[start - 4 : start])
                    if first == 0x82:
                        self.sink.on_message(payload)
                    else:
                        try:
                            text = payload.decode()
                        except UnicodeDecodeError:
                            raise ProtocolViolation(1007, NOT_UTF8) from None
                        self.sink.on_message(text)
                    if position == end:
                        return False
                    continue
            moved = self._feed_other(data, position)
            if moved < 0:
                break
            position = moved
        if position < end:
            self.rest = data[position:]
            return self.paused or not budget
        return False

    def _feed_other(self, data: bytes, position: int) -> int:
        """Take the long path; returns the position after the used bytes, -1 to wait for more."""
        if self.remaining:
            position = self._feed_payload(data, position)
        else:
            position = self._feed_frame(data, position)
        self.between = not (self.remaining or self.assembler.opcode)
        return position

    def _feed_frame(self, data: bytes, position: int) -> int:
        """Begin any frame; returns the position after the used bytes, -1 to wait for more."""
        end = len(data)
        start = position + 6
        if position + 2 > end:
            return -1
        first, second = data[position], data[position + 1]
        if second < 0x80:
            raise ProtocolViolation(1002, "frame without a mask")
        size = second & 0x7F
        if size > 125:
            start += 2 if size == 126 else 8
            if start - 4 > end:
                return -1
            size = int.from_bytes(data[position + 2 : start - 4], "big")
            if size < (126 if second & 1 == 0 else 65536) or size >> 63:
                raise ProtocolViolation(1002, _LONG_LENGTH)
        self.assembler.check_head(first, size)
        control = first & 0x08
        if start > end or (control and start + size > end):
            return -1
        mask = data[start - 4 : start]
        if control:
            stop = start + size
            if self.assembler.control(first & 0x0F, apply_mask(data[start:stop], mask)):
                self.paused = True  # nothing is read after a close frame
                return end
            return stop
        self.assembler.begin_frame(first)
        self.final = first >= _FIN
        self.remaining = size
        self.mask = mask
        if not size:
            self.assembler.add(b"", self.final)
        return start

    def _feed_payload(self, data: bytes, position: int) -> int:
        """Take the bytes in `data` that belong to the data frame in progress."""
        piece = data[position : position + self.remaining]
        size = len(piece)
        self.remaining -= size
        payload = apply_mask(piece, self.mask)
        if turn := size & 3:
            self.mask = self.mask[turn:] + self.mask[:turn]
        self.assembler.add(payload, self.final and not self.remaining)
        return position + size

    def encode_text(self, text: str) -> tuple[bytes, bytes]:
        """See `FrameCodec.encode_text`."""
        payload = text.encode()
        size = len(payload)
        if size < 126:
            return _TEXT_HEADS[size] + payload, b""
        return self._encode(TEXT, payload)

    def encode_binary(self, data: bytes) -> tuple[bytes, bytes]:
        """See `FrameCodec.encode_binary`."""
        size = len(data)
        if size < 126:
            return _BINARY_HEADS[size] + data, b""
        return self._encode(BINARY, data)

    def _encode(self, opcode: int, payload: bytes) -> tuple[bytes, bytes]:
        first = _FIN | opcode
        if self.deflate is not None and (deflated := self.deflate.deflate(payload)) is not None:
            first |= _RSV1
            payload = deflated
        size = len(payload)
        if size < _LARGE:
            return _head(first, size) + payload, b""
        return _head(first, size), payload

    def encode_ping(self, payload: bytes) -> bytes:
        """See `FrameCodec.encode_ping`."""
        return bytes((_FIN | PING, len(payload))) + payload

    def encode_pong(self, payload: bytes) -> bytes:
        """See `FrameCodec.encode_pong`."""
        return bytes((_FIN | PONG, len(payload))) + payload

    def encode_close(self, code: int, reason: str) -> bytes:
        """See `FrameCodec.encode_close`."""
        payload = close_payload(code, reason)
        return bytes((_FIN | CLOSE, len(payload))) + payload
