"""Server-sent events that end kindly when the server stops.

    asgiserver examples.sse:app

    curl --no-buffer http://127.0.0.1:8000/

Press Ctrl-C in the server's terminal: the client gets a last event and a complete response, and
the server exits at once. Without the notice an endless stream would have to be cut off.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

INTERVAL = 1.0  # seconds between events


async def events(request: Request) -> AsyncIterator[str]:
    """The time, until the server stops or the client leaves (then Starlette cancels this)."""
    shutdown = request.scope["extensions"]["asgiserver.shutdown"]
    yield "retry: 1000\n\n"  # ms; browsers come back after this, to the new server
    while not shutdown["is_set"]():
        yield f"event: time\ndata: {datetime.now(UTC).isoformat(timespec='seconds')}\n\n"
        try:
            async with asyncio.timeout(INTERVAL):
                await shutdown["wait"]()
        except TimeoutError:
            pass  # the usual pause
    yield "event: goodbye\ndata: the server is stopping\n\n"


async def stream(request: Request) -> StreamingResponse:
    """An event stream (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
    fields = {"cache-control": "no-store", "x-accel-buffering": "no"}  # nginx: do not hold it back
    return StreamingResponse(events(request), media_type="text/event-stream", headers=fields)


app = Starlette(routes=[Route("/", stream)])
