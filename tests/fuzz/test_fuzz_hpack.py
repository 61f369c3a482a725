"""Field blocks at random: the compiled core, Python and `hpack` agree, and so do their tables."""

import os
from typing import Any

import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgiserver import speedups
from asgiserver.h2.header_blocks import CompressionFault, FieldsTooLarge
from asgiserver.h2.hpack import CoreDecoder, CoreEncoder
from asgiserver.h2.python_hpack import PythonDecoder, PythonEncoder

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "200"))
fuzz = settings(max_examples=EXAMPLES, deadline=None)
pytestmark = pytest.mark.timeout(max(60, EXAMPLES // 10))
DECODERS: list[Any] = [PythonDecoder, CoreDecoder] if speedups.is_used else [PythonDecoder]
ENCODERS: list[Any] = [PythonEncoder, CoreEncoder] if speedups.is_used else [PythonEncoder]

NAMES = [
    *(b":path", b":method", b":status", b":authority", b"cookie", b"user-agent", b"accept"),
    *(b"content-type", b"date", b"set-cookie", b"x-a", b"x-b", b"Host", b"", b"\x00\xff"),
]
VALUES = [
    *(b"", b"/", b"GET", b"200", b"text/html; charset=utf-8", b"a=b; c=d", b"\xff" * 9, b"0" * 300),
    *(b"Mon, 21 Oct 2013 20:13:21 GMT", b"application/json", b"13", b"asgiserver", b"x" * 100),
]
LARGE = [b"x" * 2000, b"y" * 4060, b"z" * 4100]
texts = st.one_of(
    *(st.sampled_from(VALUES), st.sampled_from(VALUES), st.binary(max_size=40)),
    st.sampled_from([*VALUES, *LARGE]),
)
fields = st.lists(
    st.tuples(st.one_of(st.sampled_from(NAMES), st.binary(max_size=12)), texts), max_size=12
)
sizes = st.sampled_from([0, 31, 33, 100, 1000, 4095, 4096, 70000])
PIECES = [
    *(b"\x82", b"\x88", b"\xbe", b"\xbf", b"\xc0", b"\x80", b"\xff\x00", b"\x20", b"\x3f\xe1\x1f"),
    *(b"\x3f\x45", b"\x40\x01a\x01b", b"\x7e\x01c", b"\x04\x81\x1f", b"\x10\x01p\x01q", b"\xa0"),
    *(b"\x60\x02\x5e\x7f", b"\x5f\x81\xff", b"\x0f\x00\x00", b"\x41\x8c\xf1\xe3\xc2\xe5\xf2:k"),
    *(b"\x82" * 40, b"\xa0" * 100, b"\xff\xff\xff\xff\xff\x7f", b"\xff\x80\x80\x80\x80\x80\x00"),
]


@st.composite
def blocks(draw):
    """Blocks of one connection: of an encoder, of pieces, or changed."""
    encoder = hpack.Encoder()
    made = []
    for _ in range(draw(st.integers(1, 6))):
        if draw(st.booleans()):
            encoder.header_table_size = min(draw(sizes), 4096)
        if draw(st.booleans()):
            block = encoder.encode(draw(fields), huffman=draw(st.booleans()))
        else:
            block = b"".join(draw(st.lists(st.sampled_from(PIECES), max_size=8)))
        for _ in range(draw(st.integers(0, 2))):
            at = draw(st.integers(0, len(block)))
            noise = draw(st.one_of(st.sampled_from(PIECES), st.binary(max_size=4)))
            block = block[:at] + noise + block[at + draw(st.integers(0, 4)) :]
        made.append(block)
    return made


def outcome(decoder, block, limits):
    """Fields and table, or the error's type and text."""
    try:
        return decoder.decode(block, *limits), decoder.table
    except FieldsTooLarge as error:
        return type(error), str(error), decoder.table
    except CompressionFault as error:
        return type(error), str(error)


LIMITS = st.sampled_from([(1000, 10**9), (128, 65536), (5, 1000), (0, 0)])


@fuzz
@given(blocks(), LIMITS)
def test_decoders_agree(made, limits):
    decoders = [make() for make in DECODERS]
    oracle = hpack.Decoder(max_header_list_size=10**9)
    for block in made:
        found, *others = [outcome(decoder, block, limits) for decoder in decoders]
        assert all(other == found for other in others)
        try:
            expected = [tuple(field) for field in oracle.decode(block, raw=True)]
        except hpack.HPACKError:
            assert found[0] is CompressionFault
            return
        assert found[0] is FieldsTooLarge or found[0] == expected
        assert found[-1] == list(oracle.header_table.dynamic_entries)


@fuzz
@given(st.lists(st.tuples(fields, sizes, st.booleans()), max_size=6))
def test_encoders_agree_and_are_understood(steps):
    encoders = [make() for make in ENCODERS]
    decoders = [make() for make in DECODERS]
    oracle = hpack.Decoder(max_header_list_size=10**9)
    for some, size, is_resized in steps:
        for encoder in encoders:
            if is_resized:
                encoder.resize(size)
        for _ in range(3):
            block, *others = [encoder.encode(some) for encoder in encoders]
            assert all(other == block for other in others)
            assert [tuple(field) for field in oracle.decode(block, raw=True)] == some
            table = list(oracle.header_table.dynamic_entries)
            for decoder in decoders:
                assert decoder.decode(block, 1000, 10**9) == some
            assert all(end.table == table for end in (*encoders, *decoders))


@fuzz
@given(st.binary(max_size=60))
def test_any_bytes(block):
    found = [outcome(make(), block, (128, 65536)) for make in DECODERS]
    assert all(other == found[0] for other in found)


@fuzz
@given(st.binary(max_size=30))
def test_any_huffman_code(string):
    block = b"\x04" + bytes([0x80 | len(string)]) + string
    found = [outcome(make(), block, (128, 65536)) for make in DECODERS]
    assert all(other == found[0] for other in found)
    try:
        value = hpack.Decoder().decode(block, raw=True)[0][1]
    except hpack.HPACKError:
        assert found[0][0] is CompressionFault
    else:
        assert found[0][0] == [(b":path", value)]
