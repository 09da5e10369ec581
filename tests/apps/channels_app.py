"""The echo in Django Channels."""

from __future__ import annotations

import django
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.urls import path

from tests.apps.recorder import Recorder

if not settings.configured:
    settings.configure(ALLOWED_HOSTS=["127.0.0.1"], SECRET_KEY="for tests", ROOT_URLCONF=())
    django.setup()


class EchoConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    async def connect(self) -> None:
        offered = self.scope["subprotocols"]
        await self.accept(subprotocol="chat.v2" if "chat.v2" in offered else None)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data=text_data, bytes_data=bytes_data)


app = Recorder(
    ProtocolTypeRouter(
        {
            "http": get_asgi_application(),
            "websocket": URLRouter([path("echo", EchoConsumer.as_asgi())]),
        }
    )
)
