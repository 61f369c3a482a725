"""`Server.should_exit` and `Server.run`, which programs know from uvicorn."""

from __future__ import annotations

import asyncio
import threading

import pytest

from asgiserver import Config, ConfigError, Server


async def app(scope, receive, send):
    while (kind := (await receive())["type"]) != "lifespan.shutdown":
        await send({"type": f"{kind}.complete"})
    await send({"type": "lifespan.shutdown.complete"})


async def test_should_exit_stops():
    server = Server(Config(app, port=0))
    await server.start()
    assert not server.should_exit
    server.should_exit = False  # changes nothing
    server.should_exit = True
    async with asyncio.timeout(20):
        await server.wait_stopped()
    assert server.should_exit


async def test_should_exit_may_be_set_in_another_thread():
    server = Server(Config(app, port=0))
    await server.start()
    threading.Thread(target=setattr, args=(server, "should_exit", True)).start()
    async with asyncio.timeout(20):
        await server.wait_stopped()


async def test_should_exit_before_the_start_stops_after_it():
    server = Server(Config(app, port=0))
    server.should_exit = True
    assert server.should_exit
    async with asyncio.timeout(20):
        await server.serve()


def test_run_names_what_to_call():
    with pytest.raises(ConfigError, match=r"call asgiserver\.run\(app, \.\.\.\)"):
        Server(Config(app, port=0)).run()
