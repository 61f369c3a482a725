"""The client's side of a WebSocket for tests: frames to feed, and a sink that keeps messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiserver.ws.protocol import ProtocolViolation
from asgiserver.ws.python_codec import xor_mask

if TYPE_CHECKING:
    from asgiserver.ws.codecs import CodecFactory

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = b"\x12\x34\x56\x78",
    length_bytes: int | None = None,
) -> bytes:
    """A frame as a client sends it; `length_bytes` (0, 2 or 8) may be more than needed."""
    size = len(payload)
    if length_bytes is None:
        length_bytes = 0 if size < 126 else 2 if size < 65536 else 8
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    second = 0 if mask is None else 0x80
    if length_bytes == 0:
        head = bytes((first, second | size))
    else:
        head = bytes((first, second | (126 if length_bytes == 2 else 127)))
        head += size.to_bytes(length_bytes, "big")
    if mask is None:
        return head + payload
    return head + mask + xor_mask(payload, mask)


def close_frame(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, code.to_bytes(2, "big") + reason)


class Recorder:
    """A `MessageSink` that keeps every event."""

    def __init__(self) -> None:
        self.events: list[tuple[object, ...]] = []

    def on_message(self, data: str | bytes) -> None:
        assert type(data) in (str, bytes)
        self.events.append(("text" if isinstance(data, str) else "binary", data))

    def on_ping(self, payload: bytes) -> None:
        self.events.append(("ping", bytes(payload)))

    def on_pong(self, payload: bytes) -> None:
        self.events.append(("pong", bytes(payload)))

    def on_close(self, code: int, reason: str) -> None:
        self.events.append(("close", code, reason))


def outcome(
    factory: CodecFactory,
    pieces: list[bytes],
    max_size: float = float("inf"),
    deflate: object = None,
) -> list[tuple[object, ...]]:
    """The events that a codec reports for `pieces`; a violation is the last event."""
    sink = Recorder()
    codec = factory(sink, max_size, deflate)  # type: ignore[arg-type]
    try:
        for piece in pieces:
            more = codec.feed(piece)
            while more and not codec.paused:
                more = codec.feed(b"")
            if sink.events and sink.events[-1][0] == "close":
                break
    except ProtocolViolation as violation:
        sink.events.append(("violation", violation.code))
    return sink.events


def next_frame(data: bytes) -> tuple[int, bytes, int] | None:
    """Opcode, payload and size of the first frame a server sent; None while it is incomplete.

    The frame must be a whole message that is not compressed.
    """
    if len(data) < 2:
        return None
    start = {126: 4, 127: 10}.get(data[1], 2)
    size = data[1] if start == 2 else int.from_bytes(data[2:start], "big")
    assert data[1] < 0x80, "a server does not mask"
    if len(data) < start + size:
        return None
    assert data[0] & 0xF0 == 0x80, "not a message in one frame"
    return data[0] & 0x0F, data[start : start + size], start + size


def server_frames(data: bytes) -> list[tuple[int, bytes]]:
    """The first byte and the payload of each frame that a server sent."""
    frames = []
    while data:
        size = data[1]
        start = 2
        assert size < 0x80, "a server does not mask"
        if size > 125:
            start = 4 if size == 126 else 10
            size = int.from_bytes(data[2:start], "big")
        assert len(data) >= start + size, "incomplete frame"
        frames.append((data[0], data[start : start + size]))
        data = data[start + size :]
    return frames
