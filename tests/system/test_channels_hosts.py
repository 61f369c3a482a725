"""The chat of examples/deploy on two hosts, whose messages cross through a real Redis."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from hosts import Hosts
from proxies import Proxy, program
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

FOLDER = Path(__file__).parents[2] / "examples" / "deploy"
APP = f"""
import sys

sys.path.insert(0, {str(FOLDER)!r})
from chat import app
"""


def redis(tmp_path, edge):
    """A Redis that keeps nothing, on the machine in front of the hosts."""
    options = ["--bind", "127.0.0.1", edge.address, "--protected-mode", "no", "--save", ""]
    command = [program("redis-server"), *options, "--dir", str(tmp_path)]
    return Proxy(command, 6379, tmp_path / "redis.log")


def enter(host, room="lobby"):
    """A WebSocket in a room, at one of the hosts."""
    return connect(f"ws://{host.address}:8000/rooms/{room}", proxy=None, open_timeout=20)


async def heard(websocket):
    """The next message."""
    async with asyncio.timeout(20):
        return await websocket.recv()


async def test_messages_cross_hosts(edge, tmp_path):
    program("redis-server")
    (tmp_path / "app.py").write_text(APP)
    address = f"redis://{edge.address}:6379"
    async with (
        redis(tmp_path, edge),
        Hosts(edge, tmp_path, "--workers", "2", REDIS_URL=address) as hosts,
        httpx.AsyncClient(trust_env=False) as client,
    ):
        answer = await client.get(f"http://{edge.a.address}:8000/")
        assert answer.json() == {"host": "a", "client": edge.address}
        async with enter(edge.a) as at_a, enter(edge.b) as at_b, enter(edge.b, "other") as other:
            for speaker, text in ((at_a, "a: one"), (at_b, "b: two")):
                await speaker.send(text[3:])
                assert [await heard(at_a), await heard(at_b)] == [text, text]

            await hosts.stop("a")
            with pytest.raises(ConnectionClosed) as closed:
                await heard(at_a)
            assert closed.value.rcvd.code == 1012
            await hosts.start("a")
            async with enter(edge.a) as again:
                await at_b.send("three")
                assert [await heard(again), await heard(at_b)] == ["b: three", "b: three"]

                await hosts.kill("b")
                await hosts.start("b")
                async with enter(edge.b) as after_the_kill:
                    await again.send("four")
                    assert [await heard(again), await heard(after_the_kill)] == ["a: four"] * 2
            await other.wait_closed()
