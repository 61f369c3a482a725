"""Whatever an application raises, its client hears of it, and only a signal ends the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from process_server import ServerProcess
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

if TYPE_CHECKING:
    from http.client import HTTPConnection

KINDS = """
import asyncio, os, sys

class OfItsOwnKind(BaseException):
    pass

class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("no words")
    __repr__ = __str__

def endless():
    return endless()

def fail(kind):
    if kind == "RecursionError":
        endless()
    if kind == "sys.exit":
        sys.exit(3)
    if kind == "cancels-itself":
        asyncio.current_task().cancel()
        return
    if kind == "BaseExceptionGroup":
        raise BaseExceptionGroup("g", [KeyboardInterrupt(), ValueError()])
    raise KNOWN[kind]

KNOWN = {kind.__name__: kind for kind in (
    ValueError, OfItsOwnKind, GeneratorExit, KeyboardInterrupt, SystemExit, StopIteration,
    Unspeakable, asyncio.CancelledError)}
"""

APP = (
    KINDS
    + """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        open("shutdown", "w").close()
        return
    where, kind = scope["path"].strip("/").split("/")
    if where == "late":
        await asyncio.sleep(0.001)
    elif where == "accepted":
        await send({"type": "websocket.accept"})
    elif where == "group":
        async with asyncio.TaskGroup() as group:
            group.create_task(later(kind))
    elif where == "task":
        asyncio.create_task(later(kind))
        await asyncio.sleep(0.01)
    if where != "task":
        fail(kind)
    await asyncio.sleep(0)
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"on it goes"})

async def later(kind):
    await asyncio.sleep(0)
    fail(kind)
    await asyncio.sleep(0)
"""
)

WSGI_APP = (
    KINDS
    + """
def app(environ, start_response):
    where, kind = environ["PATH_INFO"].strip("/").split("/")
    if where == "at-once":
        fail(kind)
    start_response("200 OK", [("Content-Length", "2")])
    return body(where, kind)

def body(where, kind):
    if where == "body":
        fail(kind)
    yield b"ok"
"""
)

KNOWN = (
    "ValueError",
    "OfItsOwnKind",
    "GeneratorExit",
    "KeyboardInterrupt",
    "SystemExit",
    "sys.exit",
    "StopIteration",
    "CancelledError",
    "cancels-itself",
    "BaseExceptionGroup",
    "RecursionError",
    "Unspeakable",
)


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request):
    return request.param


def serve(folder, source, *options):
    (folder / "app.py").write_text(source)
    return ServerProcess(folder, *options)


def status_of(server, path):
    connection: HTTPConnection = server.connect()
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("workers", [(), ("--supervise",)], ids=["one process", "a worker"])
def test_http_answers_500_and_serves_on(tmp_path, loop, workers):
    with serve(tmp_path, APP, "--loop", loop, *workers) as server:
        server.ready()
        for kind in KNOWN:
            for where in ("now", "late", "group"):
                assert status_of(server, f"/{where}/{kind}") == 500, (where, kind)
        failures = 3 * len(KNOWN)
        server.see("Exception in ASGI application: GET ", failures)
        assert status_of(server, "/task/ValueError") == 200
        assert server.stop() == 0
    assert (tmp_path / "shutdown").exists()


@pytest.mark.parametrize("kind", ["KeyboardInterrupt", "SystemExit"])
def test_a_task_of_its_own_does_not_end_the_server(tmp_path, loop, kind):
    with serve(tmp_path, APP, "--loop", loop) as server:
        server.ready()
        for _ in range(2):
            assert status_of(server, f"/task/{kind}") == 200
        server.see("A task of the application would have ended the server", 2)
        assert server.stop() == 0
    assert (tmp_path / "shutdown").exists()


def test_websockets_are_refused_or_closed_with_1011(tmp_path, loop):
    with serve(tmp_path, APP, "--loop", loop) as server:
        address = server.ready().address.replace("http", "ws")
        for kind in KNOWN:
            with pytest.raises(InvalidStatus) as refused:
                connect(f"{address}/now/{kind}", proxy=None)
            assert refused.value.response.status_code == 500
            with connect(f"{address}/accepted/{kind}", proxy=None) as client:
                with pytest.raises(ConnectionClosedError) as closed:
                    client.recv(10)
                assert closed.value.rcvd.code == 1011
        assert server.stop() == 0


def test_wsgi_answers_500_and_serves_on(tmp_path, loop):
    with serve(tmp_path, WSGI_APP, "--loop", loop, "--interface", "wsgi") as server:
        server.ready()
        for kind in KNOWN:
            for where in ("at-once", "body"):
                assert status_of(server, f"/{where}/{kind}") == 500, (where, kind)
        server.see("Exception in ASGI application: GET ", 2 * len(KNOWN))
        assert status_of(server, "/fine/0") == 200
        assert server.stop() == 0
