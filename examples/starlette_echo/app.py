"""An echo in Starlette, and the one line that lets it through everywhere."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from emulation import WebSocketEmulation

PAGE = """<!doctype html>
<html lang="en">
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width">
  <title>Echo</title>
  <h1>Echo</h1>
  <form><input name="words" aria-label="Message" autofocus> <button>Send</button></form>
  <ol></ol>
  <script src="/emulation.js"></script>
  <script>
    const form = document.querySelector("form");
    const scheme = location.protocol.replace("http", "ws");
    const socket = new WebSocket(`${scheme}//${location.host}/echo`);
    const show = (text) => {
      document.querySelector("ol").append(Object.assign(document.createElement("li"), {
        textContent: text
      }));
    };
    socket.onopen = () => show("open");
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


async def page(request: Request) -> HTMLResponse:
    return HTMLResponse(PAGE)


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for message in websocket.iter_text():
        await websocket.send_text(message)


app = Starlette(routes=[Route("/", page), WebSocketRoute("/echo", echo)])
app.add_middleware(WebSocketEmulation)
