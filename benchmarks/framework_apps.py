"""The applications under test that need FastAPI and Starlette."""

import sys
from pathlib import Path

import apps
from fastapi import FastAPI
from starlette.responses import FileResponse

api = FastAPI()
FILE = Path(sys.prefix) / "mebibyte.bin"  # inside the benchmark environment
if not FILE.exists():
    FILE.write_bytes(apps.MEBIBYTE)


@api.get("/")
async def hello(name: str = "world") -> dict[str, str]:
    """A typical small JSON endpoint."""
    return {"message": f"Hello, {name}!"}


async def file_response(scope, receive, send):
    """Send 1 MiB from a file; Starlette uses ``http.response.pathsend`` if the server offers it."""
    if scope["type"] == "lifespan":
        await apps.lifespan(receive, send)
        return
    await FileResponse(FILE, media_type="application/octet-stream")(scope, receive, send)
