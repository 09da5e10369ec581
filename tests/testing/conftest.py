"""A server in this process, with the middleware in front of an echo that counts its starts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import pytest
from starlette.types import Message, Receive, Scope, Send

from emulation import Config, WebSocketEmulation
from emulation.testing import serve
from emulation.testing.plugin import blocking_websocket, emulated_websocket

__all__ = ["Site", "blocking_websocket", "emulated_websocket", "site"]


@dataclass
class Site:
    """Where the server is, and what has reached its application."""

    url: str = ""
    starts: list[str] = field(default_factory=list)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    ends: asyncio.Queue[int] = field(default_factory=asyncio.Queue)

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Echo; the query may ask for a refusal, or for no decision."""
        if scope["type"] != "websocket":
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        self.starts.append(scope["query_string"].decode())
        self.started.set()
        query = parse_qs(scope["query_string"].decode())
        await receive()
        if "refuse" in query:
            await send({"type": "websocket.close"})
            return
        if "wait" in query:
            self.ends.put_nowait((await receive())["code"])
            return
        headers = [(b"x-flavour", b"vanilla")]
        subprotocol = query.get("choose", [None])[0]
        accept = {"type": "websocket.accept", "subprotocol": subprotocol, "headers": headers}
        await send(accept)
        await self._echo(receive, send)

    async def _echo(self, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] == "websocket.receive":
            if message.get("text") == "close":
                await send({"type": "websocket.close", "code": 4321, "reason": "as you wish"})
                return
            await send(echo_of(message))
        self.ends.put_nowait(message["code"])

    async def end(self) -> int:
        """Return the code that the application was told at the end of a socket."""
        return await asyncio.wait_for(self.ends.get(), 20)


def echo_of(message: Message) -> Message:
    if message.get("text") is not None:
        return {"type": "websocket.send", "text": message["text"]}
    return {"type": "websocket.send", "bytes": message["bytes"]}


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """Serve the echo on uvicorn for one test."""
    site = Site()
    app = WebSocketEmulation(site.app, config=Config(heartbeat=2, poll_time=2, resume_time=9))
    async with serve(app) as site.url:
        yield site
