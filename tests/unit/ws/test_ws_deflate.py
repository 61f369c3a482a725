"""permessage-deflate: what is agreed, what is compressed, and that inflating stays bounded."""

from __future__ import annotations

import os
import zlib

import pytest
from ws_peer import BINARY, CONT, PING, TEXT, Recorder, frame, outcome, server_frames

from asgiserver.ws.codecs import codec_factory
from asgiserver.ws.deflate import MINIMUM_SIZE, Deflate, negotiate
from asgiserver.ws.protocol import ProtocolViolation

CODECS = ["python", "wsproto", "websockets"]
INFINITE = float("inf")


def deflated(data: bytes, bits: int = 15) -> bytes:
    compressor = zlib.compressobj(wbits=-bits)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def inflated(data: bytes, bits: int = 15) -> bytes:
    return zlib.decompressobj(-bits).decompress(data + b"\x00\x00\xff\xff")


def agreed(mode: str = "shared", *parameters: tuple[str, str | None]) -> Deflate:
    deflate = negotiate([("permessage-deflate", parameters)], mode)
    assert deflate is not None
    return deflate


@pytest.mark.parametrize(
    ("mode", "parameters", "answer"),
    [
        ("shared", [], b"; server_no_context_takeover; client_no_context_takeover"),
        (
            "shared",
            [("client_max_window_bits", None), ("server_max_window_bits", "10")],
            b"; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10",
        ),
        ("full", [], b"; server_max_window_bits=12"),
        (
            "full",
            [("client_max_window_bits", None)],
            b"; server_max_window_bits=12; client_max_window_bits=12",
        ),
        (
            "full",
            [("client_max_window_bits", "9"), ("server_max_window_bits", "15")],
            b"; server_max_window_bits=12; client_max_window_bits=9",
        ),
        (
            "full",
            [("server_no_context_takeover", None), ("client_no_context_takeover", None)],
            b"; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12",
        ),
    ],
)
def test_answers(mode, parameters, answer):
    deflate = agreed(mode, *parameters)
    assert deflate.answer == b"permessage-deflate" + answer
    assert answer.decode() in repr(deflate)


@pytest.mark.parametrize(
    "parameters",
    [
        [("unknown", None)],
        [("server_no_context_takeover", "1")],
        [("client_no_context_takeover", "")],
        [("client_no_context_takeover", None), ("client_no_context_takeover", None)],
        [("server_max_window_bits", None)],
        [("server_max_window_bits", "7")],
        [("server_max_window_bits", "16")],
        [("server_max_window_bits", "08")],
        [("server_max_window_bits", "8")],
        [("client_max_window_bits", "x")],
        [("client_max_window_bits", "-9")],
    ],
)
def test_declined_offers(parameters):
    assert negotiate([("permessage-deflate", parameters)], "full") is None


def test_the_fall_back_is_taken():
    offers = [
        ("x-other", []),
        ("permessage-deflate", [("unknown", None)]),
        ("Permessage-Deflate", []),
    ]
    assert negotiate(offers, "shared") is not None
    assert negotiate(offers, "off") is None


def test_small_and_incompressible_messages_are_left_alone():
    deflate = agreed("shared")
    assert deflate.deflate(b"a" * (MINIMUM_SIZE - 1)) is None
    assert deflate.deflate(b"a" * MINIMUM_SIZE) is not None
    assert deflate.deflate(os.urandom(1000)) is None


def test_shared_compressor_forgets_between_messages():
    payload = os.urandom(200) * 2
    first, second = agreed("shared"), agreed("shared")
    data = first.deflate(payload)
    assert data is not None
    assert second.deflate(payload) == data
    assert inflated(data) == payload
    assert first.compressor is None


def test_full_keeps_the_window():
    deflate = agreed("full")
    payload = os.urandom(300)
    first, second = deflate.deflate(payload), deflate.deflate(payload)
    assert first is not None
    assert second is not None
    assert len(second) < 50 < len(first)
    inflater = zlib.decompressobj(-12)
    assert inflater.decompress(first + b"\x00\x00\xff\xff") == payload
    assert inflater.decompress(second + b"\x00\x00\xff\xff") == payload


