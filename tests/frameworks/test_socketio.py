"""Socket.IO with its own client, which begins with a WebSocket or changes to one."""

import asyncio

import pytest
import socketio

LOOPS = ["asyncio", "uvloop"]
APP = [("socketio_app:app", "--loop", loop) for loop in LOOPS]


@pytest.mark.parametrize("served", APP, ids=LOOPS, indirect=True)
@pytest.mark.parametrize("transports", [["websocket"], ["polling", "websocket"]])
async def test_events(served, transports):
    heard: asyncio.Queue = asyncio.Queue()
    client = socketio.AsyncClient(reconnection=False)
    client.on("welcome", heard.put)
    client.on("said", heard.put)
    client.on("tick", heard.put)
    await client.connect(served.url, transports=transports)
    try:
        async with asyncio.timeout(10):
            assert await heard.get() == {"started": True}
            assert await client.call("echo", {"text": "é", "data": b"\0\1"}) == {
                "text": "é",
                "data": b"\0\1",
            }
            await client.call("join", "lobby")
            await client.emit("say", {"room": "lobby", "text": "hello"})
            assert await heard.get() == "hello"
            await client.emit("count", 3)
            assert [await heard.get() for _ in range(3)] == [3, 2, 1]
    finally:
        await client.disconnect()
