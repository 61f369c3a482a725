"""Any bytes, in any pieces, through either parser: the same requests and the same refusal."""

import os
from unittest.mock import patch

import http1_requests as http1
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from recorder import parse

from asgiserver.h1 import chunked
from asgiserver.h1.head_reader import Limits

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "400"))
"""Inputs a test; the variable asks for more of them."""

fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
pytestmark = pytest.mark.timeout(max(60, EXAMPLES // 10))


def assert_one_answer(data, pieces, limits):
    """The invariant; returns what `data` is parsed to."""
    pieces = [at for at in pieces if at <= len(data)]
    parsed = parse(data, None, "httptools", limits)
    assert parsed == parse(data, None, "h11", limits)
    assert parsed == parse(data, pieces, "httptools", limits)
    assert parsed == parse(data, pieces, "h11", limits)
    assert parsed == parse(data, 1, "httptools", limits)
    assert parsed == parse(data, 1, "h11", limits)
    if parsed.refusal is not None:
        status, reason = parsed.refusal
        assert status in (400, 414, 417, 431, 501, 505)
        assert reason.isascii()
        assert reason.isprintable()
    return parsed


@fuzz
@given(http1.anything, http1.pieces)
@example(b"GET / HTTP/9.9\r\nX: a\nb\r\n\r\n", [])
@example(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", [3])
@example(b"GET /a!HTTP/1.1\r\nHost: a\r\n\r\n", [])
@example(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", [])
@example(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n", [])
@example(
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n"
    b"Transfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n",
    [],
)
def test_any_bytes_in_any_pieces_have_one_answer(data, pieces):
    assert_one_answer(data, pieces, Limits())


@fuzz
@given(http1.anything, http1.pieces, st.integers(8, 80), st.integers(16, 200), st.integers(0, 6))
@example(b"GET / HTTP/1.1\r\n\r\n", [], 14, 18, 8)
@example(b"GET / HTTP/1.1 \r\n\r\n", [], 14, 18, 8)
def test_limits_have_one_answer(data, pieces, line, head, fields):
    with patch.object(chunked, "MAX_SIZE_LINE", line):
        assert_one_answer(data, pieces, Limits(line, head, fields))


@fuzz
@given(st.lists(http1.valid_requests(), min_size=1, max_size=3), http1.pieces)
def test_valid_requests_are_accepted(requests, pieces):
    parsed = assert_one_answer(b"".join(requests), pieces, Limits())
    assert parsed.refusal is None
    assert len(parsed.requests) == len(requests)


@fuzz
@given(st.data())
def test_what_follows_a_request_does_not_change_it(data):
    first = data.draw(http1.streams())
    after = data.draw(http1.anything)
    alone = parse(first, eof=False)
    if alone.requests and not alone.unfinished and not alone.refusal:
        both = parse(first + after, eof=False)
        assert both.requests[: len(alone.requests)] == alone.requests
