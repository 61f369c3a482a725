"""Every codec, the same tests: framing, limits, fragments, UTF-8, control frames."""

from __future__ import annotations

import importlib.util
import sys
import tracemalloc

import pytest
from ws_peer import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    Recorder,
    close_frame,
    frame,
    server_frames,
)
from ws_peer import outcome as outcome_of

from asgiserver.ws import python_codec
from asgiserver.ws.codecs import CodecFactory, codec_factory
from asgiserver.ws.protocol import FRAMES_PER_FEED
from asgiserver.ws.python_codec import PythonCodec, xor_mask

CODECS = ["python", "wsproto", "websockets"]


@pytest.fixture(params=CODECS)
def factory(request: pytest.FixtureRequest) -> CodecFactory:
    return codec_factory(request.param)


def both_ways(factory: CodecFactory, data: bytes, max_size: float = float("inf")):
    """The outcome of `data` in one piece, which must not differ byte by byte."""
    whole = outcome_of(factory, [data], max_size)
    single = outcome_of(factory, [data[i : i + 1] for i in range(len(data))], max_size)
    assert whole == single
    return whole


def test_auto_is_the_codec_in_python():
    assert codec_factory("auto") is PythonCodec


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 125, 126, 127, 255, 65535, 65536, 70000])
def test_binary_of_every_length(factory, size):
    payload = bytes(i % 251 for i in range(size))
    assert outcome_of(factory, [frame(BINARY, payload)]) == [("binary", payload)]
    data = frame(BINARY, payload)
    halves = [data[: len(data) // 2], data[len(data) // 2 :]]
    assert outcome_of(factory, halves) == [("binary", payload)]


@pytest.mark.parametrize("text", ["", "a", "h\u00e9llo \U0001f600", "x" * 126, "\u20ac" * 30000])
def test_text(factory, text):
    data = frame(TEXT, text.encode())
    assert outcome_of(factory, [data]) == [("text", text)]
    pieces = [data[i : i + 1000] for i in range(0, len(data), 1000)]
    assert outcome_of(factory, pieces) == [("text", text)]


def test_several_frames_in_one_chunk(factory):
    data = frame(TEXT, b"one") + frame(PING, b"p") + frame(BINARY, b"two") + frame(PONG)
    assert both_ways(factory, data) == [
        ("text", "one"),
        ("ping", b"p"),
        ("binary", b"two"),
        ("pong", b""),
    ]


def test_fragments_with_control_frames_between_them(factory):
    euro = "\u20ac".encode()
    data = (
        frame(TEXT, b"a" + euro[:1], fin=False)
        + frame(PING, b"1")
        + frame(CONT, euro[1:2], fin=False)
        + frame(CONT, b"", fin=False)
        + frame(CONT, euro[2:] + b"z")
        + frame(BINARY, b"", fin=False)
        + frame(CONT, b"")
    )
    assert both_ways(factory, data) == [("ping", b"1"), ("text", "a\u20acz"), ("binary", b"")]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(frame(TEXT, b"x", mask=None), id="unmasked"),
        pytest.param(frame(BINARY, b"x" * 300, mask=None), id="unmasked, long"),
        pytest.param(frame(PING, b"", mask=None), id="unmasked ping"),
        pytest.param(frame(TEXT, b"x", rsv=4), id="RSV1 without compression"),
        pytest.param(frame(TEXT, b"x", rsv=2), id="RSV2"),
        pytest.param(frame(BINARY, b"x", rsv=1), id="RSV3"),
        pytest.param(frame(PING, b"x", rsv=4), id="ping with RSV1"),
        *[pytest.param(frame(op, b"x"), id=f"opcode {op}") for op in (3, 4, 5, 6, 7, 11, 12, 15)],
        pytest.param(frame(PING, b"x", fin=False), id="fragmented ping"),
        pytest.param(frame(CLOSE, b"", fin=False), id="fragmented close"),
        pytest.param(frame(PING, b"x" * 126), id="long ping"),
        pytest.param(frame(CLOSE, b"\x03\xe8" + b"x" * 124), id="long close"),
        pytest.param(frame(CONT, b"x"), id="nothing to continue"),
        pytest.param(frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"), id="text in a message"),
        pytest.param(frame(TEXT, b"x", fin=False) + frame(BINARY, b""), id="binary in a message"),
        pytest.param(frame(BINARY, b"x", length_bytes=2), id="length of 1 in 2 bytes"),
        pytest.param(frame(BINARY, b"x" * 200, length_bytes=8), id="length of 200 in 8 bytes"),
        pytest.param(b"\x82\xff" + b"\xff" * 8 + b"mask", id="length with the top bit"),
        pytest.param(frame(CLOSE, b"x"), id="close of one byte"),
        *[
            pytest.param(close_frame(code), id=f"close code {code}")
            for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
        ],
    ],
)
def test_protocol_errors_are_1002(factory, data):
    assert both_ways(factory, data)[-1] == ("violation", 1002)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(frame(TEXT, b"\xff"), id="not a start byte"),
        pytest.param(frame(TEXT, b"\xc3"), id="cut off"),
        pytest.param(frame(TEXT, b"\xed\xa0\x80"), id="surrogate"),
        pytest.param(frame(TEXT, b"\xf4\x90\x80\x80"), id="beyond U+10FFFF"),
        pytest.param(frame(TEXT, b"\xc3", fin=False) + frame(CONT, b"x"), id="split, bad"),
        pytest.param(frame(TEXT, b"\xc3", fin=False) + frame(CONT, b""), id="split, cut off"),
        pytest.param(close_frame(1000, b"\xff"), id="close reason"),
    ],
)
def test_bad_utf8_is_1007(factory, data):
    assert both_ways(factory, data) == [("violation", 1007)]


