"""The echo in Litestar."""

from typing import Any

from litestar import Litestar, websocket
from litestar.connection import WebSocket
from litestar.exceptions import WebSocketDisconnect

from tests.apps.recorder import Recorder


@websocket("/echo")
async def echo(socket: WebSocket[Any, Any, Any]) -> None:
    offered = socket.scope["subprotocols"]
    await socket.accept(subprotocols="chat.v2" if "chat.v2" in offered else None)
    try:
        while True:
            message: Any = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if message.get("text") is not None:
                await socket.send_text(message["text"])
            else:
                await socket.send_bytes(message["bytes"])
    except WebSocketDisconnect:
        return


app = Recorder(Litestar([echo]))
