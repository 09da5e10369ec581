"""Pages, an echo and numbered messages, as most run them and for transports that are struck."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from emulation import Config, WebSocketEmulation
from tests.apps.numbered_app import numbered
from tests.apps.recorder import Recorder
from tests.apps.starlette_app import echo, page
from tests.hostile.talks import messages

__all__ = ["brief", "default", "patient", "rare", "struck"]

HERE = Path(__file__).parent

results: dict[str, Any] = {}


async def measure(request: Request) -> FileResponse:
    return FileResponse(HERE / "measure.html")


async def talk(request: Request) -> FileResponse:
    return FileResponse(HERE / "talk.js", media_type="text/javascript")


async def tell_messages(request: Request) -> JSONResponse:
    return JSONResponse(messages(request.path_params["sender"], request.path_params["count"]))


async def take_result(request: Request) -> Response:
    results[request.path_params["token"]] = json.loads(await request.body())
    return Response(status_code=204)


async def tell_result(request: Request) -> JSONResponse:
    return JSONResponse(results.get(request.path_params["token"]))


async def late(websocket: WebSocket) -> None:
    """Decide later than an upgrade, or an open, waits for it."""
    await asyncio.sleep(1.5)
    await echo(websocket)


def application(config: Config) -> Starlette:
    return Starlette(
        routes=[
            Route("/", page),
            Route("/measure", measure),
            Route("/talk.js", talk),
            Route("/messages/{sender}/{count:int}", tell_messages),
            Route("/results/{token}", take_result, methods=["POST"]),
            Route("/results/{token}", tell_result),
            WebSocketRoute("/echo", echo),
            WebSocketRoute("/late", late),
            WebSocketRoute("/numbered", numbered),
        ],
        middleware=[Middleware(WebSocketEmulation, config=config), Middleware(Recorder)],
    )


default = application(Config())

struck = application(
    Config(
        # A transport that stands still is missed after two heartbeats and 5 seconds.
        heartbeat=0.5,
        poll_time=2,
        # A part has to pass between two cuts, and streams are to be renewed meanwhile.
        part_size=4 * 1024,
        stream_renew=128 * 1024,
        text_stream_renew=64 * 1024,
    )
)

# A session ends 6 seconds after its page was last heard of: two heartbeats and 5 seconds.
brief = application(Config(heartbeat=0.5, poll_time=2, resume_time=1))

# The same after 8 seconds, in which there are five pings.
rare = application(Config(heartbeat=1.5, poll_time=3, resume_time=1))

# Polls are longer than what lies between bears.
patient = application(Config(heartbeat=4, poll_time=8))
