"""A chat in FastAPI, as its tutorial has it, and the line that lets it through everywhere."""

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import HTMLResponse

from emulation import WebSocketEmulation

PAGE = """<!doctype html>
<html lang="en">
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width">
  <title>Chat</title>
  <h1>Chat</h1>
  <p>You are <b id="name"></b>. Open this page once more to have somebody to talk to.</p>
  <form><input name="words" aria-label="Message" autofocus> <button>Send</button></form>
  <ol></ol>
  <script src="/emulation.js"></script>
  <script>
    const name = `guest ${Math.floor(Math.random() * 1000)}`;
    const form = document.querySelector("form");
    const scheme = location.protocol.replace("http", "ws");
    const path = `/chat/${encodeURIComponent(name)}`;
    const socket = new WebSocket(`${scheme}//${location.host}${path}`);
    const show = (text) => {
      document.querySelector("ol").append(Object.assign(document.createElement("li"), {
        textContent: text
      }));
    };
    document.getElementById("name").textContent = name;
    socket.onmessage = (event) => show(event.data);
    socket.onclose = (event) => show(`closed: ${event.code}`);
    form.onsubmit = (event) => {
      event.preventDefault();
      socket.send(form.words.value);
      form.reset();
    };
  </script>
</html>
"""

app = FastAPI()
app.add_middleware(WebSocketEmulation)


class Room:
    """All who are there."""

    def __init__(self) -> None:
        self.members: list[WebSocket] = []

    async def broadcast(self, text: str) -> None:
        for member in list(self.members):
            await member.send_text(text)


room = Room()


@app.get("/")
async def page() -> HTMLResponse:
    return HTMLResponse(PAGE)


@app.websocket("/chat/{name}")
async def chat(websocket: WebSocket, name: str) -> None:
    await websocket.accept()
    room.members.append(websocket)
    try:
        while True:
            text = await websocket.receive_text()
            await room.broadcast(f"{name}: {text}")
    except WebSocketDisconnect:
        room.members.remove(websocket)
        await room.broadcast(f"{name} has left")
