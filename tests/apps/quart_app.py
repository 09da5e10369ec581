"""The echo in Quart."""

from quart import Quart, websocket

from tests.apps.recorder import Recorder

app = Quart(__name__)


@app.websocket("/echo")
async def echo() -> None:
    offered = websocket.requested_subprotocols
    await websocket.accept(subprotocol="chat.v2" if "chat.v2" in offered else None)
    while True:
        await websocket.send(await websocket.receive())


app.asgi_app = Recorder(app.asgi_app)  # type: ignore[assignment,method-assign]
