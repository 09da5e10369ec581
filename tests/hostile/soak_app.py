"""Numbered messages for a long run: what is remembered of each socket is one number."""

from __future__ import annotations

import gc
import logging
import sys

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from emulation import Config, WebSocketEmulation
from tests.apps.numbered_app import numbered
from tests.apps.starlette_app import page

logging.basicConfig(format="%(message)s")
logging.getLogger("emulation.diary").setLevel(logging.INFO)

starts = 0


async def conversation(websocket: WebSocket) -> None:
    global starts
    starts += 1
    await numbered(websocket)


async def tell_starts(request: Request) -> JSONResponse:
    """Tell how often the application was started."""
    return JSONResponse(starts)


async def collect(request: Request) -> JSONResponse:
    """Collect what Python's objects no longer need, and tell how many blocks they take."""
    gc.collect()
    return JSONResponse(sys.getallocatedblocks())


app = Starlette(
    routes=[
        Route("/", page),
        Route("/starts", tell_starts),
        Route("/collect", collect, methods=["POST"]),
        WebSocketRoute("/numbered", conversation),
    ],
    # What is silent has to be missed several times in the life of a session.
    middleware=[Middleware(WebSocketEmulation, config=Config(heartbeat=1, poll_time=1.5))],
)
