"""What client libraries talk to: rooms, JSON-RPC, and an endpoint that drops its sockets."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from tests.apps.recorder import Recorder

PAGE = Path(__file__).parents[1] / "browser" / "page.html"
ROOMS: dict[str, set[WebSocket]] = {}


async def room(websocket: WebSocket) -> None:
    """Pass what comes on to all in the room; "kick" closes the sender's socket."""
    name = websocket.path_params["room"]
    members = ROOMS.setdefault(name, set())
    await websocket.accept()
    members.add(websocket)
    try:
        async for text in websocket.iter_text():
            if text == "kick":
                await websocket.close(4001, "kicked")
                return
            for member in tuple(members):
                await member.send_text(text)
    finally:
        members.discard(websocket)


async def flaky(websocket: WebSocket) -> None:
    """Echo; "close" closes, and "crash" raises."""
    await websocket.accept()
    async for text in websocket.iter_text():
        if text == "close":
            await websocket.close(1012, "restarting")
            return
        if text == "crash":
            raise RuntimeError("This endpoint crashes on purpose.")
        await websocket.send_text(text)


async def rpc(websocket: WebSocket) -> None:
    """Speak JSON-RPC 2.0, with the events that rpc-websockets adds."""
    await websocket.accept()
    ticking: asyncio.Task[None] | None = None
    try:
        async for text in websocket.iter_text():
            call = json.loads(text)
            if call["method"] == "rpc.on":
                ticking = asyncio.create_task(tick(websocket))
            if "id" in call:
                await websocket.send_json({"jsonrpc": "2.0", "id": call["id"], **answer(call)})
    finally:
        if ticking is not None:
            ticking.cancel()


def answer(call: dict[str, Any]) -> dict[str, Any]:
    params: Any = call.get("params")
    match call["method"]:
        case "sum":
            return {"result": sum(params)}
        case "rpc.on":
            return {"result": dict.fromkeys(params, "ok")}
        case "rpc.off":
            return {"result": dict.fromkeys(params, "ok")}
    return {"error": {"code": -32601, "message": "Method not found"}}


async def tick(websocket: WebSocket) -> None:
    for number in range(1, 6):
        await websocket.send_json({"notification": "tick", "params": [number]})
        await asyncio.sleep(0.01)


async def page(request: Request) -> HTMLResponse:
    return HTMLResponse(PAGE.read_text())


app = Starlette(
    routes=[
        Route("/", page),
        WebSocketRoute("/parties/{party}/{room}", room),
        WebSocketRoute("/flaky", flaky),
        WebSocketRoute("/rpc", rpc),
    ]
)
app.add_middleware(Recorder)
