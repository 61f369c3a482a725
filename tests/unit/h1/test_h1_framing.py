"""What the fields of a request say about its body and its connection."""

import pytest

from asgiserver.errors import PeerError
from asgiserver.h1.framing import read_request_head
from asgiserver.http.message import PLAIN


def read_head(*fields, version="1.1"):
    return read_request_head("POST", b"/", version, [(b"host", b"a"), *fields])


def read(*fields, version="1.1"):
    return read_head(*fields, version=version).framing


def test_plain():
    head = read_request_head("GET", b"/x", "1.1", [(b"host", b"a"), (b"x", b"y")])
    assert (head.method, head.target, head.http_version) == ("GET", b"/x", "1.1")
    assert head.fields == [(b"host", b"a"), (b"x", b"y")]
    assert head.framing is PLAIN
    assert (PLAIN.has_body, PLAIN.content_length, head.keep_alive) == (False, 0, True)
    assert (PLAIN.takes_trailers, PLAIN.expect_continue, PLAIN.upgrade) == (False, False, b"")
    assert repr(head) == "<RequestHead GET b'/x' HTTP/1.1>"


@pytest.mark.parametrize(
    ("version", "connection", "keep_alive"),
    [
        ("1.1", None, True),
        ("1.1", b"close", False),
        ("1.1", b"Close", False),
        ("1.1", b"keep-alive, close", False),
        ("1.1", b"x,\tCLOSE ,y", False),
        ("1.1", b"closed", True),
        ("1.1", b"", True),
        ("1.0", None, False),
        ("1.0", b"Keep-Alive", True),
        ("1.0", b"keep-alive, close", False),
    ],
)
def test_keep_alive(version, connection, keep_alive):
    fields = [] if connection is None else [(b"connection", connection)]
    assert read_head(*fields, version=version).keep_alive is keep_alive


def test_connection_fields_count_together():
    fields = [(b"connection", b"keep-alive"), (b"accept", b"x"), (b"connection", b"close")]
    assert read_head(*fields).keep_alive is False
    fields = [(b"connection", b"x"), (b"upgrade", b"a"), (b"connection", b"upgrade")]
    assert read(*fields, (b"upgrade", b"b")).upgrade == b"a,b"


def test_upgrade_needs_connection_and_version():
    upgrade = (b"upgrade", b"WebSocket")
    connection = (b"connection", b"Upgrade")
    assert read(upgrade, connection).upgrade == b"websocket"
    assert read(upgrade).upgrade == b""
    assert read(connection).upgrade == b""
    assert read(upgrade, connection, version="1.0").upgrade == b""
    assert read(upgrade, connection, (b"content-length", b"0")).upgrade == b"websocket"
    # Whoever knows the protocol refuses a body before it (RFC 6455 section 4.1).
    assert read(upgrade, connection, (b"content-length", b"1")).upgrade == b"websocket"


def test_fields_of_proxies_are_noticed():
    def forwarded(*fields):
        return read_request_head("GET", b"/", "1.1", [(b"host", b"a"), *fields]).forwarded

    assert forwarded((b"x-real-ip", b"1.1.1.1")) is None
    assert forwarded((b"x-forwarded-proto", b"https"))[b"x-forwarded-proto"] == b"https"
    twice = forwarded((b"forwarded", b"for=1.1.1.1"), (b"forwarded", b"for=_a"))
    assert twice[b"forwarded"] == b"for=1.1.1.1,for=_a"


def test_continue_is_expected_only_before_a_body():
    expect = (b"expect", b"100-Continue")
    assert read(expect, (b"content-length", b"1")).expect_continue
    assert read(expect, (b"transfer-encoding", b"chunked")).expect_continue
    assert not read(expect).expect_continue
    assert not read(expect, (b"content-length", b"0")).expect_continue
    assert not read(expect, (b"content-length", b"1"), version="1.0").expect_continue


def test_a_body_in_chunks_has_no_known_length():
    framing = read((b"transfer-encoding", b"chunked"))
    assert (framing.has_body, framing.content_length) == (True, None)


def test_nothing_of_http_1_0_is_plain():
    framing = read(version="1.0")
    assert framing is not PLAIN
    assert repr(framing) == repr(PLAIN)


def test_lengths_are_exact():
    assert read((b"content-length", b"9223372036854775807")).content_length == 2**63 - 1
    with pytest.raises(PeerError, match="400 invalid Content-Length"):
        read((b"content-length", b"9223372036854775808"))


@pytest.mark.parametrize(
    "name", [b"host", b"content-length", b"content-type", b"transfer-encoding"]
)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_once_only(name, version):
    value = {b"content-length": b"5", b"transfer-encoding": b"chunked"}.get(name, b"a")
    fields = [(b"host", b"a"), (b"x", b"y"), (name, value), (b"x", b"z")]
    fields += [] if name == b"host" else [(name, value)]
    with pytest.raises(PeerError, match="400 more than one"):
        read_request_head("POST", b"/", version, fields)
