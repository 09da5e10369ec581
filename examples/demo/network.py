"""A network that can be spoiled: it stands between a visitor's browser and the application.

It cuts TCP connections in the middle of what they carry, turns WebSockets away or swallows their
messages, and holds streams back, as intermediaries do. It reads the name of the emulation's marker
in a URL only to count requests.
"""

from __future__ import annotations

import asyncio
import re
from asyncio import BaseTransport, Transport
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MEMBERS = "/live/"
MARKER = re.compile(rb"(?:^|&)emulation=([a-z]+)\.")
LINKS_KEPT = 1000
# So long, in seconds, a page that is there may have no request under way.
LONGEST_GAP = 2.0


class Connection(HttpToolsProtocol):
    """uvicorn's HTTP connection, which lends its TCP transport to what is behind it."""

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self.app_state = {**self.app_state, "transport": transport}


@dataclass
class Link:
    """What the network does to one member, and what it has seen of it."""

    websockets: str = "pass"
    streams: str = "pass"
    requests: Counter[str] = field(default_factory=Counter)
    in_use: Counter[Transport] = field(default_factory=Counter)
    awaited: asyncio.Future[None] | None = None

    @contextmanager
    def carrying(self, scope: Scope) -> Iterator[None]:
        """Count a request, and remember the connection that carries it."""
        marker = MARKER.search(scope["query_string"])
        self.requests[marker[1].decode() if marker else "native"] += 1
        transport = scope["state"]["transport"]
        self.in_use[transport] += 1
        if self.awaited is not None:
            transport.abort()
            self.awaited.set_result(None)
            self.awaited = None
        try:
            yield
        finally:
            self.in_use[transport] -= 1
            self.in_use += Counter()  # drops what is no longer in use

    async def cut(self) -> int:
        """Break all connections in use at once, and return their number.

        Between two polls there is none: the next one is broken when it comes.
        """
        if not self.in_use:
            self.awaited = self.awaited or asyncio.get_running_loop().create_future()
            done, _ = await asyncio.wait({self.awaited}, timeout=LONGEST_GAP)
            return len(done)
        transports = [*self.in_use]
        for transport in transports:
            transport.abort()
        return len(transports)


class Network:
    """ASGI middleware around everything; `/network/…` is its control panel."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._links: dict[str, Link] = {}
        self._control = Router(
            [
                Route("/network/", self._report),
                Route("/network/{member}", self._configure, methods=["PUT"]),
                Route("/network/{member}/cut", self._cut, methods=["POST"]),
            ]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope.get("path", "")
        if path.startswith("/network/"):
            await self._control(scope, receive, send)
        elif path.startswith(MEMBERS):
            link = self._link(path.removeprefix(MEMBERS))
            with link.carrying(scope):
                await self._carry(link, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _carry(self, link: Link, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and link.websockets == "refuse":
            await receive()
            await send({"type": "websocket.close"})
        elif scope["type"] == "websocket" and link.websockets == "swallow":
            await self._app(scope, swallowing_receive(receive), swallowing_send(send))
        elif scope["type"] == "http" and link.streams == "hold":
            await self._app(scope, receive, holding(send))
        else:
            await self._app(scope, receive, send)

    def _link(self, member: str) -> Link:
        if member not in self._links and len(self._links) >= LINKS_KEPT:
            del self._links[next(iter(self._links))]
        return self._links.setdefault(member, Link())

    async def _report(self, request: Request) -> Response:
        members = request.query_params.getlist("member")
        links = {member: self._links[member] for member in members if member in self._links}
        return JSONResponse(
            {
                member: {"requests": link.requests, "connections": len(link.in_use)}
                for member, link in links.items()
            },
            headers={"Cache-Control": "no-store"},
        )

    async def _configure(self, request: Request) -> Response:
        settings: Any = await request.json()
        match settings:
            case {
                "websockets": "pass" | "refuse" | "swallow" as websockets,
                "streams": "pass" | "hold" as streams,
            }:
                link = self._link(request.path_params["member"])
                link.websockets, link.streams = websockets, streams
                return JSONResponse({"cut": await link.cut()})
        return JSONResponse({"error": "no such setting"}, status_code=400)

    async def _cut(self, request: Request) -> Response:
        return JSONResponse({"cut": await self._link(request.path_params["member"]).cut()})


def swallowing_receive(receive: Receive) -> Receive:
    async def receive_rest() -> Message:
        while (message := await receive())["type"] == "websocket.receive":
            pass
        return message

    return receive_rest


def swallowing_send(send: Send) -> Send:
    async def send_rest(message: Message) -> None:
        if message["type"] != "websocket.send":
            await send(message)

    return send_rest


def holding(send: Send) -> Send:
    """Keep a body of unknown length until it has ended, as a proxy that buffers does."""
    held: list[Message] = []

    async def send_whole(message: Message) -> None:
        held.append(message)
        has_ended = message["type"] == "http.response.body" and not message.get("more_body", False)
        if is_start_of_stream(held[0]) and not has_ended:
            return
        for kept in held:
            await send(kept)
        held.clear()

    return send_whole


def is_start_of_stream(message: Message) -> bool:
    return message["type"] == "http.response.start" and not any(
        name.lower() == b"content-length" for name, _ in message["headers"]
    )
