"""A counter in Django Channels, and the one line that lets it through everywhere."""

from typing import Any

import django
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

from emulation import WebSocketEmulation

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="an example has no secrets",
)
django.setup()

PAGE = """<!doctype html>
<html lang="en">
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width">
  <title>Counter</title>
  <h1>Counter</h1>
  <p>Messages counted by the consumer: <output>none</output></p>
  <button disabled>Send one</button>
  <script src="/emulation.js"></script>
  <script>
    const button = document.querySelector("button");
    const scheme = location.protocol.replace("http", "ws");
    const socket = new WebSocket(`${scheme}//${location.host}/count`);
    socket.onopen = () => { button.disabled = false; };
    socket.onclose = () => { button.disabled = true; };
    socket.onmessage = (event) => { document.querySelector("output").textContent = event.data; };
    button.onclick = () => socket.send("one");
  </script>
</html>
"""


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(PAGE)


class Counter(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    """Answers each message with the number of messages so far."""

    async def connect(self) -> None:
        self.count = 0
        await self.accept()

    async def receive(self, text_data: str | None = None, bytes_data: Any = None) -> None:
        self.count += 1
        await self.send(text_data=str(self.count))


urlpatterns = [path("", page)]

application = WebSocketEmulation(
    ProtocolTypeRouter(
        {
            "http": get_asgi_application(),
            "websocket": URLRouter([path("count", Counter.as_asgi())]),
        }
    )
)
