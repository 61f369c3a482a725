"""What a request head is made of; what is refused stands in the corpus."""

import pytest

from asgiserver.errors import PeerError
from asgiserver.h2.faults import StreamFault
from asgiserver.h2.request_head import read_request
from asgiserver.h2.settings import Settings
from asgiserver.http.underscores import Underscores

PSEUDO = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a")]


def read(*fields, end=True, settings=None, pseudo=PSEUDO):
    return read_request([*pseudo, *fields], end, settings or Settings())


def test_head():
    head = read((b"accept", b"*/*"), (b"x", b"1"), (b"x", b"2"))
    assert (head.method, head.target, head.http_version) == ("GET", b"/", "2")
    assert head.fields == [(b"host", b"a"), (b"accept", b"*/*"), (b"x", b"1"), (b"x", b"2")]
    assert head.priority is None
    assert head.forwarded is None
    framing = head.framing
    assert (framing.has_body, framing.content_length, framing.upgrade) == (False, 0, b"")
    assert framing.takes_trailers
    assert not framing.expect_continue


def test_host_takes_the_place_and_the_text_of_authority():
    assert read((b"x", b"1"), (b"host", b"A")).fields == [(b"host", b"a"), (b"x", b"1")]


def test_a_body_of_unknown_length():
    framing = read(end=False).framing
    assert (framing.has_body, framing.content_length) == (True, None)


def test_a_body_of_known_length():
    framing = read((b"content-length", b"12"), end=False).framing
    assert (framing.has_body, framing.content_length) == (True, 12)


def test_a_client_that_waits_for_100():
    framing = read((b"expect", b"100-Continue"), end=False).framing
    assert framing.expect_continue
    assert framing.takes_trailers
    assert not read((b"expect", b"100-continue")).framing.expect_continue


def test_cookies_are_joined_where_the_first_was():
    fields = read((b"a", b"1"), (b"cookie", b"b=1"), (b"c", b"2"), (b"cookie", b"d=3")).fields
    assert fields[1:] == [(b"a", b"1"), (b"cookie", b"b=1; d=3"), (b"c", b"2")]


def test_one_cookie_is_left_as_it_is():
    fields = read((b"cookie", b"b=1"), (b"x", b"1"), (b"x", b"2")).fields
    assert fields[1:] == [(b"cookie", b"b=1"), (b"x", b"1"), (b"x", b"2")]


def test_what_proxies_say():
    head = read((b"x-forwarded-for", b"192.0.2.1"), (b"x-forwarded-for", b"192.0.2.2"))
    assert head.forwarded[b"x-forwarded-for"] == b"192.0.2.1,192.0.2.2"


def test_priority():
    assert read((b"priority", b"u=1, i")).priority == (1, True)
    assert read((b"priority", b"?")).priority is None


def test_underscores():
    assert read((b"x_y", b"1")).fields == [(b"host", b"a")]
    kept = read((b"x_y", b"1"), settings=Settings(underscores=Underscores("keep")))
    assert kept.fields == [(b"host", b"a"), (b"x_y", b"1")]
    with pytest.raises(PeerError, match="underscore"):
        read((b"x_y", b"1"), settings=Settings(underscores=Underscores("refuse")))


CONNECT = [
    (b":method", b"CONNECT"),
    (b":protocol", b"WebSocket"),
    (b":scheme", b"https"),
    (b":path", b"/chat"),
    (b":authority", b"a"),
]


def test_extended_connect():
    head = read(end=False, pseudo=CONNECT)
    assert (head.method, head.target) == ("CONNECT", b"/chat")
    framing = head.framing
    assert (framing.upgrade, framing.has_body) == (b"websocket", True)
    assert framing.content_length is None


def test_extended_connect_that_was_not_announced():
    with pytest.raises(StreamFault, match="unexpected :protocol"):
        read(end=False, pseudo=CONNECT, settings=Settings(websocket=False))
    assert (8, 1) not in Settings(websocket=False).announced()


def test_names_that_are_new_are_checked_again_after_the_memo_is_full():
    for number in range(1100):
        assert read((b"x%d" % number, b"")).fields
    with pytest.raises(StreamFault, match="invalid field name"):
        read((b"X0", b""))
