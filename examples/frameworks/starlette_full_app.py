"""Starlette: JSON, forms, streams, server-sent events, a WebSocket, background tasks and files.

    asgiserver examples.frameworks.starlette_full_app:app

Then:

    curl 'http://127.0.0.1:8000/items/7?q=tea'
    curl --form title=Me --form file=@README.md http://127.0.0.1:8000/upload
    curl --no-buffer http://127.0.0.1:8000/events
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket


async def index(request: Request) -> Response:
    """Whether the start-up has run."""
    return JSONResponse({"framework": "Starlette", "started": request.state.started})


async def item(request: Request) -> Response:
    """A number from the path and a text from the query."""
    number = request.path_params["number"]
    return JSONResponse({"id": number, "q": request.query_params.get("q")})


async def create(request: Request) -> Response:
    """JSON both ways."""
    data = await request.json()
    return JSONResponse({"name": data["name"]}, 201)


async def upload(request: Request) -> Response:
    """A form with a file; what is large of it waits on the disk."""
    async with request.form() as form:
        file = form["file"]
        assert isinstance(file, UploadFile)
        answer = {"title": form["title"], "filename": file.filename, "size": file.size}
    return JSONResponse(answer)


async def count(request: Request) -> Response:
    """A response in parts."""

    async def lines() -> AsyncIterator[str]:
        for number in range(request.path_params["start"], 0, -1):
            yield f"{number}\n"
            await asyncio.sleep(0)

    return StreamingResponse(lines(), media_type="text/plain")


async def events(_request: Request) -> Response:
    """Server-sent events."""

    async def send_events() -> AsyncIterator[str]:
        for number in range(3):
            yield f"data: {number}\n\n"
            await asyncio.sleep(0.01)

    fields = {"cache-control": "no-store"}
    return StreamingResponse(send_events(), media_type="text/event-stream", headers=fields)


async def echo(websocket: WebSocket) -> None:
    """Send back what comes, until the client leaves."""
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


async def start_task(request: Request) -> Response:
    """Go on after the response."""
    name = request.path_params["name"]
    task = BackgroundTask(request.state.journal.append, name)
    return JSONResponse({"accepted": name}, 202, background=task)


async def read_journal(request: Request) -> Response:
    """What background tasks have noted."""
    return JSONResponse(request.state.journal)


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, Any]]:
    """What is made here before the first request is in `request.state` of every one."""
    yield {"started": True, "journal": []}


app = Starlette(
    routes=[
        Route("/", index),
        Route("/items/{number:int}", item),
        Route("/items", create, methods=["POST"]),
        Route("/upload", upload, methods=["POST"]),
        Route("/count/{start:int}", count),
        Route("/events", events),
        WebSocketRoute("/echo", echo),
        Route("/tasks/{name}", start_task, methods=["POST"]),
        Route("/journal", read_journal),
        Mount("/static", StaticFiles(directory=Path(__file__).parent / "public")),
    ],
    lifespan=lifespan,
)
