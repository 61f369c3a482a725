"""Response heads as bytes."""

import pytest

from asgiserver.h1.encoder import HeadEncoder, encode_fields, status_line
from asgiserver.http.message import ResponseHead
from asgiserver.wire.server_fields import ServerFields

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


def make_encoder(*arguments, **options):
    fields = ServerFields(*arguments, **options)
    fields.set_date(DATE)
    return fields, HeadEncoder(fields)


def test_a_whole_head():
    _, encoder = make_encoder()
    start = b"HTTP/1.1 200 OK\r\nserver: asgiserver\r\ndate: " + DATE + b"\r\n"
    assert encoder.encode(ResponseHead(200)) == start + b"\r\n"
    assert encoder.encode(ResponseHead(200, [(b"X-A", b"b")])) == start + b"x-a: b\r\n\r\n"
    assert encoder.start(200) is encoder.start(200)
    assert repr(encoder).startswith("<HeadEncoder")


def test_framing_fields_stand_last():
    _, encoder = make_encoder(b"", False)
    head = ResponseHead(404, [(b"a", b"b")])
    whole = encoder.encode(head, b"connection: close\r\n\r\n")
    assert whole == b"HTTP/1.1 404 Not Found\r\na: b\r\nconnection: close\r\n\r\n"


def test_a_head_keeps_its_bytes_for_the_same_ending_and_the_same_second():
    fields, encoder = make_encoder()
    head = ResponseHead(200)
    whole = encoder.encode(head)
    assert head.encoded_for is encoder.stamp
    assert encoder.encode(head) is whole is head.encoded
    closing = encoder.encode(head, b"connection: close\r\n\r\n")
    assert head.encoded_for is not encoder.stamp
    assert encoder.encode(head, b"connection: close\r\n\r\n") is closing
    assert encoder.encode(head) == whole
    fields.set_date(b"later")
    encoder.renew()
    assert b"date: later\r\n" in encoder.encode(head)
    assert b"date: later\r\n" in encoder.encode(head, b"connection: close\r\n\r\n")


def test_fields_that_depend_on_the_response():
    _, encoder = make_encoder(defaults=[(b"x-a", b"1")])
    assert b"x-a: 1\r\n" in encoder.encode(ResponseHead(200))
    encoded = encoder.encode(ResponseHead(200, [(b"X-A", b"mine"), (b"Date", b"mine")]))
    assert encoded.count(b"x-a: ") == encoded.count(b"date: ") == 1
    assert b"x-a" not in encoder.start(200)
