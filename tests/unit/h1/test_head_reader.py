"""What is remembered of heads: it must never show in an answer, and it must not grow."""

import pytest

from asgiserver.errors import PeerError
from asgiserver.h1.head_reader import HeadReader, Limits, make_head_parser

LINES = [
    b"GET / HTTP/1.1",
    b"POST /a/b?c=d&e=%20 HTTP/1.1",
    b"M-SEARCH /~'()*!$ HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"GET http://a/ HTTP/1.1",
    b"GET http://b/ HTTP/1.1",
    b"CONNECT a:80 HTTP/1.1",
    b"CONNECT /a HTTP/1.1",
    b"PRI /a HTTP/1.1",
    b"get / HTTP/1.1",
    b"GET / HTTP/1.0",
    b"GET / HTTP/1.2",
    b"GET / HTTP/2.0",
    b"GET / http/1.1",
    b"GET / HTTP/1.1 ",
    b"GET  / HTTP/1.1",
    b"GET /a b HTTP/1.1",
    b"GET /a\tb HTTP/1.1",
    b"GET /a#b HTTP/1.1",
    b"GET /\xc3\xa4 HTTP/1.1",
    b"GET /\x7f HTTP/1.1",
    b"GET a HTTP/1.1",
    b" GET / HTTP/1.1",
    b"GET /",
    b"",
]
RESTS = [
    b"\r\nHost: a\r\n\r\n",
    b"\r\nHost: a\r\nX: \xe4\tb \r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n",
    b"\r\nhost: a\r\nTransfer-Encoding: chunked\r\nConnection: close, te\r\nTE: trailers\r\n\r\n",
    b"\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nForwarded: for=b\r\n\r\n",
]


@pytest.fixture
def reader(parser):
    return HeadReader(make_head_parser(parser), Limits())


def read(reader, head):
    """As a connection does it."""
    return reader.known(head) or reader.read(head)


def answer(reader, head):
    """What a head is to a reader: all of the request, or the refusal."""
    try:
        request = read(reader, head)
    except PeerError as error:
        return error.status, error.reason
    line = request.method, request.target, request.http_version
    return *line, request.fields, repr(request.framing)


@pytest.mark.parametrize("rest", RESTS)
def test_a_known_rest_changes_no_answer(reader, parser, rest):
    for _ in range(2):
        read(reader, b"GET / HTTP/1.1" + rest)
    assert repr(reader) == "<HeadReader known=1>"
    accepted = 0
    for line in LINES:
        fresh = HeadReader(make_head_parser(parser), Limits())
        assert answer(reader, line + rest) == answer(fresh, line + rest), line
        accepted += len(answer(fresh, line + rest)) > 2
    assert accepted >= 4


def test_every_byte_of_a_known_head_counts(reader, parser):
    head = b"GET /x?y HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n"
    for _ in range(2):
        read(reader, head)
    assert repr(reader) == "<HeadReader known=1>"
    for at in range(len(head) - 4):
        for byte in range(256):
            other = head[:at] + bytes([byte]) + head[at + 1 :]
            if other.find(b"\r\n\r\n") == len(other) - 4:
                fresh = HeadReader(make_head_parser(parser), Limits())
                assert answer(reader, other) == answer(fresh, other), other


def test_fields_belong_to_their_request(reader):
    head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    for _ in range(4):
        request = read(reader, head)
        assert request.fields == [(b"host", b"a")]
        request.fields.append((b"x", b"y"))
    assert reader.known(head) is not None


def test_what_was_refused_is_not_remembered(reader):
    for head in (
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 128 + b"\r\n",
    ):
        for _ in range(3):
            with pytest.raises(PeerError):
                read(reader, head)
    assert repr(reader) == "<HeadReader known=0>"


def test_underscores_in_names(parser):
    head = b"GET / HTTP/1.1\r\nHost: a\r\nX-Real_IP: 1\r\n\r\n"
    names = {}
    for choice in ("keep", "drop"):
        reader = HeadReader(make_head_parser(parser), Limits(), choice)
        names[choice] = [name for name, _ in read(reader, head).fields]
    assert names == {"keep": [b"host", b"x-real_ip"], "drop": [b"host"]}
    with pytest.raises(PeerError, match="400 underscore"):
        read(HeadReader(make_head_parser(parser), Limits(), "refuse"), head)


def test_it_remembers_little(reader):
    for number in range(1000):
        for _ in range(2):
            read(reader, b"GET / HTTP/1.1\r\nHost: a\r\nX: %d\r\n\r\n" % number)
    assert repr(reader) == "<HeadReader known=232>"
    for _ in range(2):
        read(reader, b"GET / HTTP/1.1\r\nHost: a\r\nX: %b\r\n\r\n" % (b"y" * 5000))
    assert repr(reader) == "<HeadReader known=232>"


def test_what_comes_once_is_not_remembered(reader):
    for number in range(3000):
        read(reader, b"GET / HTTP/1.1\r\nHost: a\r\nX: %d\r\n\r\n" % number)
    assert repr(reader) == "<HeadReader known=0>"
    assert len(reader._met) <= 256
