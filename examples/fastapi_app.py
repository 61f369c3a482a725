"""A FastAPI application: routes, JSON, a form, a stream, lifespan state and a background task.

    asgiserver examples.fastapi_app:app

    curl http://127.0.0.1:8000/
    curl --json '{"name": "tea", "price": 2.5}' http://127.0.0.1:8000/items
    curl http://127.0.0.1:8000/items/1
    curl --data 'name=Ada' http://127.0.0.1:8000/greet
    curl --no-buffer http://127.0.0.1:8000/countdown/5

FastAPI's own page of all routes is http://127.0.0.1:8000/docs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import BackgroundTasks, FastAPI, Form, HTTPException, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel


class Item(BaseModel):
    """Something on sale."""

    name: str
    price: float


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """What is made here before the first request is in `request.state` of every one."""
    yield {"items": {}, "journal": []}
    # Here connections to a database would be closed; the server waits for it when it stops.


app = FastAPI(title="asgiserver demo", lifespan=lifespan)


@app.get("/")
async def index(request: Request) -> dict[str, Any]:
    """Say hello, and by which protocol."""
    return {"hello": "world", "http": request.scope["http_version"], "docs": "/docs"}


@app.post("/items", status_code=201)
async def create_item(item: Item, request: Request, background: BackgroundTasks) -> dict[str, Any]:
    """Keep an item; the journal is written after the client has its answer."""
    items = request.state.items
    number = len(items) + 1
    items[number] = item
    background.add_task(write_journal, request.state.journal, f"created {item.name}")
    return {"id": number, **item.model_dump()}


@app.get("/items/{number}")
async def read_item(number: int, request: Request) -> Item:
    """An item by its number."""
    if number not in request.state.items:
        raise HTTPException(404, f"no item {number}")
    item: Item = request.state.items[number]
    return item


@app.get("/journal")
async def journal(request: Request) -> list[str]:
    """What the background tasks have written."""
    entries: list[str] = request.state.journal
    return entries


@app.post("/greet")
async def greet(name: Annotated[str, Form()]) -> dict[str, str]:
    """Read an HTML form."""
    return {"greeting": f"Hello, {name}!"}


@app.get("/countdown/{start}")
async def countdown(start: int) -> StreamingResponse:
    """A line now and then, each sent when it is made."""

    async def lines() -> AsyncIterator[str]:
        for number in range(start, 0, -1):
            yield f"{number}\n"
            await asyncio.sleep(0.1)
        yield "lift-off\n"

    return StreamingResponse(lines(), media_type="text/plain")


async def write_journal(entries: list[str], line: str) -> None:
    """Stands for something slow, such as sending mail."""
    await asyncio.sleep(0.1)
    entries.append(line)
