"""An ASGI layer that remembers which sockets reached the application, and tells it over HTTP."""

from __future__ import annotations

import json
from typing import Any

from starlette.types import Message, Receive, Scope, Send


class Recorder:
    """Count the starts and the ends of the sockets of the application below.

    GET /starts and GET /disconnects answer with JSON; the query tells the sockets of one test
    from those of another.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        self.starts: list[dict[str, Any]] = []
        self.disconnects: list[dict[str, Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/starts":
            await answer([{**start, "transport": told(start)} for start in self.starts], send)
        elif scope["type"] == "http" and scope["path"] == "/disconnects":
            await answer(self.disconnects, send)
        elif scope["type"] == "websocket":
            self.starts.append({**identity(scope), "transport": extension_of(scope)})
            await self.app(scope, self._watching(scope, receive), send)
        else:
            await self.app(scope, receive, send)

    def _watching(self, scope: Scope, receive: Receive) -> Receive:
        received = 0

        async def watched() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "websocket.receive":
                received += 1
            elif message["type"] == "websocket.disconnect":
                end = {"code": message.get("code"), "reason": message.get("reason")}
                self.disconnects.append({**identity(scope), **end, "received": received})
            return message

        return watched


def identity(scope: Scope) -> dict[str, str]:
    return {"path": scope["path"], "query": scope["query_string"].decode("latin-1")}


def extension_of(scope: Scope) -> dict[str, str]:
    """Return what the emulation tells an application that asks; nothing on a native socket."""
    extension: dict[str, str] = (scope.get("extensions") or {}).get("emulation", {})
    return extension


def told(start: dict[str, Any]) -> str | None:
    """Return the transport that has served a socket last; a native one has none."""
    transport: str | None = start["transport"].get("transport")
    return transport


async def answer(content: object, send: Send) -> None:
    body = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
