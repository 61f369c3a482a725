"""Offers and answers of RFC 6455 section 4, and what of them holds for RFC 8441."""

from __future__ import annotations

import pytest

from asgiserver.errors import ApplicationError, PeerError
from asgiserver.http.message import Framing, RequestHead
from asgiserver.ws.deflate import negotiate
from asgiserver.ws.handshake import accept_fields, read_offer

KEY = (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")
VERSION = (b"sec-websocket-version", b"13")
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 section 1.3


def head(*fields: tuple[bytes, bytes], method: str = "GET", version: str = "1.1") -> RequestHead:
    framing = Framing()
    framing.upgrade = b"websocket"
    return RequestHead(method, b"/chat", version, [(b"host", b"example.com"), *fields], framing)


def refused(request: RequestHead) -> PeerError:
    with pytest.raises(PeerError) as caught:
        read_offer(request)
    return caught.value


def test_the_example_of_the_rfc():
    offer = read_offer(head(KEY, VERSION, (b"sec-websocket-protocol", b"chat, superchat")))
    assert offer.subprotocols == ["chat", "superchat"]
    assert offer.accept_key == ACCEPT
    assert accept_fields(offer, "chat", []) == [
        (b"upgrade", b"websocket"),
        (b"connection", b"Upgrade"),
        (b"sec-websocket-accept", ACCEPT),
        (b"sec-websocket-protocol", b"chat"),
    ]
    assert "superchat" in repr(offer)


def test_only_get():
    error = refused(head(KEY, VERSION, method="POST"))
    assert error.status == 405
    assert (b"allow", b"GET") in error.fields


@pytest.mark.parametrize("versions", [[], [b"8"], [b"13", b"13"], [b"13, 8"], [b"013"]])
def test_only_version_13(versions):
    fields = [(b"sec-websocket-version", version) for version in versions]
    error = refused(head(KEY, *fields))
    assert error.status == 426
    assert (b"sec-websocket-version", b"13") in error.fields


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [b""],
        [b"short"],
        [b"dGhlIHNhbXBsZSBub25jZQ"],
        [b"dGhlIHNhbXBsZSBub25jZQ==\n"],
        [b"dGhlIHNhbXBsZSBub25j*Q=="],
        [b"dGhlIHNhbXBsZSBub25jZQ==AAAA"],
        [KEY[1], KEY[1]],
    ],
)
def test_bad_keys_are_400(keys):
    assert refused(head(VERSION, *[(b"sec-websocket-key", key) for key in keys])).status == 400


def test_http_1_0_is_400():
    assert refused(head(KEY, VERSION, version="1.0")).status == 400


def test_a_body_is_400():
    request = head(KEY, VERSION)
    request.framing.has_body = True
    assert refused(request).status == 400


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([b"a"], ["a"]),
        ([b" a ,\tb"], ["a", "b"]),
        ([b"a", b"b, c"], ["a", "b", "c"]),
        ([b"v1.json+x~!#$%&'*^_`|"], ["v1.json+x~!#$%&'*^_`|"]),
    ],
)
def test_subprotocols(values, expected):
    fields = [(b"sec-websocket-protocol", value) for value in values]
    assert read_offer(head(KEY, VERSION, *fields)).subprotocols == expected


@pytest.mark.parametrize(
    "value",
    [b"", b",", b"a,,b", b"a,", b"a b", b"b" + b" " * 32768 + b"x", b"\x80\xff", b"a/b", b'"a"'],
)
def test_malformed_subprotocols_are_400(value):
    assert refused(head(KEY, VERSION, (b"sec-websocket-protocol", value))).status == 400


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([b"permessage-deflate"], [("permessage-deflate", [])]),
        (
            [b'permessage-deflate; client_max_window_bits; server_max_window_bits="10", x;y = z'],
            [
                (
                    "permessage-deflate",
                    [("client_max_window_bits", None), ("server_max_window_bits", "10")],
                ),
                ("x", [("y", "z")]),
            ],
        ),
        ([b"a", b"b;c"], [("a", []), ("b", [("c", None)])]),
    ],
)
def test_extensions(values, expected):
    fields = [(b"sec-websocket-extensions", value) for value in values]
    assert read_offer(head(KEY, VERSION, *fields)).extensions == expected


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b" ",
        b",",
        b"a,",
        b",a",
        b"a;",
        b"a;;b",
        b"a=b",
        b"a b",
        b"a;b=",
        b'a;b="',
        b'a;b="c d"',
        b'a;b="c',
        b"\x80",
        b"a" + b" " * 32768 + b"b",
        b"a;b" + b" " * 32768 + b"=",
        b"a;" * 16384,
    ],
)
def test_malformed_extensions_are_400(value):
    assert refused(head(KEY, VERSION, (b"sec-websocket-extensions", value))).status == 400


def test_an_offer_without_http_1():
    request = head(VERSION, (b"sec-websocket-protocol", b"chat"), method="CONNECT", version="2")
    offer = read_offer(request)
    assert (offer.accept_key, offer.status) == (None, 200)
    assert accept_fields(offer, "chat", []) == [(b"sec-websocket-protocol", b"chat")]


def test_answer_with_headers_and_compression():
    extension = (b"sec-websocket-extensions", b"permessage-deflate")
    offer = read_offer(head(KEY, VERSION, extension))
    offer.deflate = negotiate(offer.extensions, "shared")
    fields = accept_fields(offer, None, [(b"Set-Cookie", b"a=b"), (b"set-cookie", b"c=d")])
    assert fields[3:] == [
        (
            b"sec-websocket-extensions",
            b"permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        ),
        (b"set-cookie", b"a=b"),
        (b"set-cookie", b"c=d"),
    ]


@pytest.mark.parametrize("subprotocol", ["other", "", "CHAT"])
def test_only_an_offered_subprotocol(subprotocol):
    offer = read_offer(head(KEY, VERSION, (b"sec-websocket-protocol", b"chat")))
    with pytest.raises(ApplicationError, match="not among those offered"):
        accept_fields(offer, subprotocol, [])


@pytest.mark.parametrize(
    "name",
    [b"Sec-WebSocket-Protocol", b"sec-websocket-accept", b"sec-websocket-extensions", b"upgrade"],
)
def test_headers_that_are_the_servers(name):
    with pytest.raises(ApplicationError, match="only the server may send"):
        accept_fields(read_offer(head(KEY, VERSION)), None, [(name, b"x")])


@pytest.mark.parametrize("field", [(b"x", b"a\r\nb: c"), (b"a b", b"c"), ("x", b"y")])
def test_bad_headers(field):
    with pytest.raises(ApplicationError):
        accept_fields(read_offer(head(KEY, VERSION)), None, [field])
