"""WebSockets over real sockets, with clients that others wrote: websockets, aiohttp, wsproto."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import asynccontextmanager

import aiohttp
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import WebSocketRoute
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from wsproto import ConnectionType, WSConnection, events

from asgiserver import Config, Server

CODECS = ["python", "wsproto", "websockets"]
UPGRADE = (
    b"GET /chat?x=1 HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\n"
    b"Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%b\r\n"
)
ACCEPT_KEY = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
HELLO = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"  # RFC 6455 section 5.7


class App:
    """Echoes; keeps scopes and disconnect messages; a test may replace `handle`."""

    def __init__(self, handle=None):
        self.handle = handle or self.echo
        self.scopes = []
        self.disconnects = asyncio.Queue()

    async def __call__(self, scope, receive, send):
        assert scope["type"] == "websocket"
        self.scopes.append(scope)
        assert await receive() == {"type": "websocket.connect"}
        await self.handle(receive, send)

    async def echo(self, receive, send):
        await send({"type": "websocket.accept"})
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                self.disconnects.put_nowait(message)
                return
            await send({**message, "type": "websocket.send"})

    async def disconnected(self):
        async with asyncio.timeout(10):
            message = await self.disconnects.get()
        return message["code"], message["reason"]


class ServerWithURL(Server):
    @property
    def url(self):
        return self.addresses[0].replace("http", "ws", 1)

    @property
    def port(self):
        return int(self.url.rpartition(":")[2])


@asynccontextmanager
async def served(app, **options):
    config = Config(app, port=0, lifespan="off", **options)
    async with ServerWithURL(config) as server:
        yield server


@asynccontextmanager
async def raw(server, **options):
    """A plain connection to `server`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, **options)
    try:
        yield reader, writer
    finally:
        writer.close()
        try:
            await writer.wait_closed()
        except OSError:
            pass


async def status_of(server, request):
    """Status line and fields of the answer to `request`."""
    async with raw(server) as (reader, writer), asyncio.timeout(10):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        return int(head[9:12]), head.lower()


@pytest.fixture(params=CODECS)
def codec(request):
    return request.param


# Real clients.


async def test_websockets_client(codec):
    app = App()
    async with served(app, ws=codec) as server:
        async with connect(server.url + "/chat?x=1", proxy=None) as client:
            for message in ("h\u00e9llo", "", b"\x00\xff", b"", "x" * 100_000, b"y" * 1_000_000):
                await client.send(message)
                assert await client.recv() == message
            await client.send(["frag", "men", "", "ted"])
            assert await client.recv() == "fragmented"
            await asyncio.wait_for(await client.ping(), 10)
            await client.close(4001, "bye")
            assert client.close_code == 4001
        assert await app.disconnected() == (4001, "bye")
    [scope] = app.scopes
    assert (scope["path"], scope["query_string"], scope["scheme"]) == ("/chat", b"x=1", "ws")
    assert scope["http_version"] == "1.1"
    assert "method" not in scope


@pytest.mark.parametrize("mode", ["shared", "full"])
async def test_compression_with_websockets_client(codec, mode):
    app = App()
    async with (
        served(app, ws=codec, ws_compression=mode) as server,
        connect(server.url, proxy=None, max_size=None) as client,
    ):
        assert "permessage-deflate" in client.response.headers["Sec-WebSocket-Extensions"]
        for message in ("small", "a" * 1000, b"b" * 1_000_000, "a" * 1000):
            await client.send(message)
            assert await client.recv() == message


async def test_compression_is_off_by_default():
    async with served(App()) as server, connect(server.url, proxy=None) as client:
        assert "Sec-WebSocket-Extensions" not in client.response.headers


async def test_aiohttp_client(codec):
    app = App()
    async with served(app, ws=codec, ws_compression="shared") as server:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(server.url, compress=15) as client,
        ):
            await client.send_str("text" * 100)
            assert (await client.receive_str()) == "text" * 100
            await client.send_bytes(b"bytes")
            assert (await client.receive_bytes()) == b"bytes"
            await client.close(code=3000, message=b"done")
        assert await app.disconnected() == (3000, "done")


