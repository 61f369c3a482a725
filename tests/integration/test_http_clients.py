"""Real clients on real sockets: httpx, aiohttp, and one that sends raw bytes."""

import asyncio
import contextvars
import gc
import logging
import socket

import aiohttp
import httpx
import pytest
from fakes import WAIT, until
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])

START = {"type": "http.response.start", "status": 200}
PART = {"type": "http.response.body", "body": b"part", "more_body": True}


async def echo(scope, receive, send):
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await send(START)
    await send({"type": "http.response.body", "body": scope["method"].encode() + b" " + body})


class Records(list):
    """The access records of a server."""

    def __init__(self, server):
        server.context.access = self.append


@pytest.fixture(params=["httptools", "h11"])
def http(request):
    return request.param


async def test_httpx(serve, http):
    server = await serve(echo, http=http)
    async with httpx.AsyncClient(base_url=server.addresses[0]) as client:
        assert (await client.get("/")).text == "GET "
        assert (await client.post("/", content=b"x" * 200_000)).content == b"POST " + b"x" * 200_000

        async def parts():
            for number in range(20):
                yield b"%d," % number

        text = (await client.put("/", content=parts())).text
        assert text == "PUT " + "".join(f"{number}," for number in range(20))
        head = await client.head("/")
        assert head.content == b""
        assert head.headers["server"] == "asgiserver"
        replies = await asyncio.gather(*[client.post("/", content=b"%d" % n) for n in range(30)])
        assert [reply.text for reply in replies] == [f"POST {n}" for n in range(30)]


async def test_aiohttp(serve, http):
    server = await serve(echo, http=http)
    timeout = aiohttp.ClientTimeout(total=WAIT)
    async with aiohttp.ClientSession(server.addresses[0], timeout=timeout) as session:
        async with session.post("/", data=b"x" * 300_000, expect100=True) as reply:
            assert await reply.read() == b"POST " + b"x" * 300_000
        async with session.get("/", chunked=True) as reply:
            assert await reply.read() == b"GET "
        assert server.context.stats.connections == 1


async def test_unix_socket(serve, tmp_path, dial):
    path = str(tmp_path / "socket")
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)
        await echo(scope, receive, send)

    server = await serve(app, uds=path)
    assert server.addresses == (f"unix:{path}",)
    client = await dial(server)
    await client.get()
    assert (await client.reply()).status == 200
    assert (scopes[0]["client"], scopes[0]["server"]) == (None, (path, None))


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
async def test_ipv6(serve, dial):
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)
        await echo(scope, receive, send)

    server = await serve(app, host="::1")
    client = await dial(server)
    await client.get()
    await client.reply()
    port = int(server.addresses[0].rpartition(":")[2])
    assert scopes[0]["server"] == ("::1", port)
    host, client_port = scopes[0]["client"]
    assert (host, type(client_port)) == ("::1", int)


async def test_pipelined_in_order(serve, dial, http):
    async def app(scope, receive, send):
        if scope["path"].endswith("3"):
            await asyncio.sleep(0.01)
        await send(START)
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    client = await dial(await serve(app, http=http))
    await client.send(b"".join(b"GET /%d HTTP/1.1\r\nhost: a\r\n\r\n" % n for n in range(50)))
    for number in range(50):
        assert (await client.reply()).body == b"/%d" % number


async def test_pipelined_requests_start_in_clean_contexts(serve, dial):
    variable = contextvars.ContextVar("variable", default="")
    seen = []

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            variable.set("lifespan")
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        seen.append(variable.get())
        variable.set(scope["path"])
        if scope["path"] == "/wait":
            await asyncio.sleep(0.01)
        await echo(scope, receive, send)

    client = await dial(await serve(app, lifespan="on"))
    await client.send(
        b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\n\r\n"
        b"POST /3 HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n" + bytes(1000)
    )
    await client.reply()
    await client.reply()
    await client.send(bytes(99000) + b"GET /4 HTTP/1.1\r\nhost: a\r\n\r\n")
    await client.reply()
    await client.reply()
    assert seen == ["lifespan"] * 4


async def test_a_half_closed_client_gets_its_answer(serve, dial, http):
    async def app(scope, receive, send):
        await asyncio.sleep(0.01)
        await echo(scope, receive, send)

    client = await dial(await serve(app, http=http))
    await client.get()
    client.send_eof()
    assert (await client.reply()).body == b"GET "
    await client.ended()


async def test_the_4xx_reaches_a_client_that_is_still_sending(serve, dial, http):
    server = await serve(echo, http=http)
    client = await dial(server)
    head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n"
    await client.send(head + bytes(300_000))
    await client.send(bytes(300_000))
    reply = await client.reply()
    assert (reply.status, reply.value(b"connection")) == (400, b"close")
    await client.ended()


async def test_an_early_answer_reaches_a_client_that_is_still_sending(serve, dial, http):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 413})
        await send({"type": "http.response.body", "body": b"too much"})

    client = await dial(await serve(app, http=http))
    await client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000000\r\n\r\n")
    for _ in range(5):
        await client.send(bytes(100_000))
    assert (await client.reply()).status == 413
    await client.ended()


