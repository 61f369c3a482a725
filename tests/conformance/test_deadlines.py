"""What a client may delay has an end (--timeout-*), on every wire."""

import asyncio

import pytest
from fakes import WAIT, turns, until

START = {"type": "http.response.start", "status": 200}
PART = {"type": "http.response.body", "body": b"part", "more_body": True}
LAST = {"type": "http.response.body", "body": b"last"}


async def hello(scope, receive, send):
    while (await receive())["more_body"]:
        pass
    await send(START)
    await send(LAST)


async def test_a_connection_without_a_request_is_closed(wire):
    client = wire.connect(hello, timeout_request_head=5)
    client.advance(4)
    await turns()
    assert client.is_open
    client.advance(2)
    await client.closed()
    assert not client.server.records


async def test_an_idle_connection_is_closed(wire):
    client = wire.connect(hello, timeout_keep_alive=5)
    for _ in range(2):
        assert (await client.request().reply()).status == 200
        client.advance(4)
        await turns()
        assert client.is_open
    client.advance(2)
    await client.closed()
    assert not client.broken


async def test_a_connection_is_not_idle_while_a_request_runs(wire):
    go = asyncio.Event()

    async def app(scope, receive, send):
        await go.wait()
        await hello(scope, receive, send)

    stream = wire.request(app, timeout_keep_alive=5, timeout_request_head=5, timeout_write=5)
    await turns()
    stream.advance(60)
    go.set()
    assert (await stream.reply()).body == b"last"


async def test_a_body_that_stalls_is_408(wire, caplog):
    heard = []

    async def app(scope, receive, send):
        while True:
            heard.append((await receive())["type"])
            if heard[-1] == "http.disconnect":
                return

    stream = wire.request(app, "POST", body=b"1", end=False, timeout_request_body=5)
    await until(lambda: heard)
    stream.advance(4)
    await turns()
    assert not stream.records
    stream.advance(2)
    assert (await stream.reply()).status == 408
    await until(lambda: len(heard) == 2)
    assert heard == ["http.request", "http.disconnect"]
    assert (stream.record.status, stream.record.outcome) == (408, "refused")
    assert not caplog.records


async def test_a_body_that_comes_on_is_not_stalled(wire):
    stream = wire.request(hello, "POST", body=b"1", end=False, timeout_request_body=5)
    for _ in range(5):
        stream.advance(4)
        stream.send_body(bytes(10_000))
        await turns()
    stream.send_body(b"", end=True)
    assert (await stream.reply()).status == 200


async def test_a_body_that_the_application_does_not_take_is_not_stalled(wire):
    go = asyncio.Event()

    async def app(scope, receive, send):
        await go.wait()
        await hello(scope, receive, send)

    stream = wire.request(app, "POST", end=False, timeout_request_body=5)
    await turns()
    for _ in range(20):
        stream.send_body(bytes(16384))
    stream.advance(60)
    go.set()
    await turns(20)
    stream.send_body(b"", end=True)
    assert (await stream.reply()).status == 200


async def test_a_client_that_reads_nothing_is_cut(wire, caplog):
    raised = []

    async def app(scope, receive, send):
        await receive()
        await send(START)
        try:
            while True:
                await send({**PART, "body": bytes(65536)})
        except OSError as error:
            raised.append(error)
            raise

    stream = wire.request(app, end=False, timeout_write=5)
    stream.stall()
    stream.send_body(b"", end=True)
    await turns(20)
    stream.advance(4)
    await turns()
    assert not raised
    stream.advance(8)
    await until(lambda: raised)
    assert stream.broken
    assert (stream.record.status, stream.record.outcome) == (200, "timeout")
    await until(lambda: not stream.context.running)
    assert not caplog.records


@pytest.mark.parametrize("begun", [False, True])
async def test_an_application_that_takes_too_long_is_504(wire, begun, caplog, monkeypatch):
    cancelled = asyncio.Event()

    async def app(scope, receive, send):
        if begun:
            await send(START)
            await send(PART)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    stream = wire.request(app, timeout_request=0.001)
    await turns()
    (session,) = stream.context.running.values()
    await until(lambda: session.age >= 0.001)
    stream.advance(1)
    reply = await stream.reply()
    async with asyncio.timeout(WAIT):
        await cancelled.wait()
    assert stream.record.outcome == "timeout"
    assert "Timed out: GET /" in caplog.text
    if begun:
        assert (reply.status, reply.complete, stream.broken) == (200, False, True)
    else:
        assert (reply.status, stream.record.status) == (504, 504)


async def test_a_websocket_may_take_longer_than_a_request(wire):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await receive()

    socket = wire.websocket(app, timeout_request=0.001, timeout_keep_alive=5, ws_ping_interval=1000)
    assert (await socket.handshake()).accepted
    (session,) = socket.context.running.values()
    await until(lambda: session.age >= 0.001)
    socket.advance(60)
    await turns()
    assert socket.client.is_open
    assert socket.context.running


async def test_a_response_is_seen_to_begin_before_its_first_part(wire):
    go = asyncio.Event()

    async def app(scope, receive, send):
        await send(START)
        await go.wait()
        await send(LAST)

    stream = wire.request(app)
    await turns()
    assert stream.silent
    stream.advance(3)
    await turns()
    assert not stream.silent
    go.set()
    assert (await stream.reply()).body == b"last"