def test_window_of_the_server_is_respected():
    deflate = agreed("shared", ("server_max_window_bits", "9"))
    payload = bytes(i % 100 for i in range(5000))
    data = deflate.deflate(payload)
    assert data is not None
    assert inflated(data, 9) == payload


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("mode", ["shared", "full"])
def test_compressed_messages(name, mode):
    text = "h\u00e9llo " * 100
    data = deflated(text.encode())
    frames = (
        frame(TEXT, data, rsv=4)
        + frame(TEXT, b"plain")
        + frame(BINARY, data[:5], rsv=4, fin=False)
        + frame(PING, b"x")
        + frame(CONT, b"", fin=False)
        + frame(CONT, data[5:])
        + frame(BINARY, b"\x00", rsv=4)
    )
    expected = [
        ("text", text),
        ("text", "plain"),
        ("ping", b"x"),
        ("binary", text.encode()),
        ("binary", b""),
    ]
    factory = codec_factory(name)
    assert outcome(factory, [frames], 1000, agreed(mode)) == expected
    single = [frames[i : i + 1] for i in range(len(frames))]
    assert outcome(factory, single, 1000, agreed(mode)) == expected


@pytest.mark.parametrize("name", CODECS)
def test_encoded_messages(name):
    codec = codec_factory(name)(Recorder(), INFINITE, agreed("shared"))
    text = "hello " * 1000
    for parts in (codec.encode_text(text), codec.encode_binary(text.encode())):
        [(first, payload)] = server_frames(b"".join(parts))
        assert first & 0xF0 == 0xC0
        assert inflated(payload) == text.encode()
    assert server_frames(b"".join(codec.encode_text("small"))) == [(0x81, b"small")]
    assert server_frames(codec.encode_ping(b"x" * 125)) == [(0x89, b"x" * 125)]


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(frame(BINARY, b"\xff" * 20, rsv=4), 1007, id="not deflate"),
        pytest.param(frame(TEXT, deflated(b"\xff"), rsv=4), 1007, id="not UTF-8"),
        pytest.param(frame(PING, b"", rsv=4), 1002, id="compressed ping"),
        pytest.param(
            frame(BINARY, b"\x00", rsv=4, fin=False) + frame(CONT, b"", rsv=4),
            1002,
            id="RSV1 on a continuation",
        ),
        pytest.param(frame(BINARY, deflated(bytes(1001)), rsv=4), 1009, id="one byte too much"),
        pytest.param(frame(BINARY, deflated(bytes(10**7)), rsv=4), 1009, id="bomb"),
        pytest.param(
            frame(BINARY, deflated(bytes(600)) + b"\x00\x00\xff\xff", rsv=4, fin=False)
            + frame(CONT, deflated(bytes(401))),
            1009,
            id="too much in two fragments",
        ),
    ],
)
def test_refused_data(name, data, code):
    assert outcome(codec_factory(name), [data], 1000, agreed()) == [("violation", code)]


def test_exactly_the_limit():
    assert len(agreed().inflate(deflated(bytes(1000)), 1000, True)) == 1000
    assert agreed().inflate(deflated(b""), 0, True) == b""


def test_bomb_is_inflated_to_the_limit_only():
    deflate = agreed()
    with pytest.raises(ProtocolViolation) as caught:
        deflate.inflate(deflated(bytes(10**8)), 1000, True)
    assert caught.value.code == 1009
    assert deflate.decompressor is not None
    assert deflate.decompressor.unconsumed_tail


@pytest.mark.parametrize("mode", ["shared", "full"])
def test_final_block_inside_a_message(mode):
    # RFC 7692 section 7.2.3.4: "Hello" with BFINAL set, then an empty block.
    data = b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00"
    deflate = agreed(mode)
    assert deflate.inflate(data, 100, True) == b"Hello"
    assert deflate.inflate(data, 100, True) == b"Hello"
    assert deflate.inflate(deflated(b"again"), 100, True) == b"again"


def test_many_final_blocks_are_refused():
    with pytest.raises(ProtocolViolation) as caught:
        agreed().inflate(b"\x03\x00" * 1000, 1000, True)
    assert caught.value.code == 1007


def test_decompressor_is_dropped_without_takeover():
    deflate = agreed("shared")
    deflate.inflate(deflated(b"x"), 10, True)
    assert deflate.decompressor is None
    deflate = agreed("full")
    deflate.inflate(deflated(b"x"), 10, True)
    assert deflate.decompressor is not None
