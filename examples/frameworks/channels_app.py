"""Django with Channels: WebSockets with groups, and streams that a consumer sends.

    asgiserver examples.frameworks.channels_app:app

Then:

    curl http://127.0.0.1:8000/
    curl --no-buffer http://127.0.0.1:8000/events
    python -m websockets ws://127.0.0.1:8000/rooms/lobby
"""

from __future__ import annotations

import asyncio
from typing import Any

import django
from channels.generic.http import AsyncHttpConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path, re_path

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="an example has no secrets",
    USE_TZ=True,
    # Of one process; several workers need channels_redis to hear of each other.
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
)
django.setup()


def index(request: HttpRequest) -> JsonResponse:
    """A view of Django's, as before."""
    return JsonResponse({"framework": "Channels", "started": True})


urlpatterns = [path("", index)]


class Echo(AsyncWebsocketConsumer):
    """Sends back what comes, until the client leaves."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """A message of the client."""
        await self.send(text_data, bytes_data)


class Room(AsyncWebsocketConsumer):
    """Sends what one client says to all in the same room; nobody enters the room "closed"."""

    async def connect(self) -> None:
        """Enter, or be refused: the client sees status 403."""
        self.room = self.scope["url_route"]["kwargs"]["room"]
        if self.room == "closed":
            await self.close()
            return
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        """Leave."""
        await self.channel_layer.group_discard(self.room, self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """A message of this client, for all."""
        await self.channel_layer.group_send(self.room, {"type": "say", "text": text_data})

    async def say(self, event: dict[str, Any]) -> None:
        """A message of anybody."""
        await self.send(event["text"])


class Events(AsyncHttpConsumer):
    """Server-sent events."""

    async def handle(self, body: bytes) -> None:
        """One request."""
        await self.send_headers(headers=[(b"Content-Type", b"text/event-stream")])
        for number in range(3):
            await self.send_body(f"data: {number}\n\n".encode(), more_body=True)
            await asyncio.sleep(0.01)
        await self.send_body(b"")


app = ProtocolTypeRouter(
    {
        "http": URLRouter(
            [path("events", Events.as_asgi()), re_path("", get_asgi_application())],
        ),
        "websocket": URLRouter(
            [path("echo", Echo.as_asgi()), path("rooms/<slug:room>", Room.as_asgi())]
        ),
    }
)
