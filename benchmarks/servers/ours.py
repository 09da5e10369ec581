"""The library around an ordinary ASGI echo; a message that begins with F goes to everybody."""

from __future__ import annotations

from typing import Any

from emulation import Config, WebSocketEmulation

_everybody: set[Any] = set()


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Send every message back."""
    await receive()
    await send({"type": "websocket.accept"})
    _everybody.add(send)
    try:
        while True:
            event = await receive()
            if event["type"] != "websocket.receive":
                return
            answer = {"type": "websocket.send", "text": event["text"]}
            if event["text"][0] != "F":
                await send(answer)
                continue
            for one in list(_everybody):
                await one(answer)
    finally:
        _everybody.discard(send)


# Who opens thousands of sessions a second, and leaves them, is over the default limits at once.
app = WebSocketEmulation(echo, config=Config(max_sessions=500_000, max_carriers=500_000))
