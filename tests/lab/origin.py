"""The server behind the laboratory: it records what reaches it."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import uvicorn

Scope = dict[str, Any]


@dataclass
class Seen:
    """A request as it reached the server."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class State:
    """What one test sees and decides."""

    seen: list[Seen] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    departed: int = 0  # clients that left before their answer was whole
    numbers: int = 0


class Origin:
    """Run the server in a thread, on a port of its own."""

    def __init__(self) -> None:
        self.state = State()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._socket.getsockname()
        config = uvicorn.Config(
            self._app,
            http="h11",
            ws="websockets-sansio",
            interface="asgi3",
            lifespan="off",
            log_level="warning",
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True
        )

    def start(self) -> None:
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.01)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        assert not self._thread.is_alive()
        self._socket.close()

    async def _app(self, scope: Scope, receive: Any, send: Any) -> None:
        state = self.state
        target = scope["raw_path"].decode() + ("?" + scope["query_string"].decode()).rstrip("?")
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        if scope["type"] == "websocket":
            state.seen.append(Seen("GET", target, headers, b""))
            await _echo_messages(receive, send)
            return
        body = await _read(receive)
        if body is None:
            return
        if scope["path"] == "/release":
            state.released.set()
        else:
            state.seen.append(Seen(scope["method"], target, headers, body))
        query = {
            name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()
        }
        if scope["path"] == "/gated":
            await _stream_two_items(state, receive, send, query)
        elif scope["path"] == "/bytes":
            await _respond(send, bytes(range(256)) * int(query["blocks"]))
        elif scope["path"] == "/wait":
            await _wait(state, receive)
            await _respond(send, b"late")
        elif scope["path"] == "/number":
            state.numbers += 1
            await _respond(send, b"%d" % state.numbers)
        else:
            await _respond(send, body)


async def _echo_messages(receive: Any, send: Any) -> None:
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})


async def _read(receive: Any) -> bytes | None:
    """Return the body, or nothing when the client has left before its end."""
    body = b""
    while (event := await receive())["type"] == "http.request":
        body += bytes(event["body"])
        if not event["more_body"]:
            return body
    return None


async def _respond(send: Any, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _wait(state: State, receive: Any) -> None:
    """Wait until the test releases the answer, or the client has left."""
    released = asyncio.create_task(state.released.wait())
    left = asyncio.create_task(receive())
    await asyncio.wait({released, left}, return_when=asyncio.FIRST_COMPLETED)
    if not released.done():
        state.departed += 1
    released.cancel()
    left.cancel()


async def _stream_two_items(state: State, receive: Any, send: Any, query: dict[str, str]) -> None:
    """Send an item at once and another when the test releases it; both may be of some size."""
    size = int(query.get("size", "0"))
    headers = [(b"cache-control", b"no-store, no-transform")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send(
        {"type": "http.response.body", "body": b"first\n".ljust(size, b"."), "more_body": True}
    )
    await _wait(state, receive)
    await send({"type": "http.response.body", "body": b"second\n".ljust(size, b".")})
