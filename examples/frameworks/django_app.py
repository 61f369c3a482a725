"""Django in one file, as an ASGI and as a WSGI application.

    asgiserver examples.frameworks.django_app:app
    asgiserver examples.frameworks.django_app:wsgi

Django has no lifespan, which the server notes in its log (--lifespan off for silence). Then:

    curl 'http://127.0.0.1:8000/items/7?q=tea'
    curl --form title=Me --form file=@README.md http://127.0.0.1:8000/upload
    curl --no-buffer http://127.0.0.1:8000/events
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.handlers.asgi import ASGIRequest
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse, StreamingHttpResponse
from django.urls import path
from django.views.static import serve

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="an example has no secrets",
    USE_TZ=True,
)
django.setup()

SSE = "text/event-stream"


def index(request: HttpRequest) -> JsonResponse:
    """What it is."""
    return JsonResponse({"framework": "Django", "started": True})


def item(request: HttpRequest, number: int) -> JsonResponse:
    """A number from the path and a text from the query."""
    return JsonResponse({"id": number, "q": request.GET.get("q")})


def create(request: HttpRequest) -> JsonResponse:
    """JSON both ways."""
    return JsonResponse({"name": json.loads(request.body)["name"]}, status=201)


def upload(request: HttpRequest) -> JsonResponse:
    """A form with a file."""
    file: Any = request.FILES["file"]
    return JsonResponse({"title": request.POST["title"], "filename": file.name, "size": file.size})


def count(request: HttpRequest, start: int) -> StreamingHttpResponse:
    """A response in parts: Django wants an async iterator under ASGI, a plain one under WSGI."""
    lines = [f"{number}\n" for number in range(start, 0, -1)]

    async def async_lines() -> AsyncIterator[str]:
        for line in lines:
            yield line

    parts = async_lines() if isinstance(request, ASGIRequest) else iter(lines)
    return StreamingHttpResponse(parts, content_type="text/plain")


def events(request: HttpRequest) -> StreamingHttpResponse:
    """Server-sent events."""

    async def async_events() -> AsyncIterator[str]:
        for number in range(3):
            yield f"data: {number}\n\n"
            await asyncio.sleep(0.01)

    def plain_events() -> Iterator[str]:
        for number in range(3):
            yield f"data: {number}\n\n"
            time.sleep(0.01)

    parts = async_events() if isinstance(request, ASGIRequest) else plain_events()
    return StreamingHttpResponse(parts, content_type=SSE)


async def slow(request: HttpRequest) -> JsonResponse:
    """An async view, which runs in the event loop of the server."""
    await asyncio.sleep(0.01)
    return JsonResponse({"slow": True})


urlpatterns = [
    path("", index),
    path("items/<int:number>", item),
    path("items", create),
    path("upload", upload),
    path("count/<int:start>", count),
    path("events", events),
    path("slow", slow),
    path("static/<path:path>", serve, {"document_root": Path(__file__).parent / "public"}),
]
app = get_asgi_application()
wsgi = get_wsgi_application()
