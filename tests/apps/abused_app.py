"""Endpoints that a peer may torment, behind limits that are soon reached."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from emulation import Config, WebSocketEmulation
from tests.apps.starlette_app import echo

FLOOD = "x" * 10_000


async def hoard(websocket: WebSocket) -> None:
    """Receive nothing until the session ends."""
    await websocket.accept()
    with suppress(WebSocketDisconnect):
        while True:
            await websocket.send_text("still here")
            await asyncio.sleep(0.2)


async def flood(websocket: WebSocket) -> None:
    """Send as fast as it goes."""
    await websocket.accept()
    with suppress(WebSocketDisconnect):
        while True:
            await websocket.send_text(FLOOD)


app = Starlette(
    routes=[
        WebSocketRoute("/echo", echo),
        WebSocketRoute("/flood", flood),
        WebSocketRoute("/hoard", hoard),
    ],
    middleware=[
        Middleware(
            WebSocketEmulation,
            config=Config(
                heartbeat=0.2,
                poll_time=1,
                resume_time=5,
                attach_timeout=5,
                nonce_time=1,
                send_timeout=1,
                body_timeout=3,
                max_sessions=100,
                max_carriers=100,
                window_bytes=64 * 1024,
                max_message_size=256 * 1024,
            ),
        ),
    ],
)