async def test_wsproto_client(codec):
    app = App()
    async with served(app, ws=codec) as server:
        async with raw(server) as (reader, writer), asyncio.timeout(10):
            client = WSConnection(ConnectionType.CLIENT)
            writer.write(client.send(events.Request(host="example.com", target="/")))
            seen = []
            for _ in range(20):
                client.receive_data(await reader.read(65536) or None)
                for event in client.events():
                    seen.append(type(event))
                    if isinstance(event, events.AcceptConnection):
                        writer.write(client.send(events.TextMessage(data="hello")))
                    elif isinstance(event, events.TextMessage):
                        assert event.data == "hello"
                        writer.write(client.send(events.CloseConnection(code=1000)))
                if seen[-1] is events.CloseConnection:
                    break
            assert seen == [events.AcceptConnection, events.TextMessage, events.CloseConnection]
            assert await reader.read() == b""
        assert await app.disconnected() == (1000, "")


async def test_starlette():
    async def chat(websocket):
        if websocket.query_params.get("token") != "secret":
            await websocket.send_denial_response(PlainTextResponse("no token", 401))
            return
        await websocket.accept(subprotocol="chat", headers=[(b"x-room", b"1")])
        await websocket.send_json({"got": await websocket.receive_json()})
        await websocket.receive_text()  # raises WebSocketDisconnect

    app = Starlette(routes=[WebSocketRoute("/chat", chat)])
    async with served(app) as server:
        with pytest.raises(InvalidStatus) as caught:
            await connect(server.url + "/chat", proxy=None)
        assert caught.value.response.status_code == 401
        assert caught.value.response.body == b"no token"
        url = server.url + "/chat?token=secret"
        async with connect(url, proxy=None, subprotocols=["soap", "chat"]) as client:
            assert client.subprotocol == "chat"
            assert client.response.headers["x-room"] == "1"
            await client.send('{"a": 1}')
            assert await client.recv() == '{"got":{"a":1}}'


# The handshake.


