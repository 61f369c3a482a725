"""A Starlette application: routes, JSON, an HTML page, a file, middleware and an error page.

    asgiserver examples.starlette_app:app

Then:

    curl --compressed http://127.0.0.1:8000/
    curl http://127.0.0.1:8000/squares/7
    curl --remote-name http://127.0.0.1:8000/source.py
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route


async def index(request: Request) -> Response:
    """A page that names its visitor; large enough for the middleware to compress it."""
    host = request.client.host if request.client else "nobody"
    links = "".join(f"<li><a href='/squares/{n}'>{n} squared</a>\n" for n in range(1, 31))
    return HTMLResponse(f"<h1>Hello, {host}</h1>\n<ul>\n{links}</ul>\n")


async def square(request: Request) -> Response:
    """A number from the path, as JSON."""
    number = request.path_params["number"]
    return JSONResponse({"number": number, "square": number * number})


async def source(_request: Request) -> Response:
    """This file, compressed on its way."""
    return FileResponse(__file__, media_type="text/x-python")


async def not_found(request: Request, error: Exception) -> Response:
    """Errors as JSON."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail, "path": request.url.path}, error.status_code)


app = Starlette(
    routes=[
        Route("/", index),
        Route("/squares/{number:int}", square),
        Route("/source.py", source),
    ],
    middleware=[Middleware(GZipMiddleware, minimum_size=500)],
    exception_handlers={404: not_found},
)
