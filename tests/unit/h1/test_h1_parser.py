"""The framing: where requests begin and end, in what order faults count, and what is kept."""

import importlib
import sys

import pytest
from recorder import Recorder, cut, parse

from asgiserver.errors import PeerError
from asgiserver.h1.codecs import make_head_reader
from asgiserver.h1.h11_parser import H11HeadParser
from asgiserver.h1.head_reader import Limits, make_head_parser
from asgiserver.h1.httptools_parser import HttptoolsHeadParser
from asgiserver.h1.parser import PREFACE, RequestParser

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def sink():
    return Recorder()


@pytest.fixture
def requests(sink, parser):
    return RequestParser(sink, make_head_reader(parser, Limits()))


def test_stops_after_each_request(requests, sink):
    requests.feed(GET + POST + b"hello" + GET)
    assert len(sink.ended) == 1
    requests.feed(b"")
    assert len(sink.ended) == 2
    assert requests.rest == GET
    requests.feed(b"")
    assert len(sink.ended) == 3
    assert not requests.rest
    assert requests.clean


@pytest.mark.parametrize("size", range(len(GET) + 1))
def test_a_head_may_be_cut_anywhere(requests, sink, size):
    requests.feed(GET[:size])
    requests.feed(GET[size:])
    assert len(sink.ended) == 1


def test_holds_what_comes_after_a_request(requests, sink):
    requests.feed(GET)
    requests.hold(GET[:9])
    requests.hold(GET[9:])
    assert requests.rest == GET
    assert len(sink.ended) == 1
    requests.feed(b"")
    assert len(sink.ended) == 2


HTTP2 = PREFACE + b"SM\r\n\r\n"


class Switching(Recorder):
    takes_over = True

    def __init__(self):
        super().__init__()
        self.found = []

    def on_preface(self, data):
        self.found.append(data)
        return self.takes_over


def feed_all(requests, data, pieces):
    for piece in cut(data, pieces):
        requests.feed(piece)


@pytest.fixture
def switching(parser):
    sink = Switching()
    return sink, RequestParser(sink, make_head_reader(parser, Limits()))


@pytest.mark.parametrize("empty_lines", [0, 1])
@pytest.mark.parametrize("pieces", [None, 1, [17], [18], [23], [24]])
def test_the_preface_of_http2_is_shown_to_the_sink_once(switching, pieces, empty_lines):
    sink, requests = switching
    data = HTTP2 + b"frames"
    feed_all(requests, b"\r\n" * empty_lines + data, pieces)
    assert len(sink.found) == 1
    assert data.startswith(sink.found[0])
    assert sink.found[0].startswith(PREFACE)
    assert not requests.rest
    requests.feed(GET)
    requests.feed_eof()
    assert (len(sink.found), sink.ended) == (1, [])


@pytest.mark.parametrize("pieces", [None, 1])
def test_the_preface_is_refused_if_the_sink_does_not_take_it(switching, pieces):
    sink, requests = switching
    sink.takes_over = False
    with pytest.raises(PeerError, match="505"):
        feed_all(requests, HTTP2, pieces)
    assert len(sink.found) == 1


@pytest.mark.parametrize("pieces", [None, 1])
@pytest.mark.parametrize(
    "data",
    [
        PREFACE.replace(b"2.0", b"2.0\r\nHost: a"),
        PREFACE.replace(b"2.0", b"3.0"),
        PREFACE.replace(b"*", b"/"),
    ],
)
def test_what_only_resembles_the_preface_is_refused(switching, data, pieces):
    sink, requests = switching
    with pytest.raises(PeerError, match="505"):
        feed_all(requests, data, pieces)
    assert not sink.found


@pytest.mark.parametrize("size", [1, 17])
def test_a_preface_that_ends_early_is_no_request(switching, size):
    _, requests = switching
    requests.feed(PREFACE[:size])
    with pytest.raises(PeerError, match="400 incomplete request"):
        requests.feed_eof()


