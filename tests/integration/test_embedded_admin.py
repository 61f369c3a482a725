"""The figures of a server within a program, as an object and by the admin listener."""

from __future__ import annotations

import asyncio
import threading

import pytest
from admin_client import AdminClient
from raw_client import RawClient

from asgiserver import Config, Server, serve_in_thread
from asgiserver.metrics.histogram import BUCKETS


async def app(scope, receive, send):
    assert scope["type"] == "http"
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


async def test_an_address_that_is_only_bound_is_given_back():
    server = Server(config(admin="127.0.0.1:0"))
    server.bind()
    server.release_listeners()
    assert server.admin.listeners == []
