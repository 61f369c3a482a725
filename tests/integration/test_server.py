"""The life of a `Server` in a running loop: start, serve, stop, and give everything back."""

import asyncio
import contextlib
import gc
import logging
import os
import threading

import pytest
from fakes import WAIT, turns, until

import asgiserver
from asgiserver import Config, Server
from asgiserver.errors import ApplicationLoadError, BindError, ConfigError, LifespanFailed
from asgiserver.h1.connection import H1Connection

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])

START = {"type": "http.response.start", "status": 200}
PART = {"type": "http.response.body", "body": b"part", "more_body": True}


async def hello(scope, receive, send):
    await send(START)
    await send({"type": "http.response.body", "body": scope["path"].encode()})


class App:
    """Answers, and keeps what happens in `seen`; `wait` holds up requests until it is set."""

    def __init__(self):
        self.seen = []
        self.go = asyncio.Event()

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            scope["state"]["started"] = True
            await send({"type": "lifespan.startup.complete"})
            self.seen.append("started")
            await receive()
            self.seen.append("shutdown")
            await send({"type": "lifespan.shutdown.complete"})
            return
        self.seen.append(scope["path"])
        if scope["path"] == "/wait":
            await self.go.wait()
        elif scope["path"] == "/for-ever":
            await asyncio.Event().wait()
        elif scope["path"] == "/background":
            await hello(scope, receive, send)
            await self.go.wait()
            self.seen.append("background done")
            return
        await hello(scope, receive, send)


def options(**more):
    return {"port": 0, "access_log": False, **more}


async def test_inside_it_is_started_and_after_it_is_drained(dial):
    app = App()
    async with Server(Config(app, **options())) as server:
        assert app.seen == ["started"]
        assert server.started
        (address,) = server.addresses
        assert not address.endswith(":0")
        client = await dial(server)
        await client.get(b"/x")
        assert (await client.reply()).body == b"/x"
    assert app.seen == ["started", "/x", "shutdown"]
    with pytest.raises(ConnectionRefusedError):
        await dial(server, address=address)


async def test_requests_see_the_lifespan_state(serve, dial):
    states = []

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            return await App()(scope, receive, send)
        states.append(scope["state"])
        return await hello(scope, receive, send)

    client = await dial(await serve(app, lifespan="on"))
    await client.get()
    await client.reply()
    assert states == [{"started": True}]


async def test_serve_returns_when_stopped(dial):
    app = App()
    server = Server(Config(app, **options()))
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    await server.stop()
    async with asyncio.timeout(WAIT):
        await task
    assert app.seen == ["started", "shutdown"]


async def test_cancelling_serve_drains(caplog):
    caplog.set_level(logging.INFO, "asgiserver")
    app = App()
    task = asyncio.create_task(asgiserver.serve(app, **options(uds=None)))
    await until(lambda: "Serving on" in caplog.text)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert app.seen == ["started", "shutdown"]


async def test_serve_raises_start_errors():
    with pytest.raises(ApplicationLoadError):
        await asgiserver.serve("no_such_module:app", **options())
    with pytest.raises(ConfigError):
        await asgiserver.serve(hello, port="x")


async def test_stop_may_be_called_again_and_by_several(dial):
    server = Server(Config(hello, **options(lifespan="off")))
    await server.start()
    await asyncio.gather(server.stop(), server.stop(), server.stop())
    await server.stop()


async def test_stop_from_a_thread():
    server = Server(Config(App(), **options()))
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    thread = threading.Thread(target=server.stop_threadsafe)
    thread.start()
    async with asyncio.timeout(WAIT):
        await task
    thread.join()
    server.stop_threadsafe()  # and when it is over


@pytest.mark.parametrize("how", ["stop", "request_stop", "stop_threadsafe"])
async def test_a_stop_before_the_start_is_complete_is_not_lost(how):
    go = asyncio.Event()
    app = App()

    async def slow(scope, receive, send):
        await go.wait()
        await app(scope, receive, send)

    server = Server(Config(slow, **options()))
    task = asyncio.create_task(server.serve())
    await asyncio.sleep(0)
    if how == "stop":
        stopping = asyncio.create_task(server.stop())
    else:
        getattr(server, how)()
        stopping = None
    await turns()
    go.set()
    async with asyncio.timeout(WAIT):
        await task
        if stopping is not None:
            await stopping
    assert app.seen == ["started", "shutdown"]


async def test_several_servers_in_one_loop(dial):
    apps = [App(), App()]
    servers = [
        Server(Config(app, **options(http=http)))
        for app, http in zip(apps, ["h11", "auto"], strict=True)
    ]
    async with servers[0], servers[1]:
        assert servers[0].addresses != servers[1].addresses
        for server in servers:
            client = await dial(server)
            await client.get()
            await client.reply()
        await servers[0].stop()
        client = await dial(servers[1])
        await client.get(b"/after")
        assert (await client.reply()).status == 200
    assert apps[0].seen[-1] == apps[1].seen[-1] == "shutdown"


