"""Bodies as we delimit them against httptools and h11, each parsing whole requests by itself."""

import os

import h11
import http1_requests as http1
import httptools
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from recorder import parse

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "200"))
fuzz = settings(max_examples=EXAMPLES, deadline=None)
pytestmark = pytest.mark.timeout(max(60, EXAMPLES // 10))
HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


class Bodies:
    """httptools as a server uses it; also what it took for the end of a request."""

    def __init__(self):
        self.ended = []
        self.body = b""

    def on_body(self, data):
        self.body += data

    def on_message_complete(self):
        self.ended.append(self.body)
        self.body = b""


def by_httptools(data):
    sink = Bodies()
    httptools.HttpRequestParser(sink).feed_data(data)
    return sink.ended


def by_h11(data):
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    body = b""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return [body]
        else:
            assert isinstance(event, h11.Request), event


@st.composite
def chunked_bodies(draw):
    faults = draw(st.lists(st.sampled_from(http1.KINDS), max_size=1))
    return http1.Maker(draw, faults).chunked_body()


@fuzz
@given(chunked_bodies(), http1.pieces)
@example(b'1;a="\\""\r\nx\r\n0;b;c=d\r\nX-T:\r\n\r\n', [60])
def test_a_chunked_body_that_is_accepted_is_the_same_for_all(body, pieces):
    data = HEAD + body
    ours = parse(data, [at for at in pieces if at <= len(data)])
    if len(ours.requests) == 1 and ours.refusal is None and ours.unfinished is None:
        bodies = [request[-1] for request in ours.requests]
        assert bodies == by_httptools(data)
        assert bodies == by_h11(data)


@fuzz
@given(http1.valid_requests())
def test_a_valid_request_has_the_same_body_for_all(data):
    ours = parse(data)
    assert ours.refusal is None
    bodies = [request[-1] for request in ours.requests]
    assert bodies == by_h11(data)
    if b"pgrade" not in data:  # after that, httptools reads no body
        assert bodies == by_httptools(data)
