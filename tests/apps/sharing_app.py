"""Applications on one path that treat their pages well and badly: `do` in the query chooses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from tests.apps.recorder import Recorder

PIECE = bytes(16 * 1024)


async def echo(websocket: WebSocket) -> None:
    async for text in websocket.iter_text():
        await websocket.send_text(text)


async def hoard(websocket: WebSocket) -> None:
    """Never receive."""
    while True:
        await websocket.send_text("still here")
        await asyncio.sleep(0.05)


async def flood(websocket: WebSocket) -> None:
    """Send without end."""
    while True:
        await websocket.send_bytes(PIECE)


DEEDS: dict[str, Callable[[WebSocket], Awaitable[None]]] = {
    "echo": echo,
    "flood": flood,
    "hoard": hoard,
}


async def serve(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        await DEEDS[websocket.query_params["do"]](websocket)
    except WebSocketDisconnect:
        return


app = Starlette(routes=[WebSocketRoute("/{name}", serve)])
app.add_middleware(Recorder)
