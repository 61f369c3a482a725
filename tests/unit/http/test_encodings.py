"""RFC 9110 section 12.5.3: Accept-Encoding."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgiserver.http.encodings import choose_coding

BOTH = [b"br", b"gzip"]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, b""),
        (b"", b""),
        (b"gzip, deflate, br", b"br"),
        (b"gzip", b"gzip"),
        (b"GZIP", b"gzip"),
        (b"x-gzip", b"gzip"),
        (b"deflate", b""),
        (b"*", b"br"),
        (b"*;q=0", b""),
        (b"*, br;q=0", b"gzip"),
        (b"gzip;q=1.0, br;q=0.5", b"gzip"),
        (b"gzip;q=0.5, br; q=0.5", b"br"),
        (b"gzip;q=0", b""),
        (b"gzip;q=0.000, br;q=0", b""),
        (b"gzip;q=0.5, identity", b""),
        (b"gzip;q=0.5, identity;q=0.5", b"gzip"),
        (b"identity;q=0", b""),  # sent all the same: nothing else is wanted
        (b"gzip;q=2, br;q=x", b""),
        (b"gzip;q=-1", b""),
        (b"br;level=9", b""),
        (b",, ,gzip;,", b"gzip"),
    ],
)
def test_choose_coding(accept, expected):
    assert choose_coding(accept, BOTH) == expected


def test_only_what_is_offered():
    assert choose_coding(b"br, gzip", [b"gzip"]) == b"gzip"
    assert choose_coding(b"br, gzip", []) == b""


@given(st.binary(max_size=60))
def test_anything_gives_one_of_them(accept):
    assert choose_coding(accept, BOTH) in (b"", *BOTH)
