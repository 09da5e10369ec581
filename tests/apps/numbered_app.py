"""An application that exchanges numbered messages with a page, both ways at once."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from tests.apps.recorder import Recorder, extension_of
from tests.support.numbered import Altered, exchange


async def numbered(websocket: WebSocket) -> None:
    """Exchange `n` messages each way and report the transports that they came over."""
    await websocket.accept()
    transports: set[str] = set()

    async def send(message: str | bytes) -> None:
        if isinstance(message, str):
            await websocket.send_text(message)
        else:
            await websocket.send_bytes(message)

    async def receive() -> str | bytes:
        event = await websocket.receive()
        if event["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(event["code"])
        # Between a native socket that was lost and the next one there is none.
        transports.add(extension_of(websocket.scope)["transport"])
        text: str | None = event.get("text")
        return event["bytes"] if text is None else text

    try:
        await exchange(send, receive, "server", int(websocket.query_params["n"]))
        await websocket.send_json(sorted(transports - {""}))
        await receive()
    except Altered as altered:
        await websocket.close(4001, str(altered)[:100])
    except WebSocketDisconnect:
        return


app = Starlette(routes=[WebSocketRoute("/numbered", numbered)])
app.add_middleware(Recorder)
