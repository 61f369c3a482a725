"""A chat on several machines: Django Channels, whose messages cross hosts through Redis.

    REDIS_URL=redis://127.0.0.1:6379 asgiserver chat:app

Without REDIS_URL the messages stay in one process. Then:

    curl http://127.0.0.1:8000/
    python -m websockets ws://127.0.0.1:8000/rooms/lobby
"""

from __future__ import annotations

import os
import socket
from typing import Any

import django
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

HOST = os.environ.get("CHAT_HOST", socket.gethostname())
REDIS = os.environ.get("REDIS_URL")

# The layer on publish and subscribe keeps nothing in Redis, so a host that is killed leaves no
# members of groups that messages would still be sent to.
LAYER = (
    {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": [REDIS]}}
    if REDIS
    else {"BACKEND": "channels.layers.InMemoryChannelLayer"}
)

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="an example has no secrets",
    USE_TZ=True,
    CHANNEL_LAYERS={"default": LAYER},
)
django.setup()


async def index(request: HttpRequest) -> JsonResponse:
    """Says which host has answered, and for whom."""
    return JsonResponse({"host": HOST, "client": request.META["REMOTE_ADDR"]})


urlpatterns = [path("", index)]


class Room(AsyncWebsocketConsumer):
    """Sends what one client says to all in the same room, whichever host they are connected to."""

    async def connect(self) -> None:
        """Enter."""
        self.room = self.scope["url_route"]["kwargs"]["room"]
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        """Leave."""
        await self.channel_layer.group_discard(self.room, self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """A message of this client, for all."""
        said = {"type": "say", "text": f"{HOST}: {text_data}"}
        await self.channel_layer.group_send(self.room, said)

    async def say(self, event: dict[str, Any]) -> None:
        """A message of anybody."""
        await self.send(event["text"])


app = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": URLRouter([path("rooms/<slug:room>", Room.as_asgi())]),
    }
)
