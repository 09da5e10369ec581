"""The endpoints that the scenarios talk to: ordinary WebSocket code that knows of nothing else."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from tests.apps.recorder import Recorder

PAGE = Path(__file__).parents[1] / "browser" / "page.html"


async def echo(websocket: WebSocket) -> None:
    """Send back what comes; speak chat.v2 where that is offered."""
    offered = websocket.scope["subprotocols"]
    await websocket.accept("chat.v2" if "chat.v2" in offered else None)
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        if message.get("text") is not None:
            await websocket.send_text(message["text"])
        else:
            await websocket.send_bytes(message["bytes"])


async def refuse(websocket: WebSocket) -> None:
    await websocket.close()


async def deny(websocket: WebSocket) -> None:
    response = PlainTextResponse("Who are you?", 401, {"x-reason": "nobody"})
    response.set_cookie("denied", "yes")
    await websocket.send_denial_response(response)


async def subprotocol(websocket: WebSocket) -> None:
    """Choose the subprotocol `choose`, offered or not."""
    await websocket.accept(websocket.query_params.get("choose") or None)
    await wait_for_disconnect(websocket)


async def burst(websocket: WebSocket) -> None:
    """Send 1 to `n` without a pause, and close behind them."""
    await websocket.accept()
    for number in range(int(websocket.query_params["n"])):
        await websocket.send_text(str(number + 1))
    await websocket.close(4000, "that was all")


async def sink(websocket: WebSocket) -> None:
    """Count what comes, and tell it when asked by "report"."""
    await websocket.accept()
    counts = {"texts": 0, "binaries": 0, "bytes": 0}
    digest = hashlib.sha256()
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        text = message.get("text")
        if text == "report":
            await websocket.send_json({**counts, "sha256": digest.hexdigest()})
            continue
        counts["binaries" if text is None else "texts"] += 1
        content = message["bytes"] if text is None else text.encode()
        counts["bytes"] += len(content)
        digest.update(content)


async def close(websocket: WebSocket) -> None:
    await websocket.accept()
    query = websocket.query_params
    await websocket.close(int(query.get("code", "1000")), query.get("reason"))


async def crash(websocket: WebSocket) -> None:
    await websocket.accept()
    raise RuntimeError("This endpoint crashes on purpose.")


async def early_crash(websocket: WebSocket) -> None:
    raise RuntimeError("This endpoint crashes on purpose, before it has accepted.")


async def leave(websocket: WebSocket) -> None:
    """Return with the socket open."""
    await websocket.accept()


async def scope_as_json(websocket: WebSocket) -> None:
    """Tell what the scope holds."""
    await websocket.accept()
    await websocket.send_text(json.dumps(describe(websocket), default=repr))
    await wait_for_disconnect(websocket)


async def accept_headers(websocket: WebSocket) -> None:
    cookies = [(b"set-cookie", b"taste=sweet; Path=/"), (b"set-cookie", b"size=small; Path=/")]
    await websocket.accept(headers=[*cookies, (b"x-flavour", b"vanilla")])
    await wait_for_disconnect(websocket)


async def never_receives(websocket: WebSocket) -> None:
    """Send numbers at a leisurely pace, and never look at what comes."""
    await websocket.accept()
    for number in itertools.count(1):
        await websocket.send_text(str(number))
        await asyncio.sleep(0.05)


async def slow(websocket: WebSocket) -> None:
    """Take `accept` seconds before accepting and `each` seconds before each echo."""
    query = websocket.query_params
    await asyncio.sleep(float(query.get("accept", "0")))
    await websocket.accept()
    async for text in websocket.iter_text():
        await asyncio.sleep(float(query.get("each", "0")))
        await websocket.send_text(text)


async def numbered(websocket: WebSocket) -> None:
    """Send 1 to `n` and expect the same, both at once; then close and tell the outcome."""
    await websocket.accept()
    last = int(websocket.query_params["n"])

    async def send() -> None:
        for number in range(1, last + 1):
            await websocket.send_text(str(number))

    sending = asyncio.create_task(send())
    try:
        for expected in range(1, last + 1):
            text = await websocket.receive_text()
            if text != str(expected):
                await websocket.close(4001, f"{text[:20]} came for {expected}")
                return
        await sending
        await websocket.close(4000, "complete")
    except WebSocketDisconnect:
        return
    finally:
        sending.cancel()


async def page(request: Request) -> HTMLResponse:
    return HTMLResponse(PAGE.read_text())


async def wait_for_disconnect(websocket: WebSocket) -> None:
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


def describe(websocket: WebSocket) -> dict[str, Any]:
    scope = websocket.scope
    plain = {name: scope.get(name) for name in ("type", "scheme", "path", "root_path", "client")}
    return {
        **plain,
        "raw_path": scope["raw_path"].decode("latin-1"),
        "query_string": scope["query_string"].decode("latin-1"),
        "headers": [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]],
        "cookies": websocket.cookies,
        "subprotocols": list(scope["subprotocols"]),
        "state": sorted(scope.get("state") or {}),
        "extensions": sorted(scope.get("extensions") or {}),
    }


app = Starlette(
    routes=[
        Route("/", page),
        WebSocketRoute("/echo", echo),
        WebSocketRoute("/refuse", refuse),
        WebSocketRoute("/deny", deny),
        WebSocketRoute("/subprotocol", subprotocol),
        WebSocketRoute("/burst", burst),
        WebSocketRoute("/sink", sink),
        WebSocketRoute("/close", close),
        WebSocketRoute("/crash", crash),
        WebSocketRoute("/early-crash", early_crash),
        WebSocketRoute("/return", leave),
        WebSocketRoute("/headers", scope_as_json),
        WebSocketRoute("/headers/{rest:path}", scope_as_json),
        WebSocketRoute("/accept-headers", accept_headers),
        WebSocketRoute("/never-receives", never_receives),
        WebSocketRoute("/slow", slow),
        WebSocketRoute("/numbered", numbered),
    ],
)
app.add_middleware(Recorder)
