"""A native socket of a page that speaks the wire by hand."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from websockets.asyncio.client import ClientConnection, connect
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

from tests.session.wire import TIMEOUT, Page, drawn

__all__ = ["Native", "dial", "opened", "resumed"]


class Native:
    """A native socket of a page."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.said: list[Any] = []

    @property
    def headers(self) -> Headers:
        """Return the headers of the answer to the upgrade."""
        assert self.connection.response is not None
        return self.connection.response.headers

    async def receive(self) -> Any:
        """Return what comes next: a message, or a document as a list."""
        with anyio.fail_after(TIMEOUT):
            message = await self.connection.recv()
        if isinstance(message, str) and message.startswith("\0["):
            message = json.loads(message[1:])
        self.said.append(message)
        return message

    async def until(self, name: str) -> list[Any]:
        """Receive up to a document."""
        while True:
            said = await self.receive()
            if isinstance(said, list) and said[0] == name:
                return said

    async def message(self) -> Any:
        """Receive one message, past documents."""
        return (await self.messages(1))[0]

    async def messages(self, count: int) -> list[Any]:
        """Receive so many messages, past documents."""
        found: list[Any] = []
        while len(found) < count:
            said = await self.receive()
            if not isinstance(said, list):
                found.append(said)
        return found

    async def until_closed(self) -> list[Any]:
        """Receive to the end."""
        try:
            while True:
                await self.receive()
        except ConnectionClosed:
            return self.said

    async def send(self, message: str | bytes) -> None:
        await self.connection.send(message)

    async def say(self, *elements: Any) -> None:
        await self.connection.send("\0" + json.dumps(elements))


@asynccontextmanager
async def dial(
    page: Page, nonce: str, *protocols: str, headers: dict[str, str] | None = None
) -> AsyncIterator[Native]:
    """Open a native socket for a nonce, or to resume."""
    url = page.url("ws", query=page.query).replace("http", "ws", 1)
    offered = [Subprotocol(name) for name in (f"emulation.{nonce}", *protocols)]
    async with connect(
        url,
        subprotocols=offered,
        origin=Origin(page.headers["origin"]),
        additional_headers=headers,
        proxy=None,
        max_size=None,
        close_timeout=1,
    ) as connection:
        assert connection.subprotocol == offered[0]
        yield Native(connection)


@asynccontextmanager
async def opened(page: Page, socket: int = 1, *protocols: str) -> AsyncIterator[Native]:
    """Open a socket natively and say its head."""
    async with dial(page, drawn(), *protocols) as native:
        if not page.secret:
            _, page.secret, page.node = await native.until("secret")
            await native.say("head", 1, "", socket, "")
        else:
            await native.say("head", 1, page.secret, socket, page.node)
        yield native


@asynccontextmanager
async def resumed(page: Page, socket: int = 1, ack: int = 0) -> AsyncIterator[Native]:
    async with dial(page, "resume") as native:
        await native.say("head", 1, page.secret, socket, page.node, ack)
        yield native
