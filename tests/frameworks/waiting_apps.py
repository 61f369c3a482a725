"""The same application with each framework: a stream that waits for ever, and a slow plain answer.

Each function makes one, for ``--factory``. ``/stream`` sends one line, then waits; its generator
says "stopped" when it is. ``/slow/N`` answers after N seconds.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

FIRST = b"data: first\n\n"
ANSWER = "at last"
SSE = "text/event-stream"


async def parts(first: Any = FIRST) -> AsyncIterator[Any]:
    """One part, then nothing for ever."""
    try:
        yield first
        await asyncio.Event().wait()
    finally:
        sys.stderr.write("stopped\n")
        sys.stderr.flush()


def bare() -> Any:
    """No framework: it only sends."""
    return _app


async def _app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise RuntimeError("only HTTP")
    await send({"type": "http.response.start", "status": 200})
    if scope["path"] == "/stream":
        async for part in parts():
            await send({"type": "http.response.body", "body": part, "more_body": True})
    await asyncio.sleep(float(scope["path"].rpartition("/")[2]))
    await send({"type": "http.response.body", "body": ANSWER.encode()})


def listening() -> Any:
    """No framework: it listens, as the specification describes it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != "/stream":
            await _app(scope, receive, send)
            return
        streaming = asyncio.create_task(_app(scope, receive, send))
        while (await receive())["type"] != "http.disconnect":
            pass
        streaming.cancel()
        await asyncio.wait([streaming])

    return app


def starlette() -> Any:
    """A `StreamingResponse`."""
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse, StreamingResponse
    from starlette.routing import Route

    async def stream(_request: Any) -> StreamingResponse:
        return StreamingResponse(parts(), media_type=SSE)

    async def slow(request: Any) -> PlainTextResponse:
        await asyncio.sleep(float(request.path_params["seconds"]))
        return PlainTextResponse(ANSWER)

    return Starlette(routes=[Route("/stream", stream), Route("/slow/{seconds}", slow)])


def base_http_middleware() -> Any:
    """The same through Starlette's `BaseHTTPMiddleware`, twice."""
    from starlette.middleware.base import BaseHTTPMiddleware

    class Passing(BaseHTTPMiddleware):
        async def dispatch(self, request: Any, call_next: Any) -> Any:
            response = await call_next(request)
            response.headers["x-passed"] = "yes"
            return response

    app = starlette()
    app.add_middleware(Passing)
    app.add_middleware(Passing)
    return app


def gzip_middleware() -> Any:
    """The same through Starlette's `GZipMiddleware`."""
    from starlette.middleware.gzip import GZipMiddleware

    app = starlette()
    app.add_middleware(GZipMiddleware, minimum_size=1)
    return app


def fastapi() -> Any:
    """A generator, by FastAPI's own `EventSourceResponse`."""
    from fastapi import FastAPI
    from fastapi.responses import PlainTextResponse, StreamingResponse
    from fastapi.sse import EventSourceResponse

    app = FastAPI()

    async def stream() -> AsyncIterator[str]:
        async for part in parts("first"):
            yield part

    async def chunks() -> StreamingResponse:
        return StreamingResponse(parts(), media_type=SSE)

    async def slow(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return ANSWER

    app.get("/stream", response_class=EventSourceResponse)(stream)
    app.get("/chunks")(chunks)
    app.get("/slow/{seconds}", response_class=PlainTextResponse)(slow)
    return app


def sse_starlette() -> Any:
    """An `EventSourceResponse` of sse-starlette."""
    from sse_starlette import EventSourceResponse
    from starlette.routing import Route

    async def stream(_request: Any) -> EventSourceResponse:
        return EventSourceResponse(parts({"data": "first"}))

    app = starlette()
    app.router.routes.insert(0, Route("/stream", stream))
    return app


def litestar() -> Any:
    """A `Stream`."""
    from litestar import Litestar, get
    from litestar.response import Stream

    @get("/stream")
    async def stream() -> Stream:
        return Stream(parts(), media_type=SSE)

    @get("/slow/{seconds:float}", media_type="text/plain")
    async def slow(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return ANSWER

    return Litestar([stream, slow])


def quart() -> Any:
    """A generator, without the time limit of a response."""
    from quart import Quart, Response

    app = Quart(__name__)

    @app.get("/stream")
    async def stream() -> Response:
        response = Response(parts(), mimetype=SSE)
        response.timeout = None
        return response

    @app.get("/slow/<float:seconds>")
    async def slow(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return ANSWER

    return app


def django() -> Any:
    """A `StreamingHttpResponse`."""
    import django as package
    from django.conf import settings
    from django.core.asgi import get_asgi_application
    from django.http import HttpResponse, StreamingHttpResponse
    from django.urls import path

    async def stream(_request: Any) -> StreamingHttpResponse:
        return StreamingHttpResponse(parts(), content_type=SSE)

    async def slow(_request: Any, seconds: str) -> HttpResponse:
        await asyncio.sleep(float(seconds))
        return HttpResponse(ANSWER)

    global urlpatterns
    urlpatterns = [path("stream", stream), path("slow/<seconds>", slow)]
    settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="a test's")
    package.setup()
    return get_asgi_application()


urlpatterns: list[Any] = []


class _FalconSlow:
    async def on_get(self, _request: Any, response: Any, seconds: str) -> None:
        await asyncio.sleep(float(seconds))
        response.text = ANSWER


def falcon() -> Any:
    """A ``resp.stream``."""
    import falcon.asgi

    class Stream:
        async def on_get(self, _request: Any, response: Any) -> None:
            response.content_type = SSE
            response.stream = parts()

    app = falcon.asgi.App()
    app.add_route("/stream", Stream())
    app.add_route("/slow/{seconds}", _FalconSlow())
    return app


def falcon_sse() -> Any:
    """A ``resp.sse``."""
    import falcon.asgi

    class Stream:
        async def on_get(self, _request: Any, response: Any) -> None:
            response.sse = parts(falcon.asgi.SSEvent(data=b"first"))

    app = falcon.asgi.App()
    app.add_route("/stream", Stream())
    app.add_route("/slow/{seconds}", _FalconSlow())
    return app


def blacksheep() -> Any:
    """A `StreamedContent`."""
    from blacksheep import Application, Response, StreamedContent, text

    app = Application()

    @app.router.get("/stream")
    async def stream() -> Response:
        return Response(200, content=StreamedContent(SSE.encode(), parts))

    @app.router.get("/slow/{seconds}")
    async def slow(seconds: float) -> Response:
        await asyncio.sleep(seconds)
        return text(ANSWER)

    return app