def test_bad_utf8_fails_before_the_message_ends(factory):
    assert outcome_of(factory, [frame(TEXT, b"ok \xff", fin=False)]) == [("violation", 1007)]


@pytest.mark.parametrize("name", ["python", "wsproto"])
def test_bad_utf8_fails_before_the_frame_ends(name):
    data = frame(TEXT, b"ok \xff" + b"x" * 1000)
    assert outcome_of(codec_factory(name), [data[:20]]) == [("violation", 1007)]


@pytest.mark.parametrize(
    ("payload", "event"),
    [
        (b"", ("close", 1005, "")),
        (b"\x03\xe8", ("close", 1000, "")),
        (b"\x0f\xa0bye \xc3\xa9", ("close", 4000, "bye \u00e9")),
        (b"\x03\xf4", ("close", 1012, "")),
        (b"\x03\xf6", ("close", 1014, "")),
        (b"\x03\xe8" + b"x" * 123, ("close", 1000, "x" * 123)),
    ],
)
def test_close(factory, payload, event):
    assert both_ways(factory, frame(CLOSE, payload)) == [event]


def test_close_inside_a_message(factory):
    data = frame(TEXT, b"half", fin=False) + close_frame(1001)
    assert both_ways(factory, data) == [("close", 1001, "")]


def test_nothing_is_read_after_close(factory):
    data = close_frame(1000) + frame(TEXT, b"late") + b"\xff\xff\xff\xff"
    assert both_ways(factory, data) == [("close", 1000, "")]


def test_size_limit_on_the_head_of_a_frame(factory):
    for size in (101, 126, 65536, 1 << 62):
        length = bytes([0x80 | size]) if size < 126 else b"\xff" + size.to_bytes(8, "big")
        if 126 <= size < 65536:
            length = b"\xfe" + size.to_bytes(2, "big")
        head_only = b"\x82" + length + b"mask"
        assert outcome_of(factory, [head_only], 100) == [("violation", 1009)]
    assert outcome_of(factory, [frame(BINARY, b"x" * 100)], 100) == [("binary", b"x" * 100)]


def test_size_limit_on_the_sum_of_fragments(factory):
    begin = frame(BINARY, b"x" * 60, fin=False)
    assert outcome_of(factory, [begin, frame(CONT, b"x" * 40)], 100) == [("binary", b"x" * 100)]
    head_only = frame(CONT, b"x" * 41, fin=False)[:6]
    assert outcome_of(factory, [begin, head_only], 100) == [("violation", 1009)]


def test_size_limit_does_not_hold_for_control_frames(factory):
    data = frame(BINARY, b"x" * 10, fin=False) + frame(PING, b"x" * 20) + frame(CONT)
    assert both_ways(factory, data, 10)[0] == ("ping", b"x" * 20)


