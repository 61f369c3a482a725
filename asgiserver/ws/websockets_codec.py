"""The frame codec of `websockets`' sans-I/O core, with its C routine for masking.

Only the library's framing is used; messages, limits and compression are those of every codec. The
library reads whole frames: bad UTF-8 in a long frame is noticed at the end of the frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from websockets.exceptions import ProtocolError
from websockets.extensions import Extension
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from asgiserver.ws.assembly import MessageAssembler
from asgiserver.ws.protocol import (
    FRAMES_PER_FEED,
    MessageSink,
    ProtocolViolation,
    close_payload,
)

if TYPE_CHECKING:
    from collections.abc import Generator

    from asgiserver.ws.deflate import Deflate

__all__ = ["WebsocketsCodec"]


class _Compression(Extension):
    """Our compression, as an extension of websockets."""

    def __init__(self, deflate: Deflate) -> None:
        self.deflate = deflate

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        frame.rsv1 = False  # the assembler has checked this bit, and inflates the frame
        return frame

    def encode(self, frame: Frame) -> Frame:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            deflated = self.deflate.deflate(bytes(frame.data))
            if deflated is not None:
                return Frame(frame.opcode, deflated, frame.fin, rsv1=True)
        return frame


class WebsocketsCodec:
    """A `FrameCodec`."""

    __slots__ = ("assembler", "extensions", "first", "long", "parser", "paused", "reader", "ready")

    def __init__(self, sink: MessageSink, max_size: float, deflate: Deflate | None) -> None:
        self.assembler = MessageAssembler(sink, max_size, deflate)
        self.extensions = [_Compression(deflate)] if deflate is not None else []
        self.reader = StreamReader()
        self.first = 0  # the first byte of the frame that is being read
        self.long = False  # whether the next bytes are the length of the frame
        self.ready = False  # whether the next bytes are the first of a frame
        self.paused = False
        self.parser = self._parse()

    def __repr__(self) -> str:
        return f"<WebsocketsCodec backlog={self.backlog} {self.assembler!r}>"

    @property
    def backlog(self) -> int:
        """Bytes kept that have not been looked at yet."""
        return len(self.reader.buffer)

    def feed(self, data: bytes) -> bool:
        """See `FrameCodec.feed`."""
        self.reader.feed_data(data)
        budget = FRAMES_PER_FEED
        try:
            while budget and not self.paused:
                budget -= 1
                if not next(self.parser):
                    return False  # a frame is incomplete
        except ProtocolError as error:
            raise ProtocolViolation(1002, str(error)) from None
        return self.backlog > 0

    def _parse(self) -> Generator[bool | None, None, None]:
        """Read frames for ever; yields True after each frame, None when more bytes are needed."""
        assembler = self.assembler
        while True:
            self.ready = True
            frame = yield from Frame.parse(self._read_exact, mask=True, extensions=self.extensions)
            if frame.opcode & 0x08:
                if assembler.control(frame.opcode, bytes(frame.data)):
                    self.paused = True
                    self.reader = StreamReader()
            else:
                assembler.begin_frame(self.first)
                assembler.add(bytes(frame.data), frame.fin)
            yield True

    def _read_exact(self, size: int) -> Generator[None, None, bytes | bytearray]:
        """Read bytes for `Frame.parse`, and check each head as soon as its length is known."""
        data = yield from self.reader.read_exact(size)
        if self.ready:
            self.ready = False
            self.first = data[0]
            short = data[1] & 0x7F
            self.long = short > 125
            if not self.long and data[1] >= 0x80:  # `Frame.parse` refuses a frame without a mask
                self.assembler.check_head(self.first, short)
        elif self.long:
            self.long = False
            length = int.from_bytes(data, "big")
            if length < (126 if size == 2 else 65536) or length >> 63:
                raise ProtocolViolation(1002, "frame length not in its shortest form")
            self.assembler.check_head(self.first, length)
        return data

    def encode_text(self, text: str) -> tuple[bytes, bytes]:
        """See `FrameCodec.encode_text`."""
        return self._encode(Opcode.TEXT, text.encode()), b""

    def encode_binary(self, data: bytes) -> tuple[bytes, bytes]:
        """See `FrameCodec.encode_binary`."""
        return self._encode(Opcode.BINARY, data), b""

    def encode_ping(self, payload: bytes) -> bytes:
        """See `FrameCodec.encode_ping`."""
        return self._encode(Opcode.PING, payload)

    def encode_pong(self, payload: bytes) -> bytes:
        """See `FrameCodec.encode_pong`."""
        return self._encode(Opcode.PONG, payload)

    def encode_close(self, code: int, reason: str) -> bytes:
        """See `FrameCodec.encode_close`."""
        return self._encode(Opcode.CLOSE, close_payload(code, reason))

    def _encode(self, opcode: Opcode, payload: bytes) -> bytes:
        return Frame(opcode, payload).serialize(mask=False, extensions=self.extensions)
