"""FastAPI: JSON, forms, streams, server-sent events, a WebSocket, background tasks and files.

    asgiserver examples.frameworks.fastapi_full_app:app

Then:

    curl 'http://127.0.0.1:8000/items/7?q=tea'
    curl --form title=Me --form file=@README.md http://127.0.0.1:8000/upload
    curl --no-buffer http://127.0.0.1:8000/events
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import BackgroundTasks, FastAPI, Form, Request, UploadFile, WebSocket
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel


class Item(BaseModel):
    """What is created."""

    name: str


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """What is made here before the first request is in `request.state` of every one."""
    yield {"started": True, "journal": []}


app = FastAPI(lifespan=lifespan)
app.mount("/static", StaticFiles(directory=Path(__file__).parent / "public"))


@app.get("/")
async def index(request: Request) -> dict[str, Any]:
    """Whether the start-up has run."""
    return {"framework": "FastAPI", "started": request.state.started}


@app.api_route("/items/{number}", methods=["GET", "HEAD"])
async def item(number: int, q: str | None = None) -> dict[str, Any]:
    """A number from the path and a text from the query."""
    return {"id": number, "q": q}


@app.post("/items", status_code=201)
async def create(item: Item) -> Item:
    """JSON both ways."""
    return item


@app.post("/upload")
async def upload(title: Annotated[str, Form()], file: UploadFile) -> dict[str, Any]:
    """A form with a file; what is large of it waits on the disk."""
    return {"title": title, "filename": file.filename, "size": file.size}


@app.get("/count/{start}")
async def count(start: int) -> StreamingResponse:
    """A response in parts."""

    async def lines() -> AsyncIterator[str]:
        for number in range(start, 0, -1):
            yield f"{number}\n"
            await asyncio.sleep(0)

    return StreamingResponse(lines(), media_type="text/plain")


@app.get("/events", response_class=EventSourceResponse)
async def events() -> AsyncIterator[int]:
    """Server-sent events; the data of each is JSON."""
    for number in range(3):
        yield number
        await asyncio.sleep(0.01)


@app.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    """Send back what comes, until the client leaves."""
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


@app.post("/tasks/{name}", status_code=202)
async def start_task(name: str, request: Request, background: BackgroundTasks) -> dict[str, Any]:
    """Go on after the response."""
    background.add_task(request.state.journal.append, name)
    return {"accepted": name}


@app.get("/journal")
async def read_journal(request: Request) -> list[str]:
    """What background tasks have noted."""
    journal: list[str] = request.state.journal
    return journal
