"""BlackSheep: JSON, forms, streams, server-sent events, a WebSocket and files.

    asgiserver examples.frameworks.blacksheep_app:app

Then:

    curl 'http://127.0.0.1:8000/items/7?q=tea'
    curl --form title=Me --form file=@README.md http://127.0.0.1:8000/upload
    curl --no-buffer http://127.0.0.1:8000/events
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from blacksheep import (
    Application,
    FromJSON,
    Request,
    Response,
    StreamedContent,
    WebSocket,
    WebSocketDisconnectError,
    accepted,
    created,
    json,
)
from blacksheep.server.sse import TextServerSentEvent

app = Application()
app.serve_files(Path(__file__).parent / "public", root_path="static")
journal: list[str] = []
tasks: set[asyncio.Task[None]] = set()  # the loop itself keeps no task alive
state = {"started": False}


@app.on_start
async def start(_app: Application) -> None:
    """Runs in the lifespan's start-up."""
    state["started"] = True


@app.router.get("/")
async def index() -> Response:
    """Whether the start-up has run."""
    return json({"framework": "BlackSheep", "started": state["started"]})


@app.router.get("/items/{number}")
async def item(number: int, q: str = "") -> Response:
    """A number from the path and a text from the query."""
    return json({"id": number, "q": q})


@dataclass
class Item:
    """What is created."""

    name: str


@app.router.post("/items")
async def create(data: FromJSON[Item]) -> Response:
    """JSON both ways."""
    return created(data.value)


@app.router.post("/upload")
async def upload(request: Request) -> Response:
    """A form with a file."""
    form = await request.form()
    assert form is not None
    file = (await request.files())[0]
    name = file.file_name.decode() if isinstance(file.file_name, bytes) else file.file_name
    return json({"title": form["title"], "filename": name, "size": file.size})


@app.router.get("/count/{start}")
async def count(start: int) -> Response:
    """A response in parts."""

    async def lines() -> AsyncIterator[bytes]:
        for number in range(start, 0, -1):
            yield b"%d\n" % number
            await asyncio.sleep(0)

    return Response(200, content=StreamedContent(b"text/plain", lines))


@app.router.get("/events")
async def events() -> AsyncIterator[TextServerSentEvent]:
    """Server-sent events."""
    for number in range(3):
        yield TextServerSentEvent(str(number))
        await asyncio.sleep(0.01)


@app.router.ws("/echo")
async def echo(websocket: WebSocket) -> None:
    """Send back what comes, until the client leaves."""
    await websocket.accept()
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnectError:
        pass


@app.router.post("/tasks/{name}")
async def start_task(name: str) -> Response:
    """Go on after the response: BlackSheep has nothing for it, a task of asyncio does."""

    async def note() -> None:
        journal.append(name)

    task = asyncio.create_task(note())
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return accepted({"accepted": name})


@app.router.get("/journal")
async def read_journal() -> Response:
    """What background tasks have noted."""
    return json(journal)
