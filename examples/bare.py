"""An ASGI application without a framework: what a server and an application say to each other.

    asgiserver examples.bare:app

Then:

    curl 'http://127.0.0.1:8000/hello?name=Ada'
    curl --data 'some text' http://127.0.0.1:8000/echo
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Called once per request, and once for the life of the server."""
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
    elif scope["type"] == "http":
        await http(scope, receive, send)
    else:
        raise NotImplementedError(f"no {scope['type']} here")


async def lifespan(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Start before the first request, end after the last."""
    await receive()  # lifespan.startup
    scope["state"]["greeting"] = "Hello"  # each request finds it in its own scope
    await send({"type": "lifespan.startup.complete"})
    await receive()  # lifespan.shutdown
    await send({"type": "lifespan.shutdown.complete"})


async def http(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer one request."""
    match scope["method"], scope["path"]:
        case "GET" | "HEAD", "/hello":
            query = parse_qs(scope["query_string"].decode())
            name = query.get("name", ["world"])[0]
            await answer(send, 200, f"{scope['state']['greeting']}, {name}!\n".encode())
        case "POST", "/echo":
            await answer(send, 200, await read_body(receive))
        case _:
            await answer(send, 404, b"Not found\n")


async def read_body(receive: Any) -> bytes:
    """The whole request body; see upload.py for one that does not fit in memory."""
    parts = []
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("the client left before its request was complete")
        parts.append(message["body"])
        more = message["more_body"]
    return b"".join(parts)


async def answer(send: Any, status: int, body: bytes) -> None:
    """Send a response in one piece; the server adds Content-Length, Date and Server."""
    fields = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})
