"""The chunked coding: what it takes, how much, and that the pieces do not matter."""

import math

import pytest

from asgiserver.errors import PeerError
from asgiserver.h1.chunked import MAX_SIZE_LINE, ChunkedDecoder


def decode(data, pieces=None, limit=1000, fields=10, most=math.inf):
    """The body, and what comes after it (None: it has no end)."""
    decoder = ChunkedDecoder(limit, fields, most)
    body = b""
    step = pieces or max(1, len(data))
    for start in range(0, len(data), step):
        piece = data[start : start + step]
        part, end = decoder.feed(piece, 0)
        body += part
        if end >= 0:
            return body, piece[end:] + data[start + step :]
    return body, None


@pytest.fixture(params=[None, 1, 2, 3, 5])
def pieces(request):
    return request.param


def test_body_and_what_comes_after(pieces):
    data = b"5;a=b\r\nhello\r\n00001\r\n!\r\n0\r\nX: y\r\n\r\nGET /"
    assert decode(data, pieces) == (b"hello!", b"GET /")


def test_begins_at_a_position():
    decoder = ChunkedDecoder(100, 10)
    assert decoder.feed(b"HEAD2\r\nab\r\n0\r\n\r\nREST", 4) == (b"ab", 16)


@pytest.mark.parametrize("end", range(1, len(b"5\r\nhello\r\n0\r\nX: y\r\n\r\n")))
def test_no_end_before_the_last_byte(end, pieces):
    data = b"5\r\nhello\r\n0\r\nX: y\r\n\r\n"[:end]
    assert decode(data, pieces)[1] is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"5\r\nAAAAAXX2\r\n45\r\n0\r\n\r\n", "400 chunk data"),
        (b"1\r\na\rX", "400 chunk data"),
        (b"zz\rX\r\n", "400 bare"),
        (b"zz\r\n", "400 invalid chunk size"),
        (b"5;a\nb\r\n", "400 bare"),
        (b";" * (MAX_SIZE_LINE - 1) + b"\n\r\n", "400 bare"),
        (b";" * MAX_SIZE_LINE + b"\n\r\n", "431 chunk extensions"),
        (b";" * MAX_SIZE_LINE + b"\rX\r\n", "431 chunk extensions"),
        (b";\n" + b";" * MAX_SIZE_LINE, "400 bare"),
        (b"0\r\nX: " + b"y" * 2000, "431 trailers"),
        (b"0\r\nX: \n" + b"y" * 2000, "400 bare"),
        (b"0\r\nX: " + b"y" * 994 + b"\n", "400 bare"),
        (b"0\r\nX: " + b"y" * 995 + b"\n", "431 trailers"),
        (b"0\r\n" + b"X: y\r\n" * 11, "431 too many trailer"),
        (b"0\r\nContent-Length : 1\r\n\r\n", "400 invalid trailer"),
        (b"0\r\ncontent-LENGTH: 1\r\n\r\n", "400 framing field"),
    ],
)
def test_the_first_fault_counts(data, message, pieces):
    with pytest.raises(PeerError, match=message):
        decode(data, pieces)


def test_limits_are_exact(pieces):
    trailer = b"X: " + b"y" * 995 + b"\r\n"
    assert decode(b"0\r\n" + trailer + b"\r\n", pieces) == (b"", b"")
    with pytest.raises(PeerError, match="431"):
        decode(b"0\r\ny" + trailer + b"\r\n", pieces)
    extension = b"1;" + b"a" * (MAX_SIZE_LINE - 2)
    assert decode(extension + b"\r\nx\r\n0\r\n\r\n", pieces, 5000) == (b"x", b"")
    with pytest.raises(PeerError, match="431"):
        decode(extension + b"a\r\nx\r\n0\r\n\r\n", pieces, 5000)


def test_extensions_and_trailers_have_one_limit(pieces):
    chunk = b"1;a\r\nx\r\n"
    trailer = b"0\r\nX: y\r\n\r\n"  # six bytes of it
    assert decode(chunk * 47 + trailer, pieces, 100) == (b"x" * 47, b"")
    with pytest.raises(PeerError, match="431 trailers"):
        decode(chunk * 48 + trailer, pieces, 100)
    with pytest.raises(PeerError, match="431 chunk extensions"):
        decode(chunk * 51, pieces, 100)


def test_the_limit_of_a_body_is_exact(pieces):
    data = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    assert decode(data, pieces, most=5) == (b"abcde", b"")
    with pytest.raises(PeerError, match="413 request body too large"):
        decode(data, pieces, most=4)


def test_a_size_never_wraps(pieces):
    size = b"fffffffffffffff"
    decoder = ChunkedDecoder(100, 10)
    decoder.feed(size + b"\r\n", 0)
    for _ in range(3):
        assert decoder.feed(bytes(1000), 0) == (bytes(1000), -1)


def test_a_chunk_that_comes_alone_is_not_copied():
    decoder = ChunkedDecoder(100, 10)
    decoder.feed(b"1000\r\n", 0)
    assert decoder.feed(bytes(4096), 0) == (bytes(4096), -1)
