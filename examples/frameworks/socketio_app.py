"""Socket.IO (python-socketio): events with answers, rooms, background tasks and files.

    asgiserver examples.frameworks.socketio_app:app

Any Socket.IO client connects to http://127.0.0.1:8000; it begins with long polling and goes on with
a WebSocket. Several workers need sticky sessions and a message queue, see python-socketio.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import socketio

server = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins=[])
state = {"started": False}


async def start() -> None:
    """Runs in the lifespan's start-up."""
    state["started"] = True


app = socketio.ASGIApp(
    server,
    static_files={"/static": str(Path(__file__).parent / "public")},
    on_startup=start,
)


@server.event
async def connect(sid: str, environ: dict[str, Any], auth: Any = None) -> None:
    """A client has come: greet it."""
    await server.emit("welcome", {"started": state["started"]}, to=sid)


@server.event
async def echo(sid: str, data: Any) -> Any:
    """An event that is answered."""
    return data


@server.event
async def join(sid: str, room: str) -> None:
    """Enter a room."""
    await server.enter_room(sid, room)


@server.event
async def say(sid: str, data: dict[str, str]) -> None:
    """To everybody in a room."""
    await server.emit("said", data["text"], room=data["room"])


@server.event
async def count(sid: str, number: int) -> None:
    """Go on after the event has been answered."""

    async def tick() -> None:
        for left in range(number, 0, -1):
            await server.emit("tick", left, to=sid)

    server.start_background_task(tick)
