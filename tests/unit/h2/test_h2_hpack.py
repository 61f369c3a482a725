"""HPACK by the core and by Python: the examples of the RFC, odd blocks, what is indexed."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import hpack
import pytest

from asgiserver import speedups
from asgiserver.h2 import hpack as field_blocks
from asgiserver.h2 import hpack_policy
from asgiserver.h2.header_blocks import TABLE_SIZE, CompressionFault, FieldsTooLarge
from asgiserver.h2.python_hpack import PythonDecoder, PythonEncoder

CORPUS = Path(__file__).resolve().parents[2] / "corpus"
SOURCES = Path(speedups.__file__).parent
EXAMPLES = tomllib.loads((CORPUS / "hpack_examples.toml").read_text())["case"]
ODD = tomllib.loads((CORPUS / "hpack_odd.toml").read_text())["case"]
LIMITS = 128, 65536
KINDS = ["core", "python"] if speedups.is_used else ["python"]


@pytest.fixture(params=KINDS)
def decoder(request):
    return field_blocks.CoreDecoder() if request.param == "core" else PythonDecoder()


@pytest.fixture(params=KINDS)
def make_encoder(request):
    return field_blocks.CoreEncoder if request.param == "core" else PythonEncoder


def expanded(text):
    """Hexadecimal digits with {41*3} for 414141."""
    return re.sub(r"\{(\w\w)\*(\d+)\}", lambda found: found[1] * int(found[2]), text)


def to_field(text):
    text = re.sub(r"\{(\w\w)\*(\d+)\}", lambda found: chr(int(found[1], 16)) * int(found[2]), text)
    name, _, value = text.rpartition(": ")
    return name.encode(), value.encode()


def table_size(table):
    return sum(len(name) + len(value) + 32 for name, value in table)


@pytest.mark.parametrize("case", EXAMPLES, ids=lambda case: case["name"])
def test_examples_of_the_rfc(case, decoder):
    for step in case["blocks"]:
        fields = decoder.decode(bytes.fromhex(step["block"]), *LIMITS)
        assert fields == [to_field(text) for text in step["fields"]]
        assert decoder.table == [to_field(text) for text in step["table"]]
        assert table_size(decoder.table) == step["size"]


@pytest.mark.parametrize("case", ODD, ids=lambda case: case["name"])
def test_odd_blocks(case, decoder):
    *earlier, last = [bytes.fromhex(expanded(block)) for block in case["blocks"]]
    for block in earlier:
        try:
            decoder.decode(block, *LIMITS)
        except FieldsTooLarge:
            pass
    if "fault" in case:
        with pytest.raises(CompressionFault, match=f"^{case['fault']}$"):
            decoder.decode(last, *LIMITS)
        with pytest.raises(CompressionFault, match=r"^an earlier field block could not be decoded"):
            decoder.decode(b"\x82", *LIMITS)
    elif "limit" in case:
        with pytest.raises(FieldsTooLarge, match=f"^{case['limit']}$"):
            decoder.decode(last, *LIMITS)
        assert decoder.decode(b"\x82", *LIMITS) == [(b":method", b"GET")]
    elif "count" in case:
        assert len(decoder.decode(last, *LIMITS)) == case["count"]
    else:
        assert decoder.decode(last, *LIMITS) == [to_field(text) for text in case["fields"]]


def test_a_block_cut_anywhere_is_a_fault_or_has_fewer_fields(make_encoder):
    fields = [(b":path", b"/a?b=c"), (b"x-long", b"\xff" * 200), (b"cookie", b"a=b; c=d")]
    block = make_encoder().encode(fields)
    for make in (field_blocks.make_decoder, PythonDecoder):
        for end in range(len(block)):
            try:
                found = make().decode(block[:end], *LIMITS)
            except CompressionFault as fault:
                found = str(fault)
            assert found in (hpack_policy.FAULTS[1], *(fields[:count] for count in range(3)))


@pytest.mark.parametrize("is_used", [True, False] if speedups.is_used else [False])
def test_which_is_made(is_used, monkeypatch):
    monkeypatch.setattr(speedups, "is_used", is_used)
    made = type(field_blocks.make_decoder()), type(field_blocks.make_encoder())
    if is_used:
        assert made == (field_blocks.CoreDecoder, field_blocks.CoreEncoder)
    else:
        assert made == (PythonDecoder, PythonEncoder)


def test_the_least_limits(decoder):
    assert decoder.decode(b"", 0, 0) == []
    with pytest.raises(FieldsTooLarge, match="too many"):
        decoder.decode(b"\x82", 0, 1000)
    with pytest.raises(FieldsTooLarge, match="too large"):
        decoder.decode(b"\x82", 1, 41)
    assert decoder.decode(b"\x82", 1, 42) == [(b":method", b"GET")]


def test_a_reference_is_no_copy(decoder):
    decoder.decode(bytes.fromhex("4001617fb01e") + b"b" * 4015, *LIMITS)
    fields = decoder.decode(b"\xbe" * 16, *LIMITS)
    assert len({id(field[1]) for field in fields}) == 1


def test_each_field_of_the_static_table(decoder, make_encoder):
    oracle = hpack.Decoder()
    block = bytes(range(0x81, 0x81 + 61))
    fields = decoder.decode(block, *LIMITS)
    assert fields == oracle.decode(block, raw=True)
    assert make_encoder().encode(fields) == block


def test_each_byte_in_the_huffman_code(decoder, make_encoder):
    for byte in range(256):
        text = bytes([byte])
        fields = [(b"x", text), (b"x", text * 3), (text, b"a" + text + b"e" * 40)]
        block = make_encoder().encode(fields)
        assert block == PythonEncoder().encode(fields)
        assert hpack.Decoder().decode(block, raw=True) == fields
        coded = hpack.Encoder().encode(fields)  # by Huffman, also where that is longer
        assert decoder.decode(coded, *LIMITS) == fields


def decoded_by(oracle, block):
    return [tuple(field) for field in oracle.decode(block, raw=True)]


HEAD = [(b":status", b"200"), (b"content-type", b"text/plain"), (b"server", b"asgiserver")]


def test_a_field_is_indexed_when_it_is_met_again(make_encoder):
    encoder, oracle = make_encoder(), hpack.Decoder()
    sizes = []
    for _ in range(4):
        block = encoder.encode(HEAD)
        assert decoded_by(oracle, block) == HEAD
        assert encoder.table == list(oracle.header_table.dynamic_entries)
        sizes.append(len(block))
    assert sizes[0] > 15
    assert sizes[2:] == [3, 3]
    assert sorted(encoder.table) == sorted(HEAD[1:])


def test_each_of_many_fields_is_indexed(make_encoder):
    """None keeps another out of what is remembered."""
    encoder = make_encoder()
    for number in range(200):
        unique = (b"x-request-id", b"%032x" % number)
        many = [(b"x-%d" % field, b"%d" % (number // 10 + field)) for field in range(30)]
        block = encoder.encode([*many, unique])
        assert number % 10 < 2 or len(block) < 30 + 35


def test_what_never_repeats_is_never_indexed(make_encoder):
    encoder = make_encoder()
    for number in range(1000):
        unique = [(b"etag", b'"%d"' % number), (b"x-request-id", b"%032x" % number)]
        encoder.encode([*HEAD, *unique])
    assert sorted(encoder.table) == sorted(HEAD[1:])


@pytest.mark.parametrize("name", sorted(hpack_policy.NEVER_INDEXED))
def test_a_secret_is_never_indexed(name, make_encoder):
    encoder, oracle = make_encoder(), hpack.Decoder()
    for _ in range(3):
        (field,) = oracle.decode(encoder.encode([(name, b"secret")]), raw=True)
        assert isinstance(field, hpack.NeverIndexedHeaderTuple)
        assert field == (name, b"secret")
    assert encoder.table == []


def test_a_field_that_is_larger_than_the_table_is_not_indexed(make_encoder):
    encoder = make_encoder()
    for _ in range(3):
        encoder.encode(HEAD)
        encoder.encode([(b"x", b"a" * (TABLE_SIZE - 32))])
    assert sorted(encoder.table) == sorted(HEAD[1:])


def test_the_oldest_give_way(make_encoder):
    encoder, oracle = make_encoder(), hpack.Decoder()
    fields = [(b"x-%d" % number, b"a" * 100) for number in range(100)]
    for field in fields:
        for _ in range(2):
            assert decoded_by(oracle, encoder.encode([field])) == [field]
    assert encoder.table == list(oracle.header_table.dynamic_entries)
    assert encoder.table[0] == fields[-1]
    assert TABLE_SIZE - 150 < table_size(encoder.table) <= TABLE_SIZE


def size_updates(block):
    sizes = []
    while block and block[0] & 0xE0 == 0x20:
        size, used = hpack.hpack.decode_integer(block, 5)
        sizes.append(size)
        block = block[used:]
    return sizes


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        *(([], []), ([4096], []), ([65536], []), ([0], [0]), ([100], [100]), ([100, 50], [50])),
        *(([100, 4096], [100, 4096]), ([0, 70000], [0, 4096]), ([50, 100], [50, 100])),
        ([100, 50, 4096, 60], [50, 60]),
    ],
)
def test_sizes_that_the_peer_is_told(sizes, told, make_encoder):
    encoder, oracle = make_encoder(), hpack.Decoder()
    for _ in range(2):
        oracle.decode(encoder.encode(HEAD))
    for size in sizes:
        encoder.resize(size)
    block = encoder.encode(HEAD)
    assert size_updates(block) == told
    assert decoded_by(oracle, block) == HEAD
    assert encoder.table == list(oracle.header_table.dynamic_entries)
    assert size_updates(encoder.encode(HEAD)) == []
    encoder.resize(4096)
    assert size_updates(encoder.encode(HEAD)) == ([4096] if told and told[-1] < 4096 else [])


def test_a_table_of_no_size_holds_nothing(make_encoder):
    encoder, oracle = make_encoder(), hpack.Decoder()
    encoder.resize(0)
    for _ in range(3):
        assert decoded_by(oracle, encoder.encode(HEAD)) == HEAD
    assert encoder.table == []


def test_faults_have_the_numbers_of_the_core():
    text = (SOURCES / "hpack.h").read_text()
    found = re.search(r"typedef enum \{\s*NO_FAULT,(.*?)\} Fault;", text, re.S)
    assert found
    names = re.findall(r"[A-Z_]{3,}", re.sub(r"/\*.*?\*/", "", found[1]))
    assert len(names) == len(hpack_policy.FAULTS | hpack_policy.LIMITS) == 9
    assert names[7:] == ["TOO_MANY_FIELDS", "FIELDS_TOO_LARGE"]
