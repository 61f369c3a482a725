"""Litestar: JSON, forms, streams, server-sent events, a WebSocket, background tasks and files.

    asgiserver examples.frameworks.litestar_app:app

Then:

    curl 'http://127.0.0.1:8000/items/7?q=tea'
    curl --form title=Me --form file=@README.md http://127.0.0.1:8000/upload
    curl --no-buffer http://127.0.0.1:8000/events
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from litestar import Litestar, MediaType, get, post, websocket_listener
from litestar.background_tasks import BackgroundTask
from litestar.datastructures import State, UploadFile
from litestar.enums import RequestEncodingType
from litestar.params import Body
from litestar.response import Response, ServerSentEvent, Stream
from litestar.static_files import create_static_files_router

journal: list[str] = []


@dataclass
class Item:
    """What is created."""

    name: str


@dataclass
class Upload:
    """A form with a file."""

    title: str
    file: UploadFile


@get("/")
async def index(state: State) -> dict[str, Any]:
    """Whether the start-up has run."""
    return {"framework": "Litestar", "started": state.get("started", False)}


@get("/items/{number:int}")
async def item(number: int, q: str | None = None) -> dict[str, Any]:
    """A number from the path and a text from the query."""
    return {"id": number, "q": q}


@post("/items")
async def create(data: Item) -> Item:
    """JSON both ways."""
    return data


@post("/upload", status_code=200)
async def upload(
    data: Annotated[Upload, Body(media_type=RequestEncodingType.MULTI_PART)],
) -> dict[str, Any]:
    """A form with a file."""
    size = len(await data.file.read())
    return {"title": data.title, "filename": data.file.filename, "size": size}


@get("/count/{start:int}")
async def count(start: int) -> Stream:
    """A response in parts."""

    async def lines() -> AsyncIterator[str]:
        for number in range(start, 0, -1):
            yield f"{number}\n"
            await asyncio.sleep(0)

    return Stream(lines, media_type=MediaType.TEXT)


@get("/events")
async def events() -> ServerSentEvent:
    """Server-sent events."""

    async def send_events() -> AsyncIterator[str]:
        for number in range(3):
            yield str(number)
            await asyncio.sleep(0.01)

    return ServerSentEvent(send_events())


@websocket_listener("/echo")
async def echo(data: str) -> str:
    """Send back what comes, until the client leaves."""
    return data


@post("/tasks/{name:str}", status_code=202)
async def start_task(name: str) -> Response[dict[str, Any]]:
    """Go on after the response."""
    return Response({"accepted": name}, background=BackgroundTask(journal.append, name))


@get("/journal")
async def read_journal() -> list[str]:
    """What background tasks have noted."""
    return journal


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    """The start-up before the yield, the shutdown behind it."""
    app.state.started = True
    yield


app = Litestar(
    [
        index,
        item,
        create,
        upload,
        count,
        events,
        echo,
        start_task,
        read_journal,
        create_static_files_router("/static", directories=[Path(__file__).parent / "public"]),
    ],
    lifespan=[lifespan],
)
