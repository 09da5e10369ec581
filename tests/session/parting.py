"""An application that says in the server's log how each of its sockets ended."""

from __future__ import annotations

import asyncio

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from emulation import WebSocketEmulation


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            print(f"disconnected with {message['code']}", flush=True)
            return
        await websocket.send_text(message["text"])


async def deaf(websocket: WebSocket) -> None:
    await websocket.accept()
    await asyncio.Event().wait()


async def talk(websocket: WebSocket) -> None:
    """Send until the window is full, and then wait in `send`."""
    await websocket.accept()
    try:
        while True:
            await websocket.send_bytes(b"x" * 60_000)
    except WebSocketDisconnect:
        pass


async def starts(request: object) -> PlainTextResponse:
    return PlainTextResponse("the server answers")


app = Starlette(
    routes=[
        WebSocketRoute("/echo", echo),
        WebSocketRoute("/deaf", deaf),
        WebSocketRoute("/talk", talk),
        Route("/starts", starts),
    ]
)
app.add_middleware(WebSocketEmulation)
