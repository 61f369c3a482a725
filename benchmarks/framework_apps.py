"""The applications under test that need FastAPI and Starlette."""

import sys
from pathlib import Path

import apps
from fastapi import Cookie, FastAPI
from starlette.responses import FileResponse

api = FastAPI()
FILE = Path(sys.prefix) / "mebibyte.bin"  # inside the benchmark environment
if not FILE.exists():
    FILE.write_bytes(apps.MEBIBYTE)


@api.get("/")
async def hello(name: str = "world") -> dict[str, str]:
    """A typical small JSON endpoint."""
    return {"message": f"Hello, {name}!"}


@api.get("/items/{item}")
async def search(
    item: int, q: str = "", page: int = 1, session: str = Cookie("")
) -> dict[str, str | int]:
    """An endpoint with parameters of each kind, as production has it."""
    return {"item": item, "q": q, "page": page, "session": session[:8]}


async def file_response(scope, receive, send):
    """Send 1 MiB from a file; Starlette uses ``http.response.pathsend`` if the server offers it."""
    if scope["type"] == "lifespan":
        await apps.lifespan(receive, send)
        return
    await FileResponse(FILE, media_type="application/octet-stream")(scope, receive, send)