def test_body_by_length(requests, sink):
    assert requests.clean
    requests.feed(POST + b"he")
    assert requests.in_body
    assert not requests.clean
    assert requests.body_left == 3
    requests.feed(b"l")
    assert requests.body_left == 2
    requests.feed(b"loGET")
    assert sink.ended[0][-1] == b"hello"
    assert sink.body == [b"he", b"l", b"lo"]
    assert requests.rest == b"GET"


def test_a_body_whose_head_is_known_comes_later(requests, sink):
    for _ in range(4):
        requests.feed(POST)
        assert requests.in_body
        requests.feed(b"hello")
    assert [request[-1] for request in sink.ended] == [b"hello"] * 4


def test_body_in_chunks_of_unknown_length(requests, sink):
    requests.feed(CHUNKED + b"5\r\nhel")
    assert requests.in_body
    assert requests.body_left is None
    requests.feed(b"lo\r\n0\r\n\r\n")
    assert sink.ended[0][-1] == b"hello"


def test_chunks_that_come_together_are_one_part(requests, sink):
    requests.feed(CHUNKED + b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n")
    assert sink.body == [b"x" * 100_000]


def test_a_body_is_passed_on_without_a_copy(requests, sink):
    requests.feed(POST.replace(b"5", b"500000"))
    data = bytes(500_000)
    requests.feed(data)
    assert sink.body[0] is data


def test_what_comes_after_an_upgrade_belongs_to_the_other_protocol(requests, sink):
    head = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n"
    requests.feed(head + b"\x81\x00")
    assert requests.take_rest() == b"\x81\x00"
    assert not requests.rest


def test_after_an_upgrade_that_is_not_taken_requests_go_on(parser):
    head = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
    assert len(parse(head + GET + head + GET, None, parser).requests) == 4


def test_every_kind_of_request_leaves_the_next_alone(parser):
    kinds = [
        GET,
        POST + b"hello",
        CHUNKED + b"0\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    ]
    alone = [parse(kind, None, parser).requests[0] for kind in kinds]
    for first, kind in enumerate(kinds):
        for second, other in enumerate(kinds):
            both = parse(kind + other, None, parser).requests
            assert both == [alone[first], alone[second]]


def test_one_head_parser_serves_many_connections(parser):
    shared = make_head_reader(parser, Limits())
    sinks = [Recorder() for _ in range(3)]
    connections = [RequestParser(sink, shared) for sink in sinks]
    streams = [
        POST + b"hello" + GET,
        CHUNKED + b"0\r\n\r\n" + GET,
        GET + b"GET  / HTTP/1.1\r\n\r\n",
    ]
    refused = 0
    for pieces in zip(
        *(cut(stream.ljust(160), range(7, 160, 7)) for stream in streams), strict=True
    ):
        for connection, piece in zip(connections, pieces, strict=True):
            try:
                connection.feed(piece)
                connection.feed(b"")
            except PeerError:
                refused += 1
    assert [len(sink.ended) for sink in sinks] == [2, 2, 1]
    assert refused == 3  # the blanks, and the second request


def test_end_of_input(requests):
    requests.feed_eof()
    requests.feed(b"\r\n\r\n")
    requests.feed_eof()
    requests.feed(GET[:10])
    with pytest.raises(PeerError, match="400 incomplete request"):
        requests.feed_eof()
    requests.feed_eof()
    assert "stopped" in repr(requests)


def test_end_of_input_within_a_body_is_for_the_owner_to_tell(requests):
    requests.feed(POST + b"h")
    requests.feed_eof()
    assert requests.in_body


@pytest.mark.parametrize("end", ["stop", "close"])
def test_parses_no_more(requests, sink, end):
    requests.feed(GET + GET)
    getattr(requests, end)()
    requests.feed(GET)
    assert len(sink.ended) == 1
    assert not requests.rest


def test_a_sink_may_refuse(parser):
    class Refusing(Recorder):
        def on_body(self, data):
            raise PeerError(413, "too large")

    requests = RequestParser(Refusing(), make_head_reader(parser, Limits()))
    with pytest.raises(PeerError, match="413"):
        requests.feed(POST + b"hello" + GET)
    requests.feed(GET)
    assert "stopped" in repr(requests)


def test_repr_shows_the_state(requests):
    requests.feed(GET[:7])
    assert repr(requests) == "<RequestParser head rest=7>"
    requests.feed(GET[7:])
    requests.feed(CHUNKED)
    assert repr(requests) == "<RequestParser chunked rest=0>"


@pytest.mark.parametrize(
    ("line", "head", "status"),
    [(14, 27, None), (13, 27, 414), (14, 26, 431), (100, 27, None), (100, 26, 431)],
)
@pytest.mark.parametrize("pieces", [None, 1])
def test_limits_are_exact(parser, pieces, line, head, status):
    assert len(GET) == 27
    refusal = parse(GET, pieces, parser, Limits(line, head)).refusal
    assert (refusal and refusal[0]) == status


@pytest.mark.parametrize("pieces", [None, 1])
def test_limit_of_fields_is_exact(parser, pieces):
    head = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 2 + b"\r\n"
    assert parse(head, pieces, parser, Limits(fields=3)).refusal is None
    refusal = parse(head, pieces, parser, Limits(fields=2)).refusal
    assert refusal == (431, "too many header fields")


@pytest.mark.parametrize("pieces", [None, 1])
@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /" + b"a" * 100 + b"\nX", 414),
        (b"GET /\n" + b"a" * 100, 400),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 300 + b"\nX", 431),
        (b"GET / HTTP/1.1\r\nX: a\n" + b"a" * 300, 400),
        (b"GET / HTTP/1.1\r\nX: a\n" + b"a" * 300 + b"\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\nX: a\n\r\n\r\n", 400),
        (b"G" * 51, 414),
        (b"G" * 50 + b"\r", 400),
        (b"G" * 50 + b"\rX", 414),
        (b"G" * 50 + b"\r\n", 400),
        (b"G" * 50 + b"\n", 414),
    ],
)
def test_the_first_fault_counts(parser, data, status, pieces):
    assert parse(data, pieces, parser, Limits(line=50, head=200)).refusal[0] == status


