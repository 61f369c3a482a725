"""The figures of a server within a program, as an object and by the admin listener."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from urllib.parse import urlsplit

import pytest
from admin_client import ORDER, AdminClient
from fakes import until
from raw_client import RawClient

from asgiserver import Config, Server, serve_in_thread
from asgiserver.metrics.histogram import BUCKETS

answers = asyncio.Event()


async def app(scope, receive, send):
    assert scope["type"] == "http"
    if scope["path"] == "/block":
        time.sleep(4)  # the event loop is blocked, which is what a test wants to see
    if scope["path"] == "/wait":
        await answers.wait()
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"hello"})


def config(**options):
    return Config(app, port=0, lifespan="off", **options)


async def get(server):
    client = await RawClient.connect(server)
    await client.get()
    reply = await client.reply()
    await client.close()
    assert reply.status == 200


@pytest.mark.parametrize("access_log", [True, False])
async def test_a_server_offers_its_figures_as_an_object(access_log):
    server = Server(config(access_log=access_log))
    server.measure()
    async with server:
        await get(server)
        shot = server.view.snapshot()
        assert (shot.requests, shot.connections) == (1, 1)
        assert sum(shot.ended["GET 2xx ok"][:BUCKETS]) == 1


async def test_a_server_that_nobody_asked_to_counts_no_durations():
    async with Server(config(access_log=False)) as server:
        await get(server)
        assert server.context.access is None
        shot = server.view.snapshot()
        assert (shot.requests, shot.ended) == (1, {})


async def test_the_admin_listener_of_a_server_in_a_program_begins_and_ends_with_it():
    server = Server(config(admin="127.0.0.1:0", access_log=False))
    async with server:
        await get(server)
        admin = AdminClient(server.admin.addresses[0])
        metrics = await asyncio.to_thread(admin.metrics)
        assert metrics["asgiserver_workers", ("state", "ready")] == 1
        assert await asyncio.to_thread(admin.ask, "/readyz") == (200, "ready\n")
        assert (await asyncio.to_thread(admin.order, "/reload"))[0] == 409
        assert (await asyncio.to_thread(admin.order, "/workers/0/restart"))[0] == 409
    assert all(thread.name != "asgiserver-admin" for thread in threading.enumerate())
    with pytest.raises(ConnectionError):
        await asyncio.to_thread(admin.ask, "/readyz")


async def test_a_server_that_does_not_start_leaves_no_listener():
    async def broken(scope, receive, send):
        raise RuntimeError("broken")

    server = Server(Config(broken, port=0, lifespan="on", admin="127.0.0.1:0"))
    with pytest.raises(Exception, match="broken"):
        await server.start()
    assert all(thread.name != "asgiserver-admin" for thread in threading.enumerate())


def test_a_server_in_a_thread_has_one_too():
    with serve_in_thread(app, lifespan="off", admin="127.0.0.1:0") as server:
        admin = AdminClient(server.admin.addresses[0])
        assert admin.ask("/livez") == (200, "live\n")


def test_a_blocked_loop_in_a_thread_is_not_ready_and_then_not_alive():
    options = {"admin": "127.0.0.1:0", "timeout_worker_stuck": 3, "loop_stall_warn": 0.2}
    with serve_in_thread(app, lifespan="off", **options) as server:
        at, admin = urlsplit(server.addresses[0]), AdminClient(server.admin.addresses[0])
        assert [admin.ask(path)[0] for path in ("/startupz", "/readyz")] == [200, 200]
        with socket.create_connection((at.hostname, at.port)) as client:
            client.sendall(b"GET /block HTTP/1.1\r\nHost: a\r\n\r\n")
            assert "turns" in admin.until("/readyz", 503)
            code, text = admin.ask("/dump", **ORDER)
            assert (code, "GET /block" in text) == (200, True)
            admin.until("/livez", 503)
            assert admin.ask("/startupz")[0] == 200
            assert client.recv(12) == b"HTTP/1.1 200"
        admin.until("/livez", 200)
        admin.until("/readyz", 200)
        figures = admin.until_metric("asgiserver_loop_lag_seconds_sum", at_least=3)
        late = "asgiserver_loop_lag_seconds_bucket"
        assert figures[late, ("le", "+Inf")] > figures[late, ("le", "2.5")]
        assert figures["asgiserver_stalls_total",] >= 1


async def test_a_server_in_a_program_that_drains_is_alive_and_not_ready():
    answers.clear()
    server = Server(config(admin="127.0.0.1:0"))
    await server.start()
    admin = AdminClient(server.admin.addresses[0])
    client = await RawClient.connect(server)
    await client.get(b"/wait")
    await until(lambda: server.view.running == 1)
    stopping = asyncio.create_task(server.stop())
    assert await asyncio.to_thread(admin.until, "/readyz", 503) == "stopping\n"
    assert await asyncio.to_thread(admin.ask, "/livez") == (200, "live\n")
    answers.set()
    assert (await client.reply()).status == 200
    await stopping
    await client.close()


async def test_an_address_that_is_only_bound_is_given_back():
    server = Server(config(admin="127.0.0.1:0"))
    server.bind()
    server.release_listeners()
    assert server.admin.listeners == []
