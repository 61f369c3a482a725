"""Forwarding fields and the PROXY protocol over real sockets, with and without TLS."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import struct

import pytest
import uvloop
from fakes import WAIT, until
from pki import Authority

from asgiserver import Config, Server

V1 = b"PROXY TCP4 203.0.113.9 198.51.100.1 56324 443\r\n"
V2 = (
    b"\r\n\r\n\x00\r\nQUIT\n\x21\x11"
    + struct.pack("!H", 12 + 8)
    + socket.inet_aton("203.0.113.9")
    + socket.inet_aton("198.51.100.1")
    + struct.pack("!HH", 56324, 443)
    + b"\x20\x00\x05\x01\x00\x00\x00\x00"  # the client spoke TLS
)
LOCAL = b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
GET = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%b\r\n"


class Recorder:
    """Answers 200, and keeps the scopes."""

    def __init__(self):
        self.scopes = []

    async def __call__(self, scope, receive, send):
        self.scopes.append(scope)
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})


async def exchange(server, *parts, **options):
    """What is answered to `parts`, each sent by itself."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.listeners[0].port, **options)
    try:
        async with asyncio.timeout(WAIT):
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


# Forwarding fields ----------------------------------------------------------------------------


async def test_forwarded_by_loopback(serve, parser):
    app = Recorder()
    server = await serve(app, http=parser, forwarded_fields="for,proto,host,prefix")
    fields = (
        b"X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n"
        b"X-Forwarded-Host: example.com\r\nX-Forwarded-Prefix: /api\r\n"
    )
    assert await exchange(server, GET % fields)
    scope = app.scopes[0]
    assert scope["client"] == ("203.0.113.9", 0)
    assert scope["scheme"] == "https"
    assert scope["server"] == ("example.com", 443)
    assert (scope["root_path"], scope["path"]) == ("/api", "/api/x")
    assert dict(scope["headers"])[b"host"] == b"example.com"
    assert "tls" not in scope["extensions"]


async def test_what_is_believed_by_default(serve, parser, caplog):
    app = Recorder()
    server = await serve(app, http=parser)
    fields = (
        b"X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n"
        b"X-Forwarded-Host: evil.example\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /evil\r\n"
    )
    for _ in range(2):
        assert await exchange(server, GET % fields)
    scope = app.scopes[0]
    assert (scope["client"], scope["scheme"]) == (("203.0.113.9", 0), "https")
    assert scope["server"] == ("127.0.0.1", server.listeners[0].port)
    assert (scope["root_path"], scope["path"]) == ("", "/x")
    assert dict(scope["headers"])[b"host"] == b"a"
    assert caplog.text.count("--forwarded-fields for,proto,host") == 1


async def test_each_request_by_itself(serve, dial):
    app = Recorder()
    server = await serve(app)
    client = await dial(server)
    for host in (b"203.0.113.1", b"203.0.113.2"):
        await client.get(fields=b"X-Forwarded-For: %b\r\n" % host)
        await client.reply()
    await client.get()
    await client.reply()
    hosts = [scope["client"][0] for scope in app.scopes]
    assert hosts == ["203.0.113.1", "203.0.113.2", "127.0.0.1"]


async def test_websocket(serve):
    app = Recorder()
    server = await serve(app)
    request = (
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n\r\n"
    )
    assert b" 403 " in await exchange(server, request)
    assert app.scopes[0]["scheme"] == "wss"
    assert app.scopes[0]["client"] == ("203.0.113.9", 0)


async def test_rfc7239(serve):
    app = Recorder()
    server = await serve(app, forwarded_headers="forwarded")
    field = b'Forwarded: for="[2001:db8::9]:4711";proto=https;host=example.com\r\n'
    assert await exchange(server, GET % (field + b"X-Forwarded-For: 6.6.6.6\r\n"))
    assert app.scopes[0]["client"] == ("2001:db8::9", 4711)
    assert app.scopes[0]["scheme"] == "https"
    answer = await exchange(server, GET % b'Forwarded: for="x\r\n')
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert len(app.scopes) == 1


async def test_unix_socket_peers_are_trusted(serve, dial, tmp_path):
    app = Recorder()
    server = await serve(app, uds=str(tmp_path / "s"))
    client = await dial(server)
    await client.get(fields=b"X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n")
    assert (await client.reply()).status == 200
    assert app.scopes[0]["client"] == ("203.0.113.9", 0)
    assert app.scopes[0]["scheme"] == "https"


async def test_untrusted_peer_is_named_once(serve, caplog):
    app = Recorder()
    server = await serve(app, forwarded_allow_ips="10.0.0.1")
    for _ in range(2):
        assert await exchange(server, GET % b"X-Forwarded-For: 6.6.6.6\r\n")
    assert {scope["client"][0] for scope in app.scopes} == {"127.0.0.1"}
    assert caplog.text.count("Ignored X-Forwarded-For from 127.0.0.1") == 1
    assert "--forwarded-allow-ips 127.0.0.1" in caplog.text


# The PROXY protocol ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "version"), [(V1, "v1"), (V2, "v2"), (V1, "auto"), (V2, "auto")]
)
async def test_proxy_protocol(serve, header, version):
    app = Recorder()
    server = await serve(app, proxy_protocol=version)
    assert b"200" in await exchange(server, header + GET % b"")
    scope = app.scopes[0]
    assert scope["client"] == ("203.0.113.9", 56324)
    assert scope["server"] == ("198.51.100.1", 443)
    assert scope["scheme"] == ("https" if header is V2 else "http")


