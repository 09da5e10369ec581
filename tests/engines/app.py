"""The page that an engine opens, the endpoints it talks to, and the results that it posts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from emulation import WebSocketEmulation
from tests.apps.recorder import Recorder
from tests.apps.starlette_app import close, echo, wait_for_disconnect
from tests.apps.starlette_app import page as bare_page
from tests.engines import extension

HERE = Path(__file__).parent

WORKER = """
self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", (event) => {
    event.waitUntil(self.clients.get(event.clientId).then((client) => {
        if (client) client.postMessage(event.request.url);
    }));
});
"""

results: dict[str, list[Any]] = {}
notes: set[str] = set()


async def page(request: Request) -> FileResponse:
    return FileResponse(HERE / "page.html")


async def leave(request: Request) -> FileResponse:
    return FileResponse(HERE / "leave.html")


async def frame(request: Request) -> Response:
    """Answer with a document around that page: a frame's is never kept for its coming back."""
    content = f"<!doctype html><iframe src='/leave?{request.url.query}'></iframe>"
    return Response(content, media_type="text/html")


async def scenario(request: Request) -> FileResponse:
    return FileResponse(HERE / "scenario.js", media_type="text/javascript")


async def take_result(request: Request) -> Response:
    # Some engines cannot be told apart by the type that they give to a text.
    results.setdefault(request.path_params["token"], []).append(json.loads(await request.body()))
    return Response(status_code=204)


async def tell_results(request: Request) -> JSONResponse:
    return JSONResponse(results.get(request.path_params["token"], []))


async def worker(request: Request) -> Response:
    return Response(WORKER, media_type="text/javascript")


async def tell_note(request: Request) -> JSONResponse:
    return JSONResponse(request.path_params["text"] in notes)


async def note(websocket: WebSocket) -> None:
    """Remember each text that comes."""
    await websocket.accept()
    async for text in websocket.iter_text():
        notes.add(text)


async def every_byte(websocket: WebSocket) -> None:
    """Send each value of a byte, in one binary message."""
    await websocket.accept()
    await websocket.send_bytes(bytes(range(256)))
    await wait_for_disconnect(websocket)


app = Starlette(
    routes=[
        Route("/", bare_page),
        Route("/worker.js", worker),
        Route("/notes/{text}", tell_note),
        Route("/page", page),
        Route("/frame", frame),
        Route("/leave", leave),
        Route("/scenario.js", scenario),
        Route("/results/{token}", take_result, methods=["POST"]),
        Route("/results/{token}", tell_results),
        WebSocketRoute("/echo", echo),
        WebSocketRoute("/close", close),
        WebSocketRoute("/every-byte", every_byte),
        WebSocketRoute("/note", note),
    ],
)
app.add_middleware(Recorder)
app.add_middleware(WebSocketEmulation, origins=[extension.ORIGIN])
