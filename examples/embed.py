"""A server inside another program, on a free port.

    python examples/embed.py

The block begins when the application has started and requests are served; when it is left, running
requests are finished and the application's shutdown is run. The event loop and the signal handlers
stay the program's own.
"""

from __future__ import annotations

import asyncio
import urllib.request
from typing import Any

import asgiserver


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Any ASGI application."""
    fields = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": b"served from inside"})


def fetch(address: str) -> str:
    """The rest of the program: here, a client of its own server."""
    with urllib.request.urlopen(address) as response:
        body: bytes = response.read()
        return body.decode()


async def main() -> None:
    """Serve, use it, stop."""
    config = asgiserver.Config(app, port=0, lifespan="off", access_log=False)
    async with asgiserver.Server(config) as server:
        print("serving on", server.addresses[0])
        print("answer:", await asyncio.to_thread(fetch, server.addresses[0]))
    print("stopped")


if __name__ == "__main__":
    asyncio.run(main())