async def test_a_slow_reader_holds_up_the_application_not_the_memory(serve, dial):
    sent = 0

    async def app(scope, receive, send):
        nonlocal sent
        await send(START)
        for _ in range(600 if scope["path"] == "/" else 0):
            await send({**PART, "body": bytes(16384)})
            sent += 16384
        await send({"type": "http.response.body"})

    server = await serve(app)
    client = await dial(server, read_buffer=16384)
    await client.get()
    await until(lambda: server.context.running)
    (connection,) = server.context.connections
    await until(lambda: connection.output.write_paused)
    other, before = await dial(server), -1
    async with asyncio.timeout(WAIT):
        while sent != before:  # the kernel may take a little more
            before = sent
            for _ in range(10):
                await other.get(b"/other")
                await other.reply()
    assert sent < 600 * 16384, "it went on sending"
    assert connection.output.transport.get_write_buffer_size() < 1_000_000
    assert await client.count_until(b"0\r\n\r\n") > 600 * 16384


async def test_a_slow_application_holds_up_the_upload(serve, dial):
    go = asyncio.Event()

    async def app(scope, receive, send):
        await go.wait()
        size, more = 0, True
        while more:
            message = await receive()
            size += len(message["body"])
            more = message["more_body"]
        await send(START)
        await send({"type": "http.response.body", "body": b"%d" % size})

    server = await serve(app)
    client = await dial(server)
    size = 20_000_000
    await client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % size)
    sending = asyncio.create_task(client.send(bytes(size)))
    await until(lambda: server.context.running)
    (session,) = server.context.running.values()
    (connection,) = server.context.connections
    await until(lambda: not connection.output.transport.is_reading())
    assert 65536 < session.buffered < 1_000_000
    assert not sending.done()
    go.set()
    assert (await client.reply()).body == b"%d" % size
    await sending


async def test_http_1_0_cut_is_a_reset(serve, dial):
    async def app(scope, receive, send):
        await send(START)
        await send(PART)
        await asyncio.sleep(0.02)
        raise LookupError("a bug")

    client = await dial(await serve(app))
    await client.get(version=b"1.0")
    await client.read_until(b"part")
    with pytest.raises(ConnectionResetError):
        await client.ended()


# Access records, one for each ending


async def one_record(records):
    await until(lambda: records)
    (record,) = records
    return record.status, record.outcome


async def test_record_of_a_client_that_left(serve, dial):
    async def app(scope, receive, send):
        await receive()
        while (await receive())["type"] != "http.disconnect":
            pass

    server = await serve(app)
    records = Records(server)
    client = await dial(server)
    await client.get()
    await until(lambda: server.context.running)
    client.reset()
    assert await one_record(records) == (499, "client_gone")


async def test_records_of_the_other_endings(serve, dial):
    async def app(scope, receive, send):
        if scope["path"] == "/bug":
            raise LookupError("a bug")
        if scope["path"] == "/hang":
            await asyncio.Event().wait()
        await echo(scope, receive, send)

    expected = {
        b"GET / HTTP/1.1\r\nhost: a\r\n\r\n": (200, "ok"),
        b"GET /bug HTTP/1.1\r\nhost: a\r\n\r\n": (500, "app_error"),
        b"GET /hang HTTP/1.1\r\nhost: a\r\n\r\n": (503, "shutdown"),
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nz\r\n": (400, "refused"),
    }
    for data, ending in expected.items():
        server = await serve(app)
        records = Records(server)
        client = await dial(server)
        await client.send(data)
        await until(lambda records=records, server=server: records or server.context.running)
        await server.stop(timeout=0)
        assert await one_record(records) == ending
        await client.close()


# Starlette, whose own handling of disconnects must stay quiet


class Timing(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        response = await call_next(request)
        response.headers["x-timing"] = "1"
        return response


def starlette_app(seen, middleware):
    async def stream(request: Request):
        async def parts():
            try:
                while True:
                    yield b"part"
                    await asyncio.sleep(0.005)
            finally:
                seen.append("stream ended")

        return StreamingResponse(parts())

    async def upload(request: Request):
        try:
            return PlainTextResponse(str(len(await request.body())))
        finally:
            seen.append("upload ended")

    async def background(request: Request):
        async def work():
            await asyncio.sleep(0.01)
            seen.append("background done")

        return PlainTextResponse("ok", background=BackgroundTask(work))

    app = Starlette(
        routes=[
            Route("/stream", stream),
            Route("/upload", upload, methods=["POST"]),
            Route("/background", background),
        ]
    )
    if middleware:
        app.add_middleware(Timing)
    return app


@pytest.mark.parametrize("middleware", [False, True])
@pytest.mark.parametrize("leave", ["reset", "close"])
async def test_starlette_stream_whose_client_leaves(serve, dial, leave, middleware, caplog):
    seen = []
    server = await serve(starlette_app(seen, middleware))
    client = await dial(server)
    await client.get(b"/stream")
    await client.read_until(b"part")
    if leave == "reset":
        client.reset()
    else:
        await client.close()
    await until(lambda: not server.context.running)
    # A generator that was not waiting itself when its response was cancelled is closed once it is
    # collected, and a traceback may hold it in a circle.
    await until(lambda: gc.collect() >= 0 and seen == ["stream ended"])
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


async def test_starlette_upload_whose_client_leaves(serve, dial, caplog):
    seen = []
    server = await serve(starlette_app(seen, False))
    client = await dial(server)
    await client.send(b"POST /upload HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc")
    await until(lambda: server.context.running)
    client.reset()
    await until(lambda: seen)
    await until(lambda: not server.context.running)
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


async def test_starlette_background_task_and_the_next_request(serve, dial):
    seen = []
    server = await serve(starlette_app(seen, False))
    client = await dial(server)
    for _ in range(2):
        await client.get(b"/background")
        assert (await client.reply()).body == b"ok"
    await server.stop()
    assert seen == ["background done"] * 2
