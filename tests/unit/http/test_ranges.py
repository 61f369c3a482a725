"""RFC 9110 section 14: ranges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgiserver.http.ranges import MOST_RANGES, content_range, parse_range, part_heads

SIZE = 100


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"bytes=0-0", [(0, 1)]),
        (b"bytes=0-", [(0, 100)]),
        (b"bytes=10-19", [(10, 10)]),
        (b"bytes=90-1000", [(90, 10)]),
        (b"bytes=-1", [(99, 1)]),
        (b"bytes=-1000", [(0, 100)]),
        (b"BYTES=0-0", [(0, 1)]),
        (b"bytes= 0-1 ,\t5-6,,", [(0, 2), (5, 2)]),
        (b"bytes=50-59,0-9,-1", [(50, 10), (0, 10), (99, 1)]),
        (b"bytes=0-9,100-", [(0, 10)]),
        # None of them exists: 416.
        (b"bytes=100-", []),
        (b"bytes=-0", []),
        (b"bytes=9999999999999999999-", []),
        # To be ignored.
        (b"bytes=9-0", None),
        (b"bytes=", None),
        (b"bytes=,", None),
        (b"bytes=a-b", None),
        (b"bytes=--1", None),
        (b"bytes=-", None),
        (b"bytes=1", None),
        (b"bytes=+1-2", None),
        (b"bytes=1_0-20", None),
        (b"bytes=0-1;2-3", None),
        (b"lines=0-1", None),
        (b"bytes", None),
        (b"", None),
        (b"bytes=0-,0-", None),  # more than the whole
        (b"bytes=99999999999999999999-", None),
    ],
)
def test_parse_range(value, expected):
    assert parse_range(value, SIZE) == expected


def test_too_many():
    assert parse_range(b"bytes=" + b",".join([b"1-1"] * MOST_RANGES), SIZE) == [(1, 1)] * 32
    assert parse_range(b"bytes=" + b",".join([b"1-1"] * (MOST_RANGES + 1)), SIZE) is None


def test_of_nothing():
    assert parse_range(b"bytes=0-", 0) == []
    assert parse_range(b"bytes=-1", 0) is None


@given(st.text("0123456789-, =bytes", max_size=40), st.integers(0, 200))
def test_all_ranges_are_within(specs, size):
    for value in (specs, "bytes=" + specs):
        ranges = parse_range(value.encode(), size)
        for start, count in ranges or ():
            assert 0 <= start < start + count <= size


def test_content_range():
    assert content_range((10, 5), 100) == b"bytes 10-14/100"


def test_part_heads():
    assert part_heads([(0, 1), (5, 2)], 9, b"text/plain", b"XX") == [
        b"--XX\r\ncontent-type: text/plain\r\ncontent-range: bytes 0-0/9\r\n\r\n",
        b"\r\n--XX\r\ncontent-type: text/plain\r\ncontent-range: bytes 5-6/9\r\n\r\n",
        b"\r\n--XX--\r\n",
    ]
