"""The endpoints of `tests.apps.starlette_app`, and the documents and workers of tests/pages."""

from __future__ import annotations

import asyncio
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from tests.apps import starlette_app
from tests.apps.recorder import Recorder

FILES = Path(__file__).parents[1] / "pages" / "files"
DOCUMENT = "<!doctype html><link rel='icon' href='data:,'><script src='/files/page.js'></script>"


class Handshakes:
    """Count the sockets that are being accepted at the same time, and tell the highest count."""

    def __init__(self) -> None:
        self.now = 0
        self.peak = 0

    async def __call__(self, websocket: WebSocket) -> None:
        self.now += 1
        self.peak = max(self.peak, self.now)
        await asyncio.sleep(float(websocket.query_params.get("seconds", 0.05)))
        self.now -= 1
        await websocket.accept()
        await websocket.send_text(str(self.peak))
        await starlette_app.wait_for_disconnect(websocket)


async def handshakes(websocket: WebSocket) -> None:
    """Count the handshakes of one test."""
    counted = COUNTED.setdefault(websocket.query_params["token"], Handshakes())
    await counted(websocket)


async def written(request: Request) -> HTMLResponse:
    """Answer with a document that has what the query says in its head."""
    return HTMLResponse(DOCUMENT + request.query_params["head"])


COUNTED: dict[str, Handshakes] = {}

app = Starlette(
    routes=[
        *starlette_app.app.routes,
        WebSocketRoute("/handshakes", handshakes),
        WebSocketRoute("/handshakes/{rest:path}", handshakes),
        Route("/written", written),
        Mount("/files", StaticFiles(directory=FILES)),
    ]
)
app.add_middleware(Recorder)
