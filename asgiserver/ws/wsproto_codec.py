"""The frame codec of `wsproto`, the reference: wsproto reads and writes frames, we check them.

Only the library's framing is used; messages, limits and compression are those of every codec.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from wsproto.extensions import Extension
from wsproto.frame_protocol import (
    FrameDecoder,
    FrameProtocol,
    Opcode,
    ParseFailed,
    RsvBits,
)

from asgiserver.ws.assembly import MessageAssembler
from asgiserver.ws.protocol import FRAMES_PER_FEED, MessageSink, ProtocolViolation, close_payload

if TYPE_CHECKING:
    from asgiserver.ws.deflate import Deflate

__all__ = ["WsprotoCodec"]


class _Rules(Extension):
    """Our checks of a frame's head and our compression, as an extension of wsproto."""

    name = "rules"

    def __init__(self, assembler: MessageAssembler) -> None:
        self.assembler = assembler
        self.first = 0  # the first byte of the frame that is being read, with FIN always set
        self.deflate = assembler.deflate

    def enabled(self) -> bool:
        return True

    def offer(self) -> bool:
        return True

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> RsvBits:
        assert isinstance(proto, FrameDecoder)
        if proto.buffer.buffer[1] < 0x80:
            return RsvBits(True, True, True)  # wsproto refuses a frame without a mask later
        first = 0x80 | rsv.rsv1 << 6 | rsv.rsv2 << 5 | rsv.rsv3 << 4 | opcode
        self.assembler.check_head(first, payload_length)
        self.first = first
        return RsvBits(self.deflate is not None, False, False)

    def frame_outbound(
        self,
        proto: FrameDecoder | FrameProtocol,
        opcode: Opcode,
        rsv: RsvBits,
        data: bytes,
        fin: bool,
    ) -> tuple[RsvBits, bytes]:
        if self.deflate is not None and not opcode.iscontrol():
            deflated = self.deflate.deflate(data)
            if deflated is not None:
                return RsvBits(True, False, False), deflated
        return rsv, data


class WsprotoCodec:
    """A `FrameCodec`."""

    __slots__ = ("assembler", "decoder", "encoder", "paused", "rules")

    def __init__(self, sink: MessageSink, max_size: float, deflate: Deflate | None) -> None:
        self.assembler = MessageAssembler(sink, max_size, deflate)
        self.rules = _Rules(self.assembler)
        self.decoder = FrameDecoder(client=False, extensions=[self.rules])
        self.encoder = FrameProtocol(client=False, extensions=[self.rules])
        self.paused = False

    def __repr__(self) -> str:
        return f"<WsprotoCodec backlog={self.backlog} {self.assembler!r}>"

    @property
    def backlog(self) -> int:
        """Bytes kept that have not been looked at yet."""
        return len(self.decoder.buffer)

    def feed(self, data: bytes) -> bool:
        """See `FrameCodec.feed`."""
        self.decoder.receive_bytes(data)
        budget = FRAMES_PER_FEED
        while budget and not self.paused:
            budget -= 1
            try:
                frame = self.decoder.process_buffer()
            except ParseFailed as error:
                raise ProtocolViolation(int(error.code), str(error)) from None
            if frame is None:
                return False
            payload = bytes(cast("bytes", frame.payload))  # wsproto before 1.3 gives a bytearray
            if frame.opcode.iscontrol():
                if self.assembler.control(frame.opcode, payload):
                    self.paused = True
                    self.decoder = FrameDecoder(client=False)
                continue
            # wsproto marks the later pieces of a frame as CONTINUATION: they begin no message.
            self.assembler.begin_frame(self.rules.first if frame.opcode else 0)
            self.assembler.add(payload, frame.frame_finished and frame.message_finished)
        return bool(self.backlog)

    def encode_text(self, text: str) -> tuple[bytes, bytes]:
        """See `FrameCodec.encode_text`."""
        return bytes(self.encoder.send_data(text)), b""

    def encode_binary(self, data: bytes) -> tuple[bytes, bytes]:
        """See `FrameCodec.encode_binary`."""
        return bytes(self.encoder.send_data(data)), b""

    def encode_ping(self, payload: bytes) -> bytes:
        """See `FrameCodec.encode_ping`."""
        return bytes(self.encoder.ping(payload))

    def encode_pong(self, payload: bytes) -> bytes:
        """See `FrameCodec.encode_pong`."""
        return bytes(self.encoder.pong(payload))

    def encode_close(self, code: int, reason: str) -> bytes:
        """See `FrameCodec.encode_close`."""
        if code == 1005:
            return bytes(self.encoder.close())
        return bytes(self.encoder.close(code, close_payload(code, reason)[2:].decode()))
