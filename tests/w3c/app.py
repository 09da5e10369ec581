"""The page of the conformance tests, and the endpoints that its cases talk to."""

from __future__ import annotations

from pathlib import Path

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from emulation import WebSocketEmulation
from tests.apps.recorder import Recorder
from tests.apps.starlette_app import (
    accept_headers,
    burst,
    close,
    deny,
    echo,
    refuse,
    scope_as_json,
    subprotocol,
    wait_for_disconnect,
)
from tests.engines.app import page, take_result, tell_results

HERE = Path(__file__).parent
CASES = ("interface", "constructor", "events", "sending", "closing", "page")

offers: set[str] = set()
texts: set[str] = set()


async def scenario(request: Request) -> Response:
    files = ["harness.js", *(f"cases/{name}.js" for name in CASES)]
    content = "\n".join((HERE / file).read_text() for file in files)
    return Response(content, media_type="text/javascript")


async def worker_page(request: Request) -> Response:
    """Answer with a document that runs all in a worker."""
    content = f"<!doctype html><script>new Worker('/worker.js?{request.url.query}')</script>"
    return Response(content, media_type="text/html")


async def worker(request: Request) -> FileResponse:
    return FileResponse(HERE / "worker.js", media_type="text/javascript")


async def latin(request: Request) -> Response:
    """Answer with a document in an encoding of old."""
    shim = '<script src="/emulation.js"></script>' if request.url.query else ""
    content = f'<meta charset="windows-1252">{shim}'
    return Response(content, headers={"content-type": "text/html"})


async def tell_offered(request: Request) -> JSONResponse:
    return JSONResponse(request.path_params["protocols"] in offers)


async def tell_told(request: Request) -> JSONResponse:
    return JSONResponse(request.path_params["text"] in texts)


async def first(websocket: WebSocket) -> None:
    """Choose the first subprotocol that is offered, send a message and perhaps close."""
    offered = websocket.scope["subprotocols"]
    offers.add(",".join(offered))
    await websocket.accept(offered[0] if offered else None)
    await websocket.send_text("first")
    if "close" in websocket.query_params:
        await websocket.close(int(websocket.query_params["close"]))
    else:
        await wait_for_disconnect(websocket)


async def tell(websocket: WebSocket) -> None:
    """Remember each message as a text."""
    await websocket.accept()
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        content = message.get("text")
        texts.add(message["bytes"].decode() if content is None else content)


async def leave(websocket: WebSocket) -> None:
    """Return with the socket open, once a message has come."""
    await websocket.accept()
    await websocket.receive()


async def never(websocket: WebSocket) -> None:
    """Accept when it is too late."""
    with anyio.move_on_after(20):
        await wait_for_disconnect(websocket)


app = Starlette(
    routes=[
        Route("/page", page),
        Route("/worker-page", worker_page),
        Route("/worker.js", worker),
        Route("/scenario.js", scenario),
        Route("/latin", latin),
        Route("/offered/{protocols:path}", tell_offered),
        Route("/told/{text}", tell_told),
        Route("/results/{token}", take_result, methods=["POST"]),
        Route("/results/{token}", tell_results),
        WebSocketRoute("/accept-headers", accept_headers),
        WebSocketRoute("/burst", burst),
        WebSocketRoute("/close", close),
        WebSocketRoute("/deny", deny),
        WebSocketRoute("/echo", echo),
        WebSocketRoute("/first", first),
        WebSocketRoute("/headers", scope_as_json),
        WebSocketRoute("/headers/{rest:path}", scope_as_json),
        WebSocketRoute("/never", never),
        WebSocketRoute("/refuse", refuse),
        WebSocketRoute("/leave", leave),
        WebSocketRoute("/subprotocol", subprotocol),
        WebSocketRoute("/tell", tell),
    ],
)
app.add_middleware(Recorder)
app.add_middleware(WebSocketEmulation)
