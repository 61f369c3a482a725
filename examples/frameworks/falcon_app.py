"""Falcon: JSON, forms, streams, server-sent events, a WebSocket, background tasks and files.

    asgiserver examples.frameworks.falcon_app:app

Then:

    curl 'http://127.0.0.1:8000/items/7?q=tea'
    curl --form title=Me --form file=@README.md http://127.0.0.1:8000/upload
    curl --no-buffer http://127.0.0.1:8000/events
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import falcon
import falcon.asgi

journal: list[str] = []


class StartUp:
    """Middleware that takes part in the lifespan."""

    started = False

    async def process_startup(self, scope: Any, event: Any) -> None:
        """Before the first request."""
        StartUp.started = True


class Index:
    """Whether the start-up has run."""

    async def on_get(self, req: Any, resp: Any) -> None:
        resp.media = {"framework": "Falcon", "started": StartUp.started}


class Items:
    """JSON both ways; a number from the path and a text from the query."""

    async def on_get_one(self, req: Any, resp: Any, number: int) -> None:
        resp.media = {"id": number, "q": req.get_param("q")}

    async def on_post(self, req: Any, resp: Any) -> None:
        resp.media = {"name": (await req.get_media())["name"]}
        resp.status = falcon.HTTP_201


class Upload:
    """A form with a file."""

    async def on_post(self, req: Any, resp: Any) -> None:
        answer: dict[str, Any] = {}
        async for part in await req.get_media():
            if part.filename:
                size = 0
                async for chunk in part.stream:
                    size += len(chunk)
                answer |= {"filename": part.filename, "size": size}
            else:
                answer[part.name] = await part.text
        resp.media = answer


class Count:
    """A response in parts."""

    async def on_get(self, req: Any, resp: Any, start: int) -> None:
        async def lines() -> AsyncIterator[bytes]:
            for number in range(start, 0, -1):
                yield b"%d\n" % number
                await asyncio.sleep(0)

        resp.content_type = falcon.MEDIA_TEXT
        resp.stream = lines()


class Events:
    """Server-sent events."""

    async def on_get(self, req: Any, resp: Any) -> None:
        async def send_events() -> AsyncIterator[falcon.asgi.SSEvent]:
            for number in range(3):
                yield falcon.asgi.SSEvent(data=b"%d" % number)
                await asyncio.sleep(0.01)

        resp.sse = send_events()


class Echo:
    """A WebSocket that sends back what comes, until the client leaves."""

    async def on_websocket(self, req: Any, ws: Any) -> None:
        await ws.accept()
        try:
            while True:
                await ws.send_text(await ws.receive_text())
        except falcon.WebSocketDisconnected:
            pass


class Tasks:
    """Work that goes on after the response."""

    async def on_post(self, req: Any, resp: Any, name: str) -> None:
        async def note() -> None:
            journal.append(name)

        resp.schedule(note)
        resp.media = {"accepted": name}
        resp.status = falcon.HTTP_202


class Journal:
    """What background tasks have noted."""

    async def on_get(self, req: Any, resp: Any) -> None:
        resp.media = journal


app = falcon.asgi.App(middleware=[StartUp()])
app.add_route("/", Index())
app.add_route("/items", Items())
app.add_route("/items/{number:int}", Items(), suffix="one")
app.add_route("/upload", Upload())
app.add_route("/count/{start:int}", Count())
app.add_route("/events", Events())
app.add_route("/echo", Echo())
app.add_route("/tasks/{name}", Tasks())
app.add_route("/journal", Journal())
app.add_static_route("/static", Path(__file__).resolve().parent / "public")