def test_one_feed_handles_a_bounded_number_of_frames(factory):
    sink = Recorder()
    codec = factory(sink, 1 << 20, None)
    assert codec.feed(frame(PING) * (3 * FRAMES_PER_FEED))
    assert len(sink.events) == FRAMES_PER_FEED
    assert codec.backlog
    while codec.feed(b""):
        pass
    assert len(sink.events) == 3 * FRAMES_PER_FEED
    assert codec.backlog == 0


def test_paused_codec_keeps_bytes_and_goes_on(factory):
    class Pausing(Recorder):
        def on_message(self, data):
            super().on_message(data)
            codec.paused = True

    sink = Pausing()
    codec = factory(sink, 1 << 20, None)
    data = frame(TEXT, b"one") + frame(TEXT, b"two")
    assert codec.feed(data[:-1])
    assert sink.events == [("text", "one")]
    assert codec.feed(data[-1:])
    assert codec.backlog == len(data) // 2
    codec.paused = False
    codec.feed(b"")
    assert sink.events == [("text", "one"), ("text", "two")]


def test_empty_fragments_keep_no_memory(factory):
    codec = factory(Recorder(), 1 << 20, None)
    codec.feed(frame(TEXT, b"", fin=False))
    chunk = frame(CONT, b"", fin=False) * FRAMES_PER_FEED

    def feed(times):
        for _ in range(times):
            codec.feed(chunk)
            while codec.feed(b""):
                pass

    feed(2)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        feed(50)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 4096


def joined(parts: tuple[bytes, ...]) -> bytes:
    return b"".join(parts)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 4096, 4097, 65535, 65536])
def test_encoded_messages(factory, size):
    codec = factory(Recorder(), 1 << 20, None)
    assert server_frames(joined(codec.encode_text("a" * size))) == [(0x81, b"a" * size)]
    assert server_frames(joined(codec.encode_binary(b"b" * size))) == [(0x82, b"b" * size)]


def test_large_payload_is_not_copied():
    payload = b"x" * 100_000
    head, body = PythonCodec(Recorder(), 1 << 20, None).encode_binary(payload)
    assert body is payload
    assert len(head) == 10


def test_encoded_control_frames(factory):
    codec = factory(Recorder(), 1 << 20, None)
    assert server_frames(codec.encode_ping(b"a")) == [(0x89, b"a")]
    assert server_frames(codec.encode_pong(b"b" * 125)) == [(0x8A, b"b" * 125)]
    assert server_frames(codec.encode_close(1000, "bye")) == [(0x88, b"\x03\xe8bye")]
    assert server_frames(codec.encode_close(1012, "")) == [(0x88, b"\x03\xf4")]
    assert server_frames(codec.encode_close(1005, "ignored")) == [(0x88, b"")]


def test_long_close_reason_is_cut_at_a_character(factory):
    codec = factory(Recorder(), 1 << 20, None)
    [(_, payload)] = server_frames(codec.encode_close(1000, "\u20ac" * 50))
    assert payload[2:].decode() == "\u20ac" * 41


def test_lone_surrogates_cannot_be_sent(factory):
    codec = factory(Recorder(), 1 << 20, None)
    with pytest.raises(UnicodeEncodeError):
        codec.encode_text("\ud800")
    assert server_frames(joined(codec.encode_text("ok"))) == [(0x81, b"ok")]


def test_repr(factory):
    assert "opcode=0" in repr(factory(Recorder(), 100, None))


def test_masking_without_a_c_routine(monkeypatch):
    monkeypatch.setattr("asgiserver.ws.python_codec.apply_mask", xor_mask)
    payload = bytes(range(256)) * 300
    data = frame(BINARY, payload)
    assert outcome_of(PythonCodec, [data]) == [("binary", payload)]
    assert outcome_of(PythonCodec, [data[:99], data[99:70000], data[70000:]]) == [
        ("binary", payload)
    ]


def test_masks_are_applied_without_a_c_routine_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "websockets.speedups", None)
    spec = importlib.util.spec_from_file_location("python_codec_alone", python_codec.__file__)
    assert spec is not None
    assert spec.loader is not None
    alone = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(alone)
    assert alone.apply_mask is alone.xor_mask
    data = bytes(range(256)) * 3 + b"odd"
    assert alone.apply_mask(data, b"abcd") == python_codec.apply_mask(data, b"abcd")
