"""Quart: JSON, forms, streams, server-sent events, a WebSocket, background tasks and files.

    asgiserver examples.frameworks.quart_app:app

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

from quart import Quart, request, websocket

PUBLIC = Path(__file__).parent / "public"

app = Quart(__name__, static_folder=str(PUBLIC), static_url_path="/static")
journal: list[str] = []


@app.before_serving
async def start() -> None:
    """Runs in the lifespan's start-up."""
    app.config["STARTED"] = True


@app.get("/")
async def index() -> dict[str, Any]:
    """Whether the start-up has run."""
    return {"framework": "Quart", "started": app.config.get("STARTED", False)}


@app.get("/items/<int:number>")
async def item(number: int) -> dict[str, Any]:
    """A number from the path and a text from the query."""
    return {"id": number, "q": request.args.get("q")}


@app.post("/items")
async def create() -> tuple[dict[str, Any], int]:
    """JSON both ways."""
    return {"name": (await request.get_json())["name"]}, 201


@app.post("/upload")
async def upload() -> dict[str, Any]:
    """A form with a file."""
    form, file = await request.form, (await request.files)["file"]
    return {"title": form["title"], "filename": file.filename, "size": len(file.read())}


@app.get("/count/<int:start>")
async def count(start: int) -> Any:
    """A response in parts."""

    async def lines() -> AsyncIterator[str]:
        for number in range(start, 0, -1):
            yield f"{number}\n"
            await asyncio.sleep(0)

    return lines(), {"Content-Type": "text/plain"}


@app.get("/events")
async def events() -> Any:
    """Server-sent events."""

    async def send_events() -> AsyncIterator[str]:
        for number in range(3):
            yield f"data: {number}\n\n"
            await asyncio.sleep(0.01)

    return send_events(), {"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}


@app.websocket("/echo")
async def echo() -> None:
    """Send back what comes, until the client leaves."""
    while True:
        await websocket.send(await websocket.receive())


@app.post("/tasks/<name>")
async def start_task(name: str) -> tuple[dict[str, Any], int]:
    """Go on after the response."""

    async def note() -> None:
        journal.append(name)

    app.add_background_task(note)
    return {"accepted": name}, 202


@app.get("/journal")
async def read_journal() -> list[str]:
    """What background tasks have noted."""
    return journal
