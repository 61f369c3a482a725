"""Scopes alone; the conformance suite shows every key on every wire."""

import asyncio

import pytest
from fakes import FakeClock

from asgiserver import Config
from asgiserver.asgi.scope import has_prefix, http_scope, lifespan_scope, websocket_scope
from asgiserver.context import ServerContext
from asgiserver.http.message import PLAIN, Framing, RequestHead
from asgiserver.http.peer import Peer
from asgiserver.http.target import split_target


@pytest.fixture
async def context():
    return ServerContext(Config(print), print, asyncio.get_running_loop(), FakeClock())


HEAD = RequestHead("GET", b"/ws?a=1", "1.1", [(b"host", b"a")])


@pytest.mark.parametrize(("scheme", "expected"), [("http", "ws"), ("https", "wss")])
async def test_websocket_scope(context, scheme, expected):
    peer = Peer(("192.0.2.7", 5), ("192.0.2.1", 80), scheme)
    scope = websocket_scope(context, HEAD, peer, ["chat"])
    assert scope["type"] == "websocket"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}
    assert scope["scheme"] == expected
    assert scope["subprotocols"] == ["chat"]
    assert "method" not in scope
    assert (scope["path"], scope["query_string"]) == ("/ws", b"a=1")


async def test_tls_extension_is_there_when_the_connection_has_it(context):
    tls = {"tls_version": 0x0304}
    peer = Peer(None, None, "https", tls)
    assert http_scope(context, HEAD, peer)["extensions"]["tls"] == tls
    assert websocket_scope(context, HEAD, peer, [])["extensions"]["tls"] == tls
    assert "tls" not in http_scope(context, HEAD, Peer(None, None))["extensions"]


async def test_a_connection_may_change_its_version(context):
    peer = Peer(None, None)
    plain = [(b"host", b"a")]
    requests = [
        RequestHead("GET", b"/", version, plain, framing)
        for version, framing in (
            ("1.0", Framing()),
            ("1.1", PLAIN),
            ("1.1", Framing()),
            ("1.0", Framing()),
            ("1.1", PLAIN),
        )
        for _ in range(3)
    ]
    for request in requests:
        assert http_scope(context, request, peer)["http_version"] == request.http_version


@pytest.mark.parametrize("target", [b"/a", b"/a?", b"/a?b=c", b"/%61", b"/a%2Fb?c", b"/"])
async def test_the_target_is_split(context, target):
    peer = Peer(None, None)
    for _ in range(3):
        scope = http_scope(context, RequestHead("GET", target, "1.1", []), peer)
        found = scope["path"], scope["raw_path"], scope["query_string"]
        assert found == split_target(target)


def test_lifespan_scope_carries_the_state_itself():
    state = {}
    scope = lifespan_scope(state)
    assert scope["state"] is state
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.0"}


@pytest.mark.parametrize(
    ("path", "expected"), [("/api", True), ("/api/x", True), ("/apix", False), ("/", False)]
)
def test_has_prefix(path, expected):
    assert has_prefix(path, "/api") is expected


def test_peer_repr():
    assert repr(Peer(("h", 1), ("s", 2))) == "<Peer ('h', 1) -> http ('s', 2)>"
