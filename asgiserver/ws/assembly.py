"""From frames to messages: the rules of RFC 6455 sections 5.4, 5.5 and 8.1 for every codec.

The assembler sees frame heads and unmasked payloads; it does not know how they are read.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from asgiserver.ws.protocol import (
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    MessageSink,
    ProtocolViolation,
    is_close_code,
)

if TYPE_CHECKING:
    from asgiserver.ws.deflate import Deflate

NOT_UTF8 = "text is not UTF-8"

_utf8_decoder = codecs.getincrementaldecoder("utf-8")


class MessageAssembler:
    """Puts one connection's messages together.

    Between messages `opcode` is 0 and `data` is empty. A message in progress is one `bytearray`:
    nothing is kept per fragment, so a million empty fragments cost no memory.
    """

    __slots__ = ("compressed", "data", "deflate", "max_size", "opcode", "sink", "utf8")

    def __init__(self, sink: MessageSink, max_size: float, deflate: Deflate | None) -> None:
        self.sink = sink
        self.max_size = max_size
        self.deflate = deflate
        self.opcode = CONTINUATION
        self.compressed = False
        self.data = bytearray()
        self.utf8: codecs.IncrementalDecoder | None = None

    def __repr__(self) -> str:
        return f"<MessageAssembler opcode={self.opcode} size={len(self.data)}>"

    def check_head(self, first: int, length: int) -> None:
        """Check a frame's first byte and its payload's length, before any payload is read.

        This changes nothing. Raises `ProtocolViolation`: 1002, or 1009 for a message over the
        limit.
        """
        opcode = first & 0x0F
        if opcode > TEXT + 1 and not CLOSE <= opcode <= PONG:
            raise ProtocolViolation(1002, f"reserved opcode {opcode}")
        if opcode >= CLOSE:
            if first & 0xF0 != 0x80:
                raise ProtocolViolation(1002, "control frame fragmented or with reserved bits")
            if length > 125:
                raise ProtocolViolation(1002, "control frame longer than 125 bytes")
            return
        # RSV1 marks a compressed message on its first frame only (RFC 7692 section 6.1).
        if first & 0x30 or (first & 0x40 and (self.deflate is None or not opcode)):
            raise ProtocolViolation(1002, "reserved bits set")
        if bool(opcode) == bool(self.opcode):
            wrong = "new message inside a fragmented one" if opcode else "nothing to continue"
            raise ProtocolViolation(1002, wrong)
        if length > self.max_size - len(self.data):
            raise ProtocolViolation(1009, "message too big")

    def begin_frame(self, first: int) -> None:
        """Begin a data frame whose head was checked; unless it continues a message, begin one."""
        if opcode := first & 0x0F:
            self.opcode = opcode
            self.compressed = bool(first & 0x40)

    def add(self, payload: bytes, final: bool) -> None:
        """Take the next piece of the message in progress; `final` marks its last piece."""
        data = self.data
        if self.compressed:
            assert self.deflate is not None
            payload = self.deflate.inflate(payload, self.max_size - len(data), final)
        text = self._decoded(payload, final) if self.opcode == TEXT else None
        if not final:
            data += payload
            return
        message: str | bytes = payload if text is None else text
        if data:
            data += payload
            message = bytes(data) if text is None else data.decode()
            self.data = bytearray()
        self.opcode = CONTINUATION
        self.utf8 = None
        self.sink.on_message(message)

    def _decoded(self, payload: bytes, final: bool) -> str:
        """The complete characters in `payload`, so that bad UTF-8 fails before the message ends."""
        try:
            if self.utf8 is None:
                if final:
                    return payload.decode()
                self.utf8 = _utf8_decoder()
            return self.utf8.decode(payload, final)
        except UnicodeDecodeError:
            raise ProtocolViolation(1007, NOT_UTF8) from None

    def control(self, opcode: int, payload: bytes) -> bool:
        """Report a control frame; True for the close frame, after which nothing is read."""
        if opcode == PING:
            self.sink.on_ping(payload)
        elif opcode == PONG:
            self.sink.on_pong(payload)
        else:
            self.sink.on_close(*_parsed_close(payload))
            return True
        return False


def _parsed_close(payload: bytes) -> tuple[int, str]:
    """The code and the reason in a close frame (RFC 6455 section 5.5.1)."""
    if not payload:
        return 1005, ""
    if len(payload) == 1:
        raise ProtocolViolation(1002, "close frame of one byte")
    code = int.from_bytes(payload[:2], "big")
    if not is_close_code(code):
        raise ProtocolViolation(1002, "invalid close code")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise ProtocolViolation(1007, "close reason is not UTF-8") from None
