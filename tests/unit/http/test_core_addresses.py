"""Lists of addresses through the compiled core: what it reads, Python reads alike."""

import random

import pytest
from debug_malloc import printed_by
from hypothesis import given
from hypothesis import strategies as st

from asgiserver import speedups
from asgiserver.http.addresses import parse_node, read_nodes
from asgiserver.http.forwarded import REACH, read_x_forwarded

pytestmark = pytest.mark.skipif(
    not speedups.is_used, reason=f"the compiled core is {speedups.about}"
)

# What proxies send; if the core left these to Python, speed would be lost in silence.
USUAL = [
    "192.0.2.1",
    "0.0.0.0",
    "255.255.255.255",
    "192.0.2.1:4711",
    "192.0.2.1, 10.0.0.1",
    "192.0.2.1,10.0.0.1,10.0.0.2",
    "\t192.0.2.1 ,  10.0.0.1 ",
    "2001:db8::1",
    "2001:DB8:0:0:1:0:0:ABCD",
    "::",
    "::1",
    "fe80::",
    "1:2:3:4:5:6:7:8",
    "1:2:3:4:5:6:7::",
    "::2:3:4:5:6:7:8",
    "[2001:db8::1]",
    "[2001:db8::1]:443, 192.0.2.1:1",
    ", ".join(["192.0.2.1"] * REACH),
]


@pytest.mark.parametrize("text", USUAL)
def test_usual_lists_are_not_left_to_python(text):
    assert read_nodes(text.encode()) == [parse_node(member.strip()) for member in text.split(",")]


@pytest.mark.parametrize(
    "text",
    [
        *("", ",", "192.0.2.1,", ",192.0.2.1", "192.0.2.1 10.0.0.1", "192.0.2.1, unknown"),
        *("192.0.2.01", "256.0.0.1", "1.2.3", "1.2.3.4.5", "1.2.3.4:", "1.2.3.4:65536"),
        *("1.2.3.4:000080", "[1.2.3.4]", "::ffff:1.2.3.4", "::ffff:102:304", "::1.2.3.4"),
        *("[::1", "::1]", "[::1]x", "[::1]:", ":", ":::", "1:::2", "1::2::3", "1:2:3:4:5:6:7"),
        *("1:2:3:4:5:6:7:8:9", "1::2:3:4:5:6:7:8", "12345::", "::1%lo", "::1\0", "1:2:3:4:5:6:7:"),
        ", ".join(["192.0.2.1"] * (REACH + 1)),
    ],
)
def test_what_is_wrong_or_rare_is_left_to_python(text):
    assert read_nodes(text.encode()) is None


@pytest.mark.parametrize("value", [bytearray(b"192.0.2.1"), memoryview(b"192.0.2.1"), "192.0.2.1"])
def test_what_is_not_bytes_is_left_to_python(value):
    assert read_nodes(value) is None


def assert_alike(value):
    nodes = read_nodes(value)
    if nodes is not None:
        members = value.decode("latin-1").split(",")
        assert nodes == [parse_node(member.strip(" \t")) for member in members]


members = st.one_of(
    st.ip_addresses().flatmap(lambda ip: st.sampled_from([str(ip), ip.exploded, f"[{ip}]:80"])),
    st.lists(st.sampled_from(["0", "", "00", "f", "FFFF", "1"]), max_size=9).map(":".join),
    st.text("0123456789abcdefABCDEF:.[]%, \t", max_size=40),
)


@given(st.lists(members, max_size=4).map(", ".join))
def test_what_the_core_reads_python_reads_alike(text):
    assert_alike(text.encode())


def test_many_addresses_with_gaps():
    """Every place of a gap, among groups that are mostly zeros, as RFC 5952 is about."""
    source = random.Random(5952)
    read = 0
    for _ in range(20_000):
        groups = [source.choice(["0", "0", "000", "1", "aB", "ffff"]) for _ in range(8)]
        begin, size = source.randrange(9), source.randrange(4)
        if size:
            groups = [*groups[:begin], "", *groups[begin + size :]]
        text = ":".join(groups)
        text = (":" if text.startswith(":") else "") + text + (":" if text.endswith(":") else "")
        assert_alike(text.encode())
        read += read_nodes(text.encode()) is not None
    assert read > 10_000


NO_MEMORY = """
import _testcapi
from asgiserver.speedups import _core

value = b"192.0.2.1:4711, 2001:db8::1"
expected = _core.read_nodes(value)
failures = 0
for start in range(100):
    found = failed = None
    _testcapi.set_nomemory(start, start + 1)
    try:
        found = _core.read_nodes(value)
    except MemoryError:
        failed = True
    finally:
        _testcapi.remove_mem_hooks()
    if not failed:
        break
    failures += 1
assert found == expected and failures > 4, (found, failures)
print("done")
"""


def test_every_allocation_may_fail():
    pytest.importorskip("_testcapi")
    assert printed_by(NO_MEMORY) == "done\n"


def test_the_walk_is_the_same_over_both():
    """An odd member far from the walk's end makes Python read the list, with the same result."""
    for last in ("10.0.0.1", "192.0.2.7"):
        usual, odd = f"6.6.6.6, {last}, 10.0.0.2", f"unknown, 6.6.6.6, {last}, 10.0.0.2"
        assert read_nodes(odd.encode()) is None
        said = [
            read_x_forwarded({b"x-forwarded-for": text.encode()}, lambda ip: ip.startswith("10."))
            for text in (usual, odd)
        ]
        assert said[0] == said[1]
