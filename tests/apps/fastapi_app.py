"""The echo in FastAPI."""

from typing import Annotated

from fastapi import FastAPI, Header, WebSocket

from tests.apps.recorder import Recorder

app = FastAPI()
app.add_middleware(Recorder)


@app.websocket("/echo")
async def echo(
    websocket: WebSocket, sec_websocket_protocol: Annotated[str | None, Header()] = None
) -> None:
    offered = [name.strip() for name in (sec_websocket_protocol or "").split(",")]
    await websocket.accept("chat.v2" if "chat.v2" in offered else None)
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        if message.get("text") is not None:
            await websocket.send_text(message["text"])
        else:
            await websocket.send_bytes(message["bytes"])
