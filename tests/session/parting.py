"""An application that says in the server's log how each of its sockets ended."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
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


async def ticks(request: Request) -> Response:
    """Stream events of the application's own, which end by the means of their library."""
    # Imported so late it cannot listen for the signal any more, and looks for the server instead.
    from sse_starlette import EventSourceResponse  # noqa: TID251

    async def events() -> AsyncIterator[dict[str, str]]:
        while True:
            yield {"data": "tick"}
            await asyncio.sleep(0.05)

    return EventSourceResponse(events())


async def starts(request: object) -> PlainTextResponse:
    return PlainTextResponse("the server answers")


app = Starlette(
    routes=[
        WebSocketRoute("/echo", echo),
        WebSocketRoute("/deaf", deaf),
        WebSocketRoute("/talk", talk),
        Route("/starts", starts),
        Route("/ticks", ticks),
    ]
)
app.add_middleware(WebSocketEmulation)


async def worker(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve the same in a process that listens for another signal, too."""
    if scope["type"] == "lifespan":
        asyncio.get_running_loop().add_signal_handler(signal.SIGQUIT, print, "quitting")
    await app(scope, receive, send)
