"""Connections over TLS on both loops: slow clients, those that end or leave, and what they cost."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
import ssl
import struct

import pytest
from fakes import WAIT, read_reply, until
from pki import Authority
from websockets.asyncio.client import connect

from asgiserver.h1.connection import H1Connection
from asgiserver.server.tls_transport import TLSTransport

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])

LARGE = b"x" * (16 << 20)
"""More than the kernel takes for a client that does not read."""


@pytest.fixture(scope="module")
def ca():
    return Authority()


@pytest.fixture(params=["auto", "loop"])
def spoken_by(request):
    """What speaks TLS on the server: its own transport, or the event loop."""
    return request.param


@pytest.fixture
async def serve_tls(serve, ca, tmp_path):
    async def serve_tls(app, **options):
        crt, key = ca.issue("localhost").write(tmp_path, "server")
        server = await serve(app, ssl_certfile=crt, ssl_keyfile=key, **options)
        server.port = server.listeners[0].port
        return server

    return serve_tls


class Client:
    """TLS in memory over a socket, so that a test says what is sent and when something is read."""

    def __init__(self, ca, version=ssl.TLSVersion.TLSv1_3):
        context = ssl.create_default_context(cadata=ca.pem)
        context.minimum_version = context.maximum_version = version
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")
        self._loop = asyncio.get_running_loop()
        self.sock = socket.socket()

    async def connect(self, server, *, read_buffer=None):
        self.sock.setblocking(False)
        if read_buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, read_buffer)
        await self._loop.sock_connect(self.sock, ("127.0.0.1", server.port))
        await self._until_done(self._ssl.do_handshake)
        return self

    async def _until_done(self, operation):
        async with asyncio.timeout(WAIT):
            while True:
                try:
                    return operation()
                except ssl.SSLWantReadError:
                    await self._flush()
                    data = await self._loop.sock_recv(self.sock, 1 << 20)
                    if data:
                        self._incoming.write(data)
                    else:
                        self._incoming.write_eof()
                finally:
                    await self._flush()

    async def _flush(self):
        if self._outgoing.pending:
            await self._loop.sock_sendall(self.sock, self._outgoing.read())

    def encrypted(self, data):
        self._ssl.write(data)
        return self._outgoing.read()

    async def send(self, data):
        await self._loop.sock_sendall(self.sock, self.encrypted(data))

    async def read(self):
        """Some data; nothing at close_notify. Raises `ssl.SSLEOFError` at an end without it."""
        try:
            return await self._until_done(lambda: self._ssl.read(1 << 20))
        except ssl.SSLZeroReturnError:  # so does Python say it once both sides have ended
            return b""

    async def read_to_end(self):
        parts = []
        while data := await self.read():
            parts.append(data)
        return b"".join(parts)

    async def say_goodbye(self):
        with contextlib.suppress(ssl.SSLWantReadError):
            self._ssl.unwrap()
        await self._flush()

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


@pytest.fixture
async def dial_tls(ca):
    clients = []

    async def dial_tls(server, *, version=ssl.TLSVersion.TLSv1_3, **options):
        clients.append(Client(ca, version))
        return await clients[-1].connect(server, **options)

    yield dial_tls
    for client in clients:
        client.sock.close()


def request(target=b"/", *, fields=b""):
    return b"GET %b HTTP/1.1\r\nHost: localhost\r\n%b\r\n" % (target, fields)


async def respond(send, body):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def answer_with(body):
    async def app(scope, receive, send):
        await respond(send, body)

    return app


def alive():
    gc.collect()
    kinds = (H1Connection, TLSTransport, ssl.SSLObject)
    return sum(type(thing) in kinds for thing in gc.get_objects())


# Slow clients ---------------------------------------------------------------------------------


async def test_all_of_a_last_response(serve_tls, dial_tls, monkeypatch):
    """However long the client takes to read what was written before the connection was closed."""
    monkeypatch.setattr("asgiserver.server.handshake.SHUTDOWN_TIME", 0.001)
    started = asyncio.Event()

    async def app(scope, receive, send):
        started.set()
        await respond(send, LARGE)

    server = await serve_tls(app)
    client = await dial_tls(server, read_buffer=65536)
    await client.send(request(fields=b"Connection: close\r\n"))
    await started.wait()
    (connection,) = server.context.connections
    await until(connection.output.transport.is_closing)
    assert connection.output.transport.get_write_buffer_size()
    assert read_reply(await client.read_to_end(), eof=True).body == LARGE


async def test_a_client_that_does_not_read(serve_tls, dial_tls, spoken_by):
    """An application that streams has to wait, and the client has its time."""
    written = 0

    async def app(scope, receive, send):
        nonlocal written
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": LARGE[:65536], "more_body": True})
            written += 65536

    server = await serve_tls(app, tls_transport=spoken_by, timeout_write=1.0)
    client = await dial_tls(server, read_buffer=65536)
    await client.send(request())
    await until(lambda: server.context.stats.refused.get("write timeout"))
    assert 0 < written < len(LARGE)
    await until(lambda: not server.context.connections)


async def test_a_slow_application(serve_tls, dial_tls, spoken_by):
    """A client that uploads has to wait; nothing is lost."""
    go_on = asyncio.Event()
    body = bytes(range(256)) * 32768

    async def app(scope, receive, send):
        await go_on.wait()
        received = []
        while True:
            message = await receive()
            received.append(message["body"])
            await asyncio.sleep(0)
            if not message["more_body"]:
                break
        await respond(send, b"%d" % (b"".join(received) == body))

    server = await serve_tls(app, tls_transport=spoken_by)
    client = await dial_tls(server)
    head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    upload = asyncio.ensure_future(client.send(head % len(body) + body))
    await until(lambda: any(each.paused for each in server.context.connections))
    assert not upload.done()
    go_on.set()
    await upload
    assert (await client.read_to_end()).endswith(b"\r\n\r\n1")


async def test_a_refused_upload(serve_tls, dial_tls, spoken_by):
    """The client goes on sending for a while, and sees the answer all the same."""
    server = await serve_tls(answer_with(b""), tls_transport=spoken_by, limit_request_body=1000)
    client = await dial_tls(server)
    await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n")
    await client.send(b"x" * 8_000_000)
    assert (await client.read_to_end()).startswith(b"HTTP/1.1 413")
    client.sock.close()
    await until(lambda: not server.context.connections)


# Ends -----------------------------------------------------------------------------------------


async def test_answer_to_a_client_that_has_ended(serve_tls, dial_tls):
    """TLS 1.3 has halves of connections, as TCP (RFC 8446 section 6.1)."""
    go_on = asyncio.Event()

    async def app(scope, receive, send):
        await go_on.wait()
        await respond(send, b"answer")

    server = await serve_tls(app)
    client = await dial_tls(server)
    await client.send(request())
    await client.say_goodbye()
    client.sock.shutdown(socket.SHUT_WR)
    await until(lambda: server.context.running)
    (connection,) = server.context.connections
    await until(lambda: connection.ended)
    go_on.set()
    assert (await client.read_to_end()).endswith(b"answer")
    await until(lambda: not server.context.connections)


@pytest.mark.parametrize("how", ["goodbye", "cut", "reset", "damage"])
async def test_a_client_that_leaves(serve_tls, dial_tls, spoken_by, caplog, capfd, how):
    """The application hears of it, and nothing else does."""
    caplog.set_level(logging.INFO)
    gone = asyncio.Event()

    async def app(scope, receive, send):
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()

    server = await serve_tls(app, tls_transport=spoken_by)
    client = await dial_tls(server)
    await client.send(request())
    await until(lambda: server.context.running)
    if how == "goodbye":
        await client.say_goodbye()
        client.sock.close()
    elif how == "cut":
        client.sock.shutdown(socket.SHUT_WR)
    elif how == "reset":
        client.reset()
    else:
        record = bytearray(client.encrypted(b"x" * 100))
        record[50] ^= 1
        await asyncio.get_running_loop().sock_sendall(client.sock, record)
    async with asyncio.timeout(WAIT):
        await gone.wait()
    await until(lambda: not server.context.connections)
    assert all(record.levelno <= logging.INFO for record in caplog.records), caplog.text
    assert "Traceback" not in caplog.text + capfd.readouterr().err


async def test_graceful_stop(serve_tls, dial_tls, spoken_by):
    """Idle connections end in good order, running requests are answered before."""
    go_on = asyncio.Event()

    async def app(scope, receive, send):
        await go_on.wait()
        await respond(send, b"answer")

    server = await serve_tls(app, tls_transport=spoken_by)
    idle, busy = await dial_tls(server), await dial_tls(server)
    await busy.send(request())
    await until(lambda: server.context.running)
    stop = asyncio.ensure_future(server.stop(timeout=WAIT))
    assert await idle.read() == b""
    idle.sock.close()
    go_on.set()
    answer = await busy.read_to_end()
    assert b"connection: close" in answer
    busy.sock.close()
    await stop


async def test_idle_connections_time_out(serve_tls, dial_tls):
    server = await serve_tls(answer_with(b"hello"), timeout_keep_alive=0.2)
    client = await dial_tls(server)
    await client.send(request())
    assert b"hello" in await client.read_to_end()


# Whole ----------------------------------------------------------------------------------------


async def test_websocket(serve_tls, ca, spoken_by):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "bytes": message["bytes"]})

    server = await serve_tls(app, tls_transport=spoken_by)
    context = ssl.create_default_context(cadata=ca.pem)
    sock = socket.create_connection(("127.0.0.1", server.port))
    async with connect("wss://localhost/", sock=sock, ssl=context, max_size=None) as websocket:
        for size in (1, 70_000, 3_000_000):
            await websocket.send(b"x" * size)
            async with asyncio.timeout(WAIT):
                assert await websocket.recv() == b"x" * size
    await until(lambda: not server.context.connections)


async def test_nothing_is_left_of_connections(serve_tls, dial_tls, spoken_by):
    server = await serve_tls(answer_with(b"hello"), tls_transport=spoken_by)

    async def round_of_all():
        for how in ("goodbye", "cut", "reset", "early"):
            if how == "early":
                early = socket.create_connection(("127.0.0.1", server.port))
                early.send(b"\x16\x03\x01")
                early.close()
                continue
            client = await dial_tls(server)
            await client.send(request())
            assert b"hello" in await client.read()
            if how == "goodbye":
                await client.say_goodbye()
            elif how == "reset":
                client.reset()
            client.sock.close()
            client._ssl = None
        await until(lambda: not server.context.connections)
        await until(lambda: not server._frontend.acceptors[0].is_busy)

    await round_of_all()
    await asyncio.sleep(0)
    before = alive()
    for _ in range(5):
        await round_of_all()
    await until(lambda: alive() <= before, "connections are still alive")
