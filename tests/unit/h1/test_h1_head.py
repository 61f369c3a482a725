"""Splitting a complete head: the strict grammar, and both parsers on every changed byte."""

import pytest

from asgiserver.errors import PeerError
from asgiserver.h1.framing import read_request_head
from asgiserver.h1.head import bare_lf, parse_head
from asgiserver.h1.head_reader import make_head_parser
from asgiserver.http.semantics import METHODS

HEADS = [
    b"GET /a?b=c HTTP/1.1\r\nHost: a\r\nX-Y:  v w \r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    b"OPTIONS http://a:80/x HTTP/1.1\r\nHost: a:80\r\nA:\r\n\r\n",
    b"POST /x HTTP/1.0\r\nConnection: keep-alive \r\nContent-Length: 12\r\n\r\n",
    b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\nFoo:\t\r\n\r\n",
]


def split(parse, head):
    """What a head is for `parse` and for the framing check: everything, or the refusal."""
    try:
        raw = parse(head)
        request = read_request_head(*raw)
    except PeerError as error:
        return error.status, error.reason
    return raw, repr(request.framing), request.keep_alive


def changed(head):
    """`head` with each byte left out, any other in its place, and something put before it."""
    for at in range(len(head) - 4):
        yield head[:at] + head[at + 1 :]
        for piece in (
            b"\r\n ",
            b"\r\n\t",
            b"\r\n",
            b"\r",
            b"\n",
            b" ",
            b"  ",
            b"\t",
            b", ",
            b"\x00",
        ):
            yield head[:at] + piece + head[at:]
        for byte in range(256):
            yield head[:at] + bytes([byte]) + head[at + 1 :]


@pytest.mark.parametrize("head", HEADS)
def test_a_changed_byte_is_the_same_for_both_parsers(head):
    by_httptools = make_head_parser("httptools").parse
    by_h11 = make_head_parser("h11").parse
    for one in changed(head):
        one = one[: one.index(b"\r\n\r\n") + 4]
        if one[0] not in b"\r\n":
            assert split(by_httptools, one) == split(by_h11, one), one


@pytest.fixture(params=["httptools", "h11"])
def parser(request):
    """What splits heads in Python; the compiled core gives whole requests."""
    return request.param


def test_splits(parser):
    head = b"GET /a?b HTTP/1.1\r\nHost: a\r\nX-A:  b c\t \r\nX-a:\r\nX-B: \xff\r\n\r\n"
    fields = [(b"host", b"a"), (b"x-a", b"b c"), (b"x-a", b""), (b"x-b", b"\xff")]
    assert make_head_parser(parser).parse(head) == ("GET", b"/a?b", "1.1", fields)


def test_fields_are_as_sent(parser):
    """h11 would join and rewrite some of them."""
    head = (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\nContent-Length: 5\r\n"
        b"Transfer-Encoding: Chunked\r\n\r\n"
    )
    fields = make_head_parser(parser).parse(head)[3]
    assert fields[1:] == [
        (b"content-length", b"5, 5"),
        (b"content-length", b"5"),
        (b"transfer-encoding", b"Chunked"),
    ]


@pytest.mark.parametrize("method", sorted(METHODS))
def test_methods(parser, method):
    head = method + b" / HTTP/1.1\r\nHost: a\r\n\r\n"
    assert make_head_parser(parser).parse(head)[0] == method.decode()


def test_no_field_at_all(parser):
    assert make_head_parser(parser).parse(b"GET / HTTP/1.0\r\n\r\n") == ("GET", b"/", "1.0", [])


def test_ten_thousand_fields(parser):
    head = b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 10_000 + b"\r\n"
    assert len(make_head_parser(parser).parse(head)[3]) == 10_000


def test_the_first_fault_is_named():
    with pytest.raises(PeerError, match="400 invalid header name"):
        parse_head(b"GET / HTTP/1.1\r\nA : b\r\nC: \x00\r\n\r\n")
    with pytest.raises(PeerError, match="400 bare CR or LF"):
        parse_head(b"GET / HTTP/9.9\r\nA : b\r\nC: \n\r\n\r\n")


@pytest.mark.parametrize(
    ("data", "start", "at"),
    [
        (b"", 0, -1),
        (b"\n", 0, 0),
        (b"a\r\nb\r\n", 0, -1),
        (b"a\r\nb\nc", 0, 4),
        (b"a\r\nb\nc", 2, 4),
        (b"a\r\n\n", 3, 3),
        (b"a\nb\r\n", 2, -1),
        (b"\r\n\r\n", 1, -1),
    ],
)
def test_bare_lf(data, start, at):
    assert bare_lf(data, start) == at
