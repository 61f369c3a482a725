"""A server in a thread of the running program."""

import asyncio
import threading

import httpx
import pytest

import asgiserver
from asgiserver.errors import BindError, ConfigError, LifespanFailed


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        scope["state"]["thread"] = threading.current_thread().name
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["state"]["thread"].encode()})


def get(server):
    return httpx.get(server.addresses[0], trust_env=False)


@pytest.mark.parametrize("loop", ["asyncio", "auto"])
def test_serves_until_the_block_ends(loop):
    with asgiserver.serve_in_thread(app, loop=loop, access_log=False) as server:
        assert get(server).text == "asgiserver"
        address = server.addresses[0]
    with pytest.raises(httpx.ConnectError):
        httpx.get(address, trust_env=False)
    assert "asgiserver" not in [thread.name for thread in threading.enumerate()]


def test_two_at_a_time():
    with asgiserver.serve_in_thread(app) as one, asgiserver.serve_in_thread(app) as other:
        assert one.addresses != other.addresses
        assert get(one).text == get(other).text


def test_errors_arrive_where_it_was_started():
    with asgiserver.serve_in_thread(app) as server:
        port = int(server.addresses[0].rpartition(":")[2])
        with pytest.raises(BindError), asgiserver.serve_in_thread(app, port=port):
            pytest.fail("is not reached")
    with pytest.raises(ConfigError), asgiserver.serve_in_thread(app, port=-1):
        pytest.fail("is not reached")


def test_a_failing_start_up_arrives_too():
    async def failing(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with (
        pytest.raises(LifespanFailed, match="no database"),
        asgiserver.serve_in_thread(failing, lifespan="on"),
    ):
        pytest.fail("is not reached")


def test_it_is_stopped_when_the_block_raises():
    with pytest.raises(ZeroDivisionError), asgiserver.serve_in_thread(app) as server:
        raise ZeroDivisionError
    assert not server.listeners


def test_one_that_has_been_stopped_already():
    with asgiserver.serve_in_thread(app) as server:
        loop = server.context.loop
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
