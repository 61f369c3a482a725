"""HPACK in C: what it makes of objects and memory. What it decodes is tested beside this file."""

from __future__ import annotations

import gc
import sys

import pytest
from debug_malloc import printed_by

from asgiserver import speedups
from asgiserver.h2.hpack_policy import NEVER_INDEXED

if speedups.is_used:
    from asgiserver.speedups import _core
else:
    pytest.skip(f"the compiled core is {speedups.about}", allow_module_level=True)

LIMITS = 128, 256, 65536
REQUEST = [
    *((b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/a?b=c"), (b":authority", b"a")),
    *((b"user-agent", b"x" * 80), (b"accept", b"*/*"), (b"cookie", b"a=b"), (b"cookie", b"c=d")),
    *((b"x-request-id", b"0af7651916cd43dd8448eb211c80319c"), (b"x-other", b"\x00\xff")),
]


def make_encoder(size=4096):
    return _core.Encoder(size, NEVER_INDEXED)


def test_common_names_are_the_objects_of_request_heads():
    head = b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\nX-Request-Id: c\r\n\r\n"
    shared = {name: name for name, _ in _core.read_head(head, 9, False)[3]}
    encoder, decoder = make_encoder(), _core.Decoder(4096)
    fields = [(b"host", b"a"), (b"user-agent", b"b"), (b"x-request-id", b"c")]
    for _ in range(3):  # a literal, one that is indexed, an index
        for name, _ in decoder.decode(encoder.encode(fields), *LIMITS):
            assert shared[name] is name


def test_what_no_block_is():
    decoder = _core.Decoder(4096)
    for odd in (
        bytearray(b"\x82"),
        memoryview(b"\x82"),
        "",
        None,
        type("B", (bytes,), {})(b"\x82"),
    ):
        with pytest.raises(TypeError):
            decoder.decode(odd, *LIMITS)
    with pytest.raises(TypeError):
        decoder.decode(*[b""])
    for odd in (-1, 2**70):
        with pytest.raises(OverflowError):
            decoder.decode(b"", odd, 1, 1)
    with pytest.raises(TypeError):
        decoder.decode(b"", 1, "1", 1)
    assert decoder.decode(b"\x82", *LIMITS) == [(b":method", b"GET")]


@pytest.mark.parametrize(
    "odd",
    [
        *(None, 5, "ab", b"ab", {}, [b"ab"], [(b"a",)], [(b"a", "b")], [("a", b"b")], [None]),
        *([[b"a", b"b"]], [(b"a", bytearray(b"b"))], [(b"a", b"b", b"c")], iter([(b"a", b"b")])),
    ],
)
def test_what_no_fields_are(odd):
    encoder = make_encoder()
    encoder.encode(REQUEST)
    with pytest.raises(TypeError):
        encoder.encode(odd)
    assert len(encoder.encode(tuple(REQUEST))) > 0


def test_what_makes_no_codec():
    for odd in ((), (1, 2), ("a",)):
        with pytest.raises(TypeError):
            _core.Decoder(*odd)
    for odd in ((), (1,), (1, {b"a"}), (1, [b"a"]), ("a", frozenset())):
        with pytest.raises(TypeError):
            _core.Encoder(*odd)
    with pytest.raises(TypeError):
        type("Other", (_core.Decoder,), {})
    with pytest.raises(OverflowError):
        make_encoder().resize(-1)


def test_a_block_that_was_lost_does_not_matter_to_the_next_one():
    encoder = make_encoder()
    for _ in range(3):
        encoder.encode(REQUEST)
    assert encoder.table
    with pytest.raises(TypeError):
        encoder.encode([(b"a", b"b"), (b"a", 5)])
    assert encoder.encode(REQUEST)[0] & 0xE0 != 0x20  # nothing had been written


def test_nothing_stays_behind():
    encoder = make_encoder()
    blocks = [encoder.encode(REQUEST) for _ in range(3)]
    blocks += [blocks[0] + b"\xff\xff", blocks[0][:-1], b"\x82" * 200, blocks[0] + b"\x00\x81\x18"]

    def run(rounds):
        for _ in range(rounds):
            encoder, decoder = make_encoder(), _core.Decoder(4096)
            for number in range(3):
                for block in blocks:
                    decoder.decode(block, *LIMITS)
                    if number:
                        decoder = _core.Decoder(4096)
                encoder.encode([*REQUEST, (b"x", b"%d" % number)])
                encoder.resize(number * 100)

    gc.collect()
    run(5)
    before = sys.getallocatedblocks()
    run(200)  # what stays of one connection would stay 200 times
    assert sys.getallocatedblocks() - before < 100


def test_a_finalizer_that_uses_what_is_in_use():
    """Python code may run within a call only where the collector runs there (CPython 3.11)."""
    encoder = make_encoder()
    seen = []

    class Late:
        def __init__(self):
            self.itself = self

        def __del__(self):
            try:
                seen.append(encoder.encode(REQUEST))
            except RuntimeError as error:
                seen.append(str(error))

    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(200):
            Late()
            encoder.encode(REQUEST)
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    assert len(seen) == 200
    assert all(found == "the object is in use" or isinstance(found, bytes) for found in seen)


SCRIPT = """
from asgiserver.h2.hpack_policy import NEVER_INDEXED
from asgiserver.speedups import _core

LIMITS = 128, 256, 65536
REQUEST = {request!r}
{body}
print("done")
"""
DEBUG_MALLOC = """
for size in (0, 100, 4096) * 30:
    encoder, decoder = _core.Encoder(size, NEVER_INDEXED), _core.Decoder(size)
    for number in range(30):
        fields = [*REQUEST, (b"x-%d" % (number // 3), b"y" * number)]
        assert decoder.decode(encoder.encode(fields), *LIMITS) == fields
        encoder.resize(size - min(size, number))
"""
# Each allocation of a third request in turn fails; what comes after it is right or refused.
NO_MEMORY = """
import _testcapi

def failing(start, function, *args):
    found = None
    _testcapi.set_nomemory(start, start + 1)
    try:
        found = function(*args)
    except MemoryError:
        pass
    finally:
        _testcapi.remove_mem_hooks()
    return found

failures = {{"encode": 0, "decode": 0}}
more = [*REQUEST, *[(b"x-%d" % number, b"y" * number) for number in range(20)]]
for times in (0, 1, 2):
    for start in range(300):
        encoder, decoder = _core.Encoder(4096, NEVER_INDEXED), _core.Decoder(4096)
        for _ in range(times):
            decoder.decode(encoder.encode(more), *LIMITS)
        block = failing(start, encoder.encode, more)
        if block is None:
            failures["encode"] += 1
            block = encoder.encode(more)
        assert decoder.decode(block, *LIMITS) == more
        assert decoder.table == encoder.table
        for _ in range(3):
            block = encoder.encode(more)
            fields = failing(start, decoder.decode, block, *LIMITS)
            if fields is None:
                failures["decode"] += 1
                assert decoder.decode(b"", *LIMITS) == 7
                break
            assert fields == more
        else:
            assert decoder.table == encoder.table
assert failures["encode"] > 5 and failures["decode"] > 50, failures
for start in range(5):
    failing(start, _core.Decoder, 4096)
    failing(start, _core.Encoder, 4096, NEVER_INDEXED)
    failing(start, getattr, decoder, "table")
"""


def run_script(body):
    """What a process of its own prints that runs `body`, with its memory checked."""
    return printed_by(SCRIPT.format(request=REQUEST, body=body.format()))


def test_memory_is_used_as_it_was_taken():
    assert run_script(DEBUG_MALLOC) == "done\n"


def test_every_allocation_may_fail():
    pytest.importorskip("_testcapi")
    assert run_script(NO_MEMORY) == "done\n"


def test_an_interpreter_of_its_own():
    name = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
    interpreters = pytest.importorskip(name)
    code = """
from asgiserver.speedups import _core
fields = [(b":method", b"GET"), (b"a", b"b")]
block = _core.Encoder(4096, frozenset()).encode(fields)
assert _core.Decoder(4096).decode(block, 9, 9, 999) == fields
"""
    one = interpreters.create()
    try:
        assert interpreters.run_string(one, code) is None
    finally:
        interpreters.destroy(one)
    assert _core.Decoder(4096).decode(b"\x82", *LIMITS) == [(b":method", b"GET")]