@pytest.mark.parametrize("pieces", [None, 1])
def test_the_limit_of_a_body_is_exact(parser, pieces):
    data = POST + b"hello"
    assert parse(data, pieces, parser, Limits(body=5)).answer == 1
    parsed = parse(data, pieces, parser, Limits(body=4))
    assert parsed.refusal == (413, "request body too large")
    assert parsed.unfinished[:2] == ("POST", b"/")  # as it can be read, the access log has it


def test_memory_of_a_head_is_bounded(requests):
    requests.feed(b"GET / HTTP/1.1\r\nX: ")
    for _ in range(65536 - len(requests.rest)):
        requests.feed(b"a")
    with pytest.raises(PeerError, match="431"):
        requests.feed(b"a")
    assert not requests.rest


def test_empty_lines_leave_nothing(requests):
    for _ in range(1000):
        requests.feed(b"\r")
        requests.feed(b"\n" + b"\r\n" * 100)
        assert not requests.rest


def test_head_parsers_by_name(monkeypatch):
    assert isinstance(make_head_parser("auto"), HttptoolsHeadParser)
    assert isinstance(make_head_parser("httptools"), HttptoolsHeadParser)
    assert isinstance(make_head_parser("h11"), H11HeadParser)
    monkeypatch.setitem(sys.modules, "httptools", None)
    monkeypatch.delitem(sys.modules, "asgiserver.h1.httptools_parser")
    assert isinstance(make_head_parser("auto"), H11HeadParser)
    with pytest.raises(ImportError):
        make_head_parser("httptools")
    monkeypatch.undo()
    importlib.import_module("asgiserver.h1.httptools_parser")
