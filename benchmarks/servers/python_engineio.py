"""python-engineio, under the same server."""

from __future__ import annotations

import os
from typing import Any

import engineio

_server = engineio.AsyncServer(
    async_mode="asgi",
    cors_allowed_origins="*",
    http_compression=False,
    max_http_buffer_size=1 << 26,
    ping_interval=float(os.environ.get("HEARTBEAT", 25)),
)
_everybody: set[str] = set()


@_server.on("connect")
async def connect(sid: str, environ: Any) -> None:
    """Note a session."""
    _everybody.add(sid)


@_server.on("disconnect")
async def disconnect(sid: str, reason: Any = None) -> None:
    """Forget a session."""
    _everybody.discard(sid)


@_server.on("message")
async def message(sid: str, data: str) -> None:
    """Send it back, or to everybody."""
    if data[0] != "F":
        await _server.send(sid, data)
        return
    for other in list(_everybody):
        await _server.send(other, data)


app = engineio.ASGIApp(_server)