@pytest.mark.parametrize("header", [V1, V2])
async def test_in_pieces(serve, header):
    app = Recorder()
    server = await serve(app, proxy_protocol="auto")
    pieces = [bytes([byte]) for byte in header]
    assert b"200" in await exchange(server, *pieces, GET % b"")
    assert app.scopes[0]["client"] == ("203.0.113.9", 56324)


async def test_local_is_the_sender_itself(serve):
    app = Recorder()
    server = await serve(app, proxy_protocol="v2")
    assert b"200" in await exchange(server, LOCAL + GET % b"")
    assert app.scopes[0]["client"][0] == "127.0.0.1"


async def test_fields_of_a_client_behind_the_balancer_are_not_believed(serve):
    app = Recorder()
    server = await serve(app, proxy_protocol="v1")
    await exchange(server, V1 + GET % b"X-Forwarded-For: 6.6.6.6\r\n")
    assert app.scopes[0]["client"] == ("203.0.113.9", 56324)


async def test_fields_of_a_proxy_behind_the_balancer_are(serve):
    app = Recorder()
    server = await serve(app, proxy_protocol="v1", forwarded_allow_ips="203.0.113.9")
    await exchange(server, V1 + GET % b"X-Forwarded-For: 192.0.2.5\r\n")
    assert app.scopes[0]["client"] == ("192.0.2.5", 0)


@pytest.mark.parametrize("header", [V1, V2])
async def test_before_tls(serve, tmp_path, header):
    ca = Authority()
    crt, key = ca.issue("localhost").write(tmp_path, "server")
    app = Recorder()
    server = await serve(app, proxy_protocol="auto", ssl_certfile=crt, ssl_keyfile=key)

    def talk():
        context = ssl.create_default_context(cadata=ca.pem)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        with socket.create_connection(("127.0.0.1", server.listeners[0].port), WAIT) as sock:
            start = header  # in one segment with the handshake's first bytes
            for action in (tls.do_handshake, lambda: tls.write(GET % b""), lambda: tls.read(9999)):
                while True:
                    try:
                        result = action()
                    except ssl.SSLWantReadError:
                        result = None
                    sock.sendall(start + outgoing.read())
                    start = b""
                    if result is not None or (action == tls.do_handshake and tls.version()):
                        break
                    incoming.write(sock.recv(65536))
            return result

    answer = await asyncio.to_thread(talk)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert app.scopes[0]["client"] == ("203.0.113.9", 56324)
    assert app.scopes[0]["extensions"]["tls"]["server_cert"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (GET % b"", "no PROXY protocol header"),
        (b"PROXY TCP4 1.2.3.4 nonsense\r\n", "malformed PROXY protocol header"),
        (b"PROXY UNKNOWN " + b"a" * 200, "malformed PROXY protocol header"),
    ],
)
async def test_without_it_nothing_is_served(serve, caplog, data, reason):
    caplog.set_level(logging.INFO, "asgiserver")
    app = Recorder()
    server = await serve(app, proxy_protocol="auto")
    assert await exchange(server, data) == b""
    assert f": {reason}" in caplog.text
    assert server.context.stats.refused == {reason: 1}
    assert app.scopes == []


async def test_only_some_may_speak_it(serve, caplog):
    caplog.set_level(logging.INFO, "asgiserver")
    app = Recorder()
    server = await serve(app, proxy_protocol="v1", proxy_protocol_allow_ips="10.0.0.0/8")
    assert await exchange(server, V1 + GET % b"") == b""
    assert "may not speak the PROXY protocol (--proxy-protocol-allow-ips 127.0.0.1)" in caplog.text
    assert app.scopes == []


async def test_it_must_come_in_time(serve, caplog):
    caplog.set_level(logging.INFO, "asgiserver")
    server = await serve(Recorder(), proxy_protocol="v1", timeout_request_head=0.2)
    assert await exchange(server, b"PROXY TC") == b""
    assert "PROXY protocol header timed out" in caplog.text


async def test_probes_are_quiet(serve, caplog):
    caplog.set_level(logging.INFO, "asgiserver")
    server = await serve(Recorder(), proxy_protocol="v1")
    caplog.clear()
    for data in (b"", b"PROXY"):
        _, writer = await asyncio.open_connection("127.0.0.1", server.listeners[0].port)
        writer.write(data)
        writer.close()
        await writer.wait_closed()
    await until(lambda: not server._frontend.acceptors[0]._handshakes)
    assert caplog.records == []


async def test_unix_socket(serve, dial, tmp_path):
    app = Recorder()
    server = await serve(app, uds=str(tmp_path / "s"), proxy_protocol="v1")
    client = await dial(server)
    await client.send(V1 + GET % b"")
    assert (await client.reply()).status == 200
    assert app.scopes[0]["client"] == ("203.0.113.9", 56324)


def test_uvloop():
    app = Recorder()

    async def main():
        async with Server(Config(app, port=0, lifespan="off", proxy_protocol="auto")) as server:
            for header in (V1, V2):
                assert b"200" in await exchange(server, header[:9], header[9:] + GET % b"")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
    assert [scope["client"] for scope in app.scopes] == [("203.0.113.9", 56324)] * 2
