"""The fields that a server adds to a response by itself."""

import pytest

from asgiserver import Config
from asgiserver.http.message import ResponseHead
from asgiserver.wire.server_fields import ServerFields, make_server_fields

DATE = (b"date", b"Sat, 01 Aug 2026 12:00:00 GMT")
SERVER = (b"server", b"asgiserver")


def make_fields(*arguments, **options):
    fields = ServerFields(*arguments, **options)
    fields.set_date(DATE[1])
    return fields


def test_server_and_date():
    fields = make_fields()
    assert fields.missing(ResponseHead(200)) == [SERVER, DATE]
    assert fields.missing(ResponseHead(200)) is fields.own
    stamp = fields.stamp
    fields.set_date(b"later")
    assert fields.missing(ResponseHead(200)) == [SERVER, (b"date", b"later")]
    assert fields.stamp is not stamp
    assert repr(fields).startswith("<ServerFields")


def test_neither_server_nor_date():
    assert make_fields(b"", False).missing(ResponseHead(200)) == []


@pytest.mark.parametrize(("name", "left"), [(b"Date", [SERVER]), (b"Server", [DATE])])
def test_the_applications_own_field_wins(name, left):
    assert make_fields().missing(ResponseHead(200, [(name, b"x")])) == left


def test_fields_of_the_user_where_the_application_has_none():
    fields = make_fields(defaults=[(b"x-a", b"1"), (b"x-b", b"2")])
    both = [SERVER, DATE, (b"x-a", b"1"), (b"x-b", b"2")]
    assert fields.missing(ResponseHead(200)) == both
    assert fields.missing(ResponseHead(200, [(b"X-A", b"mine")])) == [*both[:2], both[3]]
    assert fields.own == both[:2]


def test_options():
    config = Config("app", server_header=False, date_header=False, headers=["X-A: b", "X-A:c"])
    assert make_server_fields(config).missing(ResponseHead(200)) == [(b"x-a", b"b"), (b"x-a", b"c")]
