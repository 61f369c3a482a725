"""What an application may answer."""

import pytest

from asgiserver.errors import ApplicationError
from asgiserver.http.fields import KNOWN_NAMES, checked_fields, list_members
from asgiserver.http.message import ResponseHead, checked_head


@pytest.mark.parametrize("status", [200, 204, 304, 404, 599, 999])
def test_status(status):
    head = ResponseHead(status)
    assert head.status == status
    assert head.bodyless == (status in (204, 304))


@pytest.mark.parametrize("status", [0, 99, 100, 101, 199, 1000, "200", None, 200.0, True])
def test_no_status(status):
    with pytest.raises(ApplicationError, match="from 200 to 999"):
        ResponseHead(status)


@pytest.mark.parametrize("make", [list, tuple, iter])
def test_fields(make):
    head = ResponseHead(200, make([(b"X-A", b"b"), [b"x-a", b"c"], (b"x-empty", b"")]))
    assert [tuple(field) for field in head.fields] == [
        (b"x-a", b"b"),
        (b"x-a", b"c"),
        (b"x-empty", b""),
    ]


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(
    "headers",
    [
        [(b"x-a", b"b\r\nset-cookie: c")],
        [(b"x-a", b"b\rc")],
        [(b"x-a", b"b\nc")],
        [(b"x-a", b"b\x00")],
        [(b"x-a", b"b"), (b"x-b", b"\r\n")],
        [(b"x a", b"b")],
        [(b"x-a\r\n", b"b")],
        [(b"x-a:", b"b")],
        [(b"", b"b")],
        [("x-a", b"b")],
        [(b"x-a", "b")],
        [(b"x-a", 1)],
        [(b"x-a", None)],
        [(b"x-a",)],
        [(b"x-a", b"b", b"c")],
        [b"ab"],
        [1],
        1,
        None,
        b"ab",
        "ab",
        [(b"content-length", b"+5")],
        [(b"content-length", b"")],
        [(b"content-length", b"5, 5")],
        [(b"content-length", b"1" * 20)],
        [(b"content-length", b"5"), (b"content-length", b"6")],
    ],
)
def test_no_fields(headers, known):
    if known:
        ResponseHead(200, [(b"x-a", b"b"), (b"x-b", b"c"), (b"content-length", b"5")])
    with pytest.raises(ApplicationError, match="response"):
        ResponseHead(200, headers)


def test_length():
    assert ResponseHead(200).content_length is None
    assert ResponseHead(200, [(b"Content-Length", b"5")]).content_length == 5
    twice = ResponseHead(200, [(b"content-length", b"5"), (b"content-length", b"5")])
    assert twice.content_length == 5
    assert twice.fields == [(b"content-length", b"5")]
    assert ResponseHead(304, [(b"content-length", b"5")]).content_length == 5
    none = ResponseHead(204, [(b"content-length", b"0"), (b"x", b"y")])
    assert (none.content_length, none.fields) == (None, [(b"x", b"y")])


def test_a_copy_differs_only_in_what_a_wire_has_kept():
    head = ResponseHead(404, [(b"date", b"x"), (b"connection", b"close")], trailers=True)
    head.encoded, head.encoded_for = b"encoded", object()
    copy = head.copy()
    for name in set(ResponseHead.__slots__) - {"encoded", "encoded_for"}:
        assert getattr(copy, name) == getattr(head, name)
    assert copy.encoded_for is None
    sized = head.with_length(3)
    assert (sized.content_length, sized.fields[-1]) == (3, (b"content-length", b"3"))
    assert head.content_length is None


def test_what_the_wire_decides_is_left_out():
    head = ResponseHead(
        200,
        [
            (b"Transfer-Encoding", b"chunked"),
            (b"Connection", b"X, Close"),
            (b"connection", b"close"),
        ],
    )
    assert head.close
    assert head.fields == [(b"connection", b"x")]
    assert not ResponseHead(200, [(b"connection", b"keep-alive")]).close


def test_heads_kept_are_bounded():
    for number in range(1100):  # more than twice as many as are kept
        headers = [(b"x-number", b"%d" % number)]
        head = checked_head(200, headers)
        assert head.fields == headers
        assert checked_head(200, headers) is head
    assert checked_head(200, [(b"x-number", b"0")]) is not checked_head(200, [(b"x-number", b"1")])
    assert repr(head) == "<ResponseHead 200 fields=1 close=False>"


def test_names_kept_are_bounded():
    for number in range(3000):
        checked_fields([(b"X-%d" % number, b"")])
        assert len(KNOWN_NAMES) <= 1024


@pytest.mark.parametrize(
    ("value", "members"),
    [
        (b"", []),
        (b"a", [b"a"]),
        (b" A\t, ,b ,,c", [b"a", b"b", b"c"]),
        (b"," * 1000, []),
    ],
)
def test_list_members(value, members):
    assert list_members(value) == members
