"""Flask, a WSGI application: JSON, forms, streams, server-sent events and files.

    asgiserver examples.frameworks.flask_app:app

The server sees that it is WSGI and says so; --wsgi-threads is how many requests run at a time.
Then:

    curl 'http://127.0.0.1:8000/items/7?q=tea'
    curl --form title=Me --form file=@README.md http://127.0.0.1:8000/upload
    curl --no-buffer http://127.0.0.1:8000/events
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flask import Flask, Response, request

PUBLIC = Path(__file__).parent / "public"

app = Flask(__name__, static_folder=str(PUBLIC), static_url_path="/static")
unblock = threading.Event()


@app.get("/")
def index() -> dict[str, Any]:
    """What it is."""
    return {"framework": "Flask", "started": True}


@app.get("/items/<int:number>")
def item(number: int) -> dict[str, Any]:
    """A number from the path and a text from the query."""
    return {"id": number, "q": request.args.get("q")}


@app.post("/items")
def create() -> tuple[dict[str, Any], int]:
    """JSON both ways."""
    return {"name": request.get_json()["name"]}, 201


@app.post("/upload")
def upload() -> dict[str, Any]:
    """A form with a file."""
    file = request.files["file"]
    return {
        "title": request.form["title"],
        "filename": file.filename,
        "size": len(file.stream.read()),
    }


@app.put("/size")
def size() -> dict[str, Any]:
    """A body of any size, read in parts."""
    return {"size": sum(len(part) for part in iter(lambda: request.stream.read(65536), b""))}


@app.get("/count/<int:start>")
def count(start: int) -> Response:
    """A response in parts."""
    return Response((f"{number}\n" for number in range(start, 0, -1)), mimetype="text/plain")


@app.get("/events")
def events() -> Response:
    """Server-sent events; each stream keeps a thread for as long as it lasts."""

    def send_events() -> Iterator[str]:
        for number in range(3):
            yield f"data: {number}\n\n"
            time.sleep(0.01)

    return Response(send_events(), mimetype="text/event-stream")


@app.get("/blocked")
def blocked() -> Response:
    """Block the thread until somebody asks for /unblock; other requests have other threads."""
    unblock.clear()

    def lines() -> Iterator[str]:
        yield "waiting\n"
        unblock.wait(10)
        yield "done\n"

    return Response(lines(), mimetype="text/plain")


@app.post("/unblock")
def end_block() -> dict[str, Any]:
    """End it."""
    unblock.set()
    return {"unblocked": True}