async def test_frames_that_come_with_the_handshake_are_not_lost(codec):
    app = App()
    async with served(app, ws=codec) as server:
        async with raw(server) as (reader, writer), asyncio.timeout(10):
            writer.write(UPGRADE % b"" + HELLO)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101 ")
            assert ACCEPT_KEY in head
            assert await reader.readexactly(7) == b"\x81\x05Hello"
            writer.write(b"\x88\x80abcd")
            assert await reader.read() == b"\x88\x00"
        assert await app.disconnected() == (1005, "")


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ((b"GET", b"POST"), 405, b"allow: get"),
        ((b"Version: 13", b"Version: 8"), 426, b"sec-websocket-version: 13"),
        ((b"dGhlIHNhbXBsZSBub25jZQ==", b"short"), 400, b""),
        ((b"Host: example.com", b"Host: a/b"), 400, b""),
        ((b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: \x80\xff\r\n\r\n"), 400, b""),
        ((b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: ;\r\n\r\n"), 400, b""),
        ((b"\r\n\r\n", b"\r\nX: " + b"x" * 70000 + b"\r\n\r\n"), 431, b""),
    ],
)
async def test_refused_handshakes(change, status, field):
    app = App()
    async with served(app) as server:
        got, head = await status_of(server, (UPGRADE % b"").replace(*change))
        assert got == status
        assert field in head
    assert not app.scopes


async def test_close_before_accept_is_403():
    async def handle(receive, send):
        await send({"type": "websocket.close"})

    async with served(App(handle)) as server:
        assert (await status_of(server, UPGRADE % b""))[0] == 403


async def test_crash_before_accept_is_500(caplog):
    async def handle(receive, send):
        raise ValueError("broken")

    async with served(App(handle)) as server:
        assert (await status_of(server, UPGRADE % b""))[0] == 500
    assert "/chat?x=1" in caplog.text


async def test_denial_response_is_streamed(caplog):
    go_on = asyncio.Event()

    async def handle(receive, send):
        start = {"type": "websocket.http.response.start", "status": 429, "headers": []}
        await send(start)
        body = {"type": "websocket.http.response.body"}
        await send({**body, "body": b"first ", "more_body": True})
        await go_on.wait()
        await send({**body, "body": b"second"})

    async with (
        served(App(handle)) as server,
        raw(server) as (reader, writer),
        asyncio.timeout(10),
    ):
        writer.write(UPGRADE % b"")
        assert (await reader.readuntil(b"first ")).startswith(b"HTTP/1.1 429 ")
        go_on.set()
        assert b"second" in await reader.read()
    assert not [entry for entry in caplog.records if entry.levelno >= logging.WARNING]


async def test_a_denial_and_a_response_with_the_same_head():
    """Heads are kept once they have been checked; only the denial's ends its connection."""
    headers = [(b"x-limit", b"1"), (b"content-length", b"4")]

    async def app(scope, receive, send):
        prefix = "websocket.http" if scope["type"] == "websocket" else "http"
        start = {"type": f"{prefix}.response.start", "status": 429, "headers": headers}
        await send(start)
        await send({"type": f"{prefix}.response.body", "body": b"wait"})

    get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    async with (
        served(app) as server,
        raw(server) as (reader, writer),
        asyncio.timeout(10),
    ):
        for _ in range(2):
            for _ in range(2):
                writer.write(get)
                assert b"connection" not in await reader.readuntil(b"wait")
            async with raw(server) as (other, upgrading):
                upgrading.write(UPGRADE % b"")
                denial = await other.read()  # to the end of the connection
            assert b"\r\nconnection: close\r\n" in denial
            assert denial.endswith(b"\r\n\r\nwait")


async def test_ws_none_treats_it_as_http():
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async with served(app, ws="none") as server:
        assert (await status_of(server, UPGRADE % b""))[0] == 204


# Ends.


async def test_shutdown_closes_with_1012():
    app = App()
    async with served(app) as server, connect(server.url, proxy=None) as client:
        await client.send("x")
        await client.recv()
        await server.stop(timeout=10)
        with pytest.raises(ConnectionClosed) as caught:
            await client.recv()
        assert caught.value.rcvd.code == 1012
    assert await app.disconnected() == (1012, "server shutdown")


async def test_lost_connection_is_1006(caplog):
    app = App()
    async with served(app) as server, raw(server) as (reader, writer):
        writer.write(UPGRADE % b"")
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()
        assert await app.disconnected() == (1006, "connection lost")
    assert not [entry for entry in caplog.records if entry.levelno >= logging.WARNING]


async def test_crash_after_accept_is_1011(caplog):
    async def handle(receive, send):
        await send({"type": "websocket.accept"})
        raise ValueError("broken")

    async with served(App(handle)) as server, connect(server.url, proxy=None) as client:
        with pytest.raises(ConnectionClosed) as caught:
            await client.recv()
        assert caught.value.rcvd.code == 1011
    assert "ValueError: broken" in caplog.text


async def test_too_big_a_message_is_1009(codec):
    app = App()
    async with served(app, ws=codec, ws_max_size=1000) as server:
        async with connect(server.url, proxy=None) as client:
            await client.send(b"x" * 1000)
            assert len(await client.recv()) == 1000
            try:
                await client.send(b"x" * 10_000_000)
            except ConnectionClosed:
                pass
            with pytest.raises(ConnectionClosed) as caught:
                await client.recv()
            assert caught.value.rcvd.code == 1009
        assert (await app.disconnected())[0] == 1009


async def test_peer_that_never_reads_is_cut():
    ended = asyncio.Event()

    async def handle(receive, send):
        await send({"type": "websocket.accept"})
        try:
            while True:
                await send({"type": "websocket.send", "bytes": bytes(100_000)})
        except OSError:
            message = await receive()
            assert (message["code"], message["reason"]) == (1006, "send timeout")
            ended.set()
            raise

    async with served(App(handle), ws_send_timeout=1) as server:
        sock = socket.create_connection(("127.0.0.1", server.port))
        try:
            sock.sendall(UPGRADE % b"")
            await asyncio.wait_for(ended.wait(), 20)
        finally:
            sock.close()


async def test_flood_does_not_starve_the_others(codec):
    """Pings whose pongs are never read, fragments without end: others are served meanwhile."""
    app = App()
    async with served(app, ws=codec, ws_send_timeout=60) as server:
        flooder = socket.create_connection(("127.0.0.1", server.port))
        flooder.setblocking(False)
        loop = asyncio.get_running_loop()
        chunk = b"\x89\x84abcdabcd" * 5000
        fragments = b"\x01\x80abcd" + b"\x00\x80abcd" * 5000

        async def flood():
            await loop.sock_sendall(flooder, UPGRADE % b"" + fragments)
            while True:
                await loop.sock_sendall(flooder, chunk)
                await asyncio.sleep(0)

        flooding = asyncio.create_task(flood())
        try:
            async with connect(server.url, proxy=None) as client:
                for number in range(50):
                    await client.send(str(number))
                    assert await asyncio.wait_for(client.recv(), 10) == str(number)
        finally:
            flooding.cancel()
            await asyncio.wait([flooding])
            flooder.close()
