"""The field ``traceparent`` (W3C Trace Context)."""

import pytest

from asgiserver.http.trace_context import read_traceparent

TRACE, SPAN = b"4bf92f3577b34da6a3ce929d0e0e4736", b"00f067aa0ba902b7"


@pytest.mark.parametrize(
    "value",
    [
        b"00-" + TRACE + b"-" + SPAN + b"-01",
        b"00-" + TRACE + b"-" + SPAN + b"-00",
        b"01-" + TRACE + b"-" + SPAN + b"-01-what-a-later-version-adds",
    ],
)
def test_a_valid_one_names_trace_and_span(value):
    assert read_traceparent(value) == (TRACE.decode(), SPAN.decode())


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"00-" + TRACE + b"-" + SPAN,
        b"00-" + TRACE.upper() + b"-" + SPAN + b"-01",
        b"00-" + TRACE + b"-" + SPAN + b"-01-more",
        b"ff-" + TRACE + b"-" + SPAN + b"-01",
        b"00-" + b"0" * 32 + b"-" + SPAN + b"-01",
        b"00-" + TRACE + b"-" + b"0" * 16 + b"-01",
        b'00-"' + TRACE[1:] + b"-" + SPAN + b"-01",
    ],
)
def test_any_other_is_none(value):
    assert read_traceparent(value) is None
