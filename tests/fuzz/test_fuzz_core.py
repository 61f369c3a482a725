"""Changed heads of real clients through the compiled core: what it accepts, Python reads alike."""

import os

import http1_requests as http1
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from real_heads import REAL_HEADS
from recorder import describe

from asgiserver import speedups
from asgiserver.h1.codecs import make_head_reader
from asgiserver.h1.head_reader import Limits

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "400")) * 5
fuzz = settings(max_examples=EXAMPLES, deadline=None)
pytestmark = pytest.mark.timeout(max(60, EXAMPLES // 10))
if speedups.is_used:
    from asgiserver.speedups import _core
else:
    pytest.skip(f"the compiled core is {speedups.about}", allow_module_level=True)

LINES = sorted({line for head in REAL_HEADS.values() for line in head[:-4].split(b"\r\n")[1:]})
REQUEST_LINES = sorted({head.partition(b"\r\n")[0] for head in REAL_HEADS.values()})
HEADS = sorted(REAL_HEADS.values(), key=len)
ODD_LINES = [http1.to_bytes(line) for line in (*http1.FIELDS, *http1.ODD_FIELDS)]
ODD_VALUES = [
    *(f"Host: {host}" for host in (*http1.HOSTS, *http1.ODD_HOSTS)),
    *(f"Content-Length: {length}" for length in (*http1.LENGTHS, *http1.ODD_LENGTHS)),
    *(f"Transfer-Encoding: {coding}" for coding in (*http1.CODINGS, *http1.ODD_CODINGS)),
    *(f"{'X-' * size}: a" for size in (63, 64, 65)),
]
SOME_LINES = st.one_of(
    st.sampled_from(LINES),
    st.sampled_from(LINES),
    st.sampled_from([*ODD_LINES, *map(http1.to_bytes, ODD_VALUES)]),
)


@st.composite
def shuffled(draw):
    """Lines of several heads."""
    lines = draw(st.lists(SOME_LINES, max_size=12))
    return b"\r\n".join([draw(st.sampled_from(REQUEST_LINES)), *lines, b"", b""])


@st.composite
def changed(draw):
    """A head with a few bytes changed, put in, doubled or left out anywhere."""
    head = draw(st.one_of(st.sampled_from(HEADS), shuffled()))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(head)))
        noise = draw(st.one_of(st.sampled_from(http1.NOISE), st.binary(max_size=9)))
        head = head[:at] + noise + head[at + draw(st.integers(0, 9)) :]
    return head[: head.find(b"\r\n\r\n") + 4] or head  # as the parser cuts it


def assert_the_same(head, most_fields, underscores):
    """What the core accepts, Python does: a `PeerError` of its own would fail here."""
    if _core.read_head(head, most_fields, underscores == "keep") is not None:
        limits = Limits(fields=most_fields)
        expected = describe(make_head_reader("httptools", limits, underscores).read(head))
        assert describe(make_head_reader("auto", limits, underscores).read(head)) == expected


POLICY = st.sampled_from(["keep", "drop", "refuse"])


@fuzz
@given(st.one_of(changed(), shuffled()), st.sampled_from([0, 1, 5, 128, 1000]), POLICY)
def test_what_the_core_accepts_python_reads_alike(head, most_fields, underscores):
    assert_the_same(head, most_fields, underscores)


@fuzz
@given(http1.anything)
def test_streams_that_are_nearly_requests(data):
    for end in range(data.count(b"\r\n\r\n")):
        parts = data.split(b"\r\n\r\n", end + 1)
        assert_the_same(parts[end] + b"\r\n\r\n", 128, "drop")


@fuzz
@given(st.sampled_from(HEADS), st.integers(0, 200), st.binary(max_size=20))
def test_a_head_that_ends_early_or_goes_on_is_not_accepted(head, left_out, more):
    assert _core.read_head(head[: len(head) - left_out], 128, False) is None or not left_out
    assert _core.read_head(head + more, 128, False) is None or not more