async def test_a_failed_start_up_leaves_nothing(tmp_path):
    path, ready = tmp_path / "socket", tmp_path / "ready"

    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    before = set(os.listdir("/dev/fd"))
    server = Server(Config(app, uds=str(path), ready_file=str(ready)))
    with pytest.raises(LifespanFailed, match="no database"):
        await server.start()
    assert not path.exists()
    assert not ready.exists()
    assert set(os.listdir("/dev/fd")) == before
    await server.stop()


async def test_a_ready_file_that_cannot_be_written_is_a_start_error(tmp_path):
    app = App()
    with pytest.raises(asgiserver.StartupError, match=r"ready_file: .*: No such file"):
        await Server(Config(app, **options(ready_file=str(tmp_path / "no" / "file")))).start()
    assert app.seen == []


async def test_the_address_is_in_use(serve):
    server = await serve(hello)
    port = int(server.addresses[0].rsplit(":", 1)[1])
    app = App()
    with pytest.raises(BindError, match=f"127.0.0.1:{port}: .*in use"):
        await Server(Config(app, port=port)).start()
    assert app.seen == []


async def test_a_second_server_is_refused_while_the_first_one_starts():
    ready, go = asyncio.Event(), asyncio.Event()
    app, other = App(), App()

    async def slow(scope, receive, send):
        ready.set()
        await go.wait()
        await app(scope, receive, send)

    first = Server(Config(slow, port=0, access_log=False))
    task = asyncio.create_task(first.start())
    await ready.wait()
    port = first.listeners[0].port
    with pytest.raises(BindError, match="in use"):
        await Server(Config(other, port=port, access_log=False)).start()
    assert other.seen == []
    go.set()
    await task
    await first.stop()
    assert app.seen == ["started", "shutdown"]


async def test_nothing_is_accepted_before_the_start_up_is_complete(dial):
    go, begun = asyncio.Event(), asyncio.Event()

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            begun.set()
            await go.wait()
        await (App())(scope, receive, send)

    server = Server(Config(app, **options()))
    task = asyncio.create_task(server.start())
    await begun.wait()
    with pytest.raises(ConnectionRefusedError):
        await dial(server, address=server.listeners[0].address)
    go.set()
    await task
    await dial(server)
    await server.stop()


async def test_a_bug_in_the_stop_does_not_hang_it(monkeypatch, caplog):
    server = Server(Config(hello, **options(lifespan="off")))
    await server.start()

    def broken():
        raise LookupError("a bug")

    monkeypatch.setattr(server._unfinished, "cancel", broken)
    async with asyncio.timeout(WAIT):
        with contextlib.suppress(LookupError):
            await server.stop()
    assert not server.listeners


# The staged stop


async def test_a_running_request_ends_with_connection_close(dial):
    app = App()
    server = Server(Config(app, **options()))
    await server.start()
    address = server.addresses[0]
    client = await dial(server)
    await client.get(b"/wait")
    await until(lambda: "/wait" in app.seen)
    stopping = asyncio.create_task(server.stop())
    await until(lambda: server.context.draining)
    with pytest.raises(ConnectionRefusedError):
        await dial(server, address=address)
    app.go.set()
    reply = await client.reply()
    assert (reply.status, reply.value(b"connection")) == (200, b"close")
    await client.ended()
    await client.close()
    await stopping
    assert app.seen[-1] == "shutdown"


async def test_idle_connections_do_not_hold_up_the_stop(dial):
    server = Server(Config(hello, **options(lifespan="off")))
    await server.start()
    clients = [await dial(server) for _ in range(3)]
    await clients[0].get()
    await clients[0].reply()
    await until(lambda: len(server.context.connections) == 3)
    before = server.context.loop.time()
    stopping = asyncio.create_task(server.stop())
    for client in clients:
        await client.ended()  # a close, not a reset
    await stopping
    assert server.context.loop.time() - before < 2


async def test_a_client_that_has_just_connected_is_answered(dial):
    server = Server(Config(hello, **options(lifespan="off")))
    await server.start()
    client = await dial(server)
    await until(lambda: server.context.connections)
    stopping = asyncio.create_task(server.stop())
    await until(lambda: server.context.draining)
    await client.get()
    reply = await client.reply()
    assert (reply.status, reply.value(b"connection")) == (200, b"close")
    await client.ended()
    await stopping


async def test_what_does_not_end_is_cancelled_and_named(dial, caplog):
    caplog.set_level("INFO", "asgiserver")
    app = App()
    server = Server(Config(app, **options()))
    await server.start()
    client = await dial(server)
    await client.get(b"/for-ever?secret=1")
    await until(lambda: "/for-ever" in app.seen)
    await server.stop(timeout=0.01)
    assert "Cancelled at shutdown: GET /for-ever" in caplog.text
    assert app.seen[-1] == "shutdown"
    reply = await client.reply()
    assert (reply.status, reply.value(b"connection")) == (503, b"close")


