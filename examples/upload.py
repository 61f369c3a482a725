"""An upload of any size in constant memory.

    asgiserver examples.upload:app --lifespan off

    curl --upload-file big.iso http://127.0.0.1:8000/

The server reads from the client only as fast as the application takes the body: when the disk is
slow, the client waits, and memory does not grow.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import tempfile
from typing import Any


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Store what is sent with PUT or POST, and answer with its size and SHA-256."""
    if scope["method"] not in ("PUT", "POST"):
        await answer(send, 405, {"error": "use PUT or POST"}, [(b"allow", b"PUT, POST")])
        return
    digest = hashlib.sha256()
    size = 0
    with tempfile.TemporaryFile() as file:  # put your own storage here
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return  # half an upload: the file vanishes
            body = message["body"]
            await asyncio.to_thread(file.write, body)  # a disk can block
            digest.update(body)
            size += len(body)
            more = message["more_body"]
    await answer(send, 201, {"bytes": size, "sha256": digest.hexdigest()})


async def answer(
    send: Any, status: int, content: dict[str, Any], fields: list[tuple[bytes, bytes]] | None = None
) -> None:
    """A JSON response."""
    fields = [(b"content-type", b"application/json"), *(fields or [])]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": json.dumps(content).encode() + b"\n"})
