"""Response heads as bytes."""

import pytest

from asgiserver.h1.encoder import HeadEncoder, encode_fields, status_line
from asgiserver.http.message import ResponseHead

DATE = b"Sat, 01 Aug 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (200, b"HTTP/1.1 200 OK\r\n"),
        (404, b"HTTP/1.1 404 Not Found\r\n"),
        (599, b"HTTP/1.1 599 \r\n"),
    ],
)
def test_status_line(status, line):
    assert status_line(status) == line


def test_fields():
    assert encode_fields([(b"a", b"b"), (b"c", b"")]) == b"a: b\r\nc: \r\n"
    assert encode_fields([]) == b""


def test_server_and_date():
    encoder = HeadEncoder()
    encoder.set_date(DATE)
    start = b"HTTP/1.1 200 OK\r\nserver: asgiserver\r\ndate: " + DATE + b"\r\n"
    assert encoder.begin(ResponseHead(200)) == start
    assert encoder.starts[200] == start
    encoder.set_date(b"later")
    assert b"date: later\r\n" in encoder.begin(ResponseHead(200))
    assert repr(encoder).startswith("<HeadEncoder")


def test_neither_server_nor_date():
    encoder = HeadEncoder(server=b"", send_date=False)
    encoder.set_date(DATE)
    assert encoder.begin(ResponseHead(200)) == b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize("name", [b"Date", b"Server"])
def test_the_applications_own_field_wins(name):
    encoder = HeadEncoder()
    encoder.set_date(DATE)
    begun = encoder.begin(ResponseHead(200, [(name, b"x")]))
    assert (b"date:" in begun) == (name == b"Server")
    assert (b"server:" in begun) == (name == b"Date")


def test_fields_of_the_user_where_the_application_has_none():
    encoder = HeadEncoder(defaults=[(b"x-a", b"1"), (b"x-b", b"2")])
    encoder.set_date(DATE)
    begun = encoder.begin(ResponseHead(200, [(b"X-A", b"mine")]))
    assert b"x-a" not in begun
    assert begun.endswith(b"x-b: 2\r\n")
    for _ in range(2):  # what is kept of a status has none of them: they depend on the response
        assert encoder.start(200).endswith(b"date: " + DATE + b"\r\n")
        assert not encoder.starts
    assert begun.count(b"server:") == begun.count(b"date:") == 1
    assert b"x-a: 1\r\nx-b: 2\r\n" in encoder.begin(ResponseHead(200))