async def test_work_after_a_response_is_waited_for(dial, caplog):
    app = App()
    server = Server(Config(app, **options()))
    await server.start()
    client = await dial(server)
    await client.get(b"/background")
    assert (await client.reply()).status == 200
    await client.close()
    stopping = asyncio.create_task(server.stop())
    await until(lambda: server.context.draining)
    assert not stopping.done()
    app.go.set()
    await stopping
    assert app.seen[-2:] == ["background done", "shutdown"]
    assert "Cancelled" not in caplog.text


async def test_a_second_stop_with_no_time_hurries(dial):
    app = App()
    server = Server(Config(app, **options()))
    await server.start()
    client = await dial(server)
    await client.get(b"/for-ever")
    await until(lambda: "/for-ever" in app.seen)
    stopping = asyncio.create_task(server.stop())
    await until(lambda: server.context.draining)
    await server.stop(timeout=0)
    await stopping
    assert app.seen[-1] == "shutdown"


@pytest.mark.parametrize("listens", ["notice", "disconnect", "never"])
async def test_an_endless_stream_ends(dial, listens, caplog):
    told = []

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            return await lifespan(scope, receive, send)
        await receive()
        await send(START)
        await send(PART)
        if listens == "notice":
            await scope["extensions"]["asgiserver.shutdown"]["wait"]()
            told.append("notice")
            await send({"type": "http.response.body", "body": b"bye"})
        elif listens == "disconnect":
            told.append((await receive())["type"])
        else:
            await asyncio.Event().wait()
        return None

    lifespan = App()
    server = Server(Config(app, **options()))
    await server.start()
    client = await dial(server)
    await client.get()
    await client.read_until(b"part")
    await server.stop(timeout=0.1)
    reply = await client.reply()
    assert told == {"notice": ["notice"], "disconnect": ["http.disconnect"], "never": []}[listens]
    assert reply.complete == (listens == "notice")
    assert lifespan.seen[-1] == "shutdown"
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    assert ("Cancelled at shutdown: GET /" in caplog.text) == (listens == "never")


async def test_an_application_that_resists_its_cancellation_is_named(dial, caplog, monkeypatch):
    monkeypatch.setattr("asgiserver.server.unfinished.CANCEL_TIME", 0.01)
    go = asyncio.Event()

    async def app(scope, receive, send):
        while not go.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await go.wait()

    server = Server(Config(app, **options(lifespan="off")))
    await server.start()
    client = await dial(server)
    await client.get(b"/stubborn")
    await until(lambda: server.context.running)
    tasks = list(server.context.running)
    await server.stop(timeout=0)
    assert "Does not end though it was cancelled: GET /stubborn" in caplog.text
    go.set()
    await asyncio.wait(tasks)


# Signals and the process


async def test_no_signal_handlers_of_its_own(serve):
    import signal

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    await serve(hello)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


# Memory


async def test_connections_leave_nothing_behind(serve, dial):
    app = App()
    server = await serve(app)
    context = server.context
    for way in ("reset", "eof", "silent", "probe", "answered", "within", "half"):
        client = await dial(server)
        if way in ("reset", "answered"):
            await client.get(b"/wait" if way == "reset" else b"/")
        elif way == "within":
            await client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc")
        elif way == "half":
            await client.send(b"GET / HT")
        await until(lambda: context.connections)
        if way == "answered":
            await client.reply()
        if way == "reset":
            await until(lambda: context.running)
        if way in ("reset", "within"):
            client.reset()
        elif way == "eof":
            client.send_eof()
            await client.ended()
        else:
            await client.close()
        await until(lambda: not context.connections)
    app.go.set()
    await until(lambda: not context.running)
    gc.collect()
    await asyncio.sleep(0)
    gc.collect()
    alive = [thing for thing in gc.get_objects() if type(thing) is H1Connection]
    assert not [thing for thing in alive if thing.context is context]


async def test_a_client_that_leaves_in_a_flood_is_not_logged(serve, dial, caplog):
    """asyncio warns for each write to a socket that is gone; nobody should have to read that."""
    ended = asyncio.Event()

    async def app(scope, receive, send):
        await receive()
        await send(START)
        try:
            while True:
                await send(PART)
                await asyncio.sleep(0)
                for _ in range(200):
                    await send(PART)
        except OSError:
            ended.set()
            raise

    server = await serve(app)
    client = await dial(server)
    await client.get()
    await client.read_until(b"part")
    client.reset()
    async with asyncio.timeout(WAIT):
        await ended.wait()
    await until(lambda: not server.context.running)
    assert not [record for record in caplog.records if record.levelno > logging.INFO]
