"""A connection of uvicorn's, without a network, and what a page says on it."""

from __future__ import annotations

import asyncio
import re
import sys
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from emulation.protocol.frames import Frame, document
from tests.session.wire import encoded, section, text

__all__ = [
    "CROSS",
    "SAME",
    "Connection",
    "Site",
    "application",
    "between",
    "late",
    "say",
    "secret_in",
]

KEY, NONCE, SECRET = "K" * 22, "N" * 22, "S" * 32
TYPE = b"Content-Type: application/octet-stream\r\n"
SAME = b"Sec-Fetch-Site: same-origin\r\n"
CROSS = b"Origin: http://127.0.0.1\r\n"

# Of uvicorn's own, which a profiler sees.
CODES = {RequestResponseCycle.receive.__code__, RequestResponseCycle.send.__code__}

# What the requests for /late wait for. One that waited for ever would be found by another test.
late: list[asyncio.Future[None]] = []


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Accept with a cookie where there is a query, and echo.

    A request of HTTP is answered at once, one for /late when its future is done.
    """
    if scope["type"] == "http":
        if scope["path"] == "/late":
            late.append(asyncio.get_running_loop().create_future())
            await late[-1]
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})
        return
    assert scope["type"] == "websocket"
    await receive()
    headers = [(b"set-cookie", scope["query_string"])] if scope["query_string"] else []
    await send({"type": "websocket.accept", "headers": headers})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event["text"]})


def between(app: Any) -> Any:
    """A middleware as there are many."""

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        async def receiving() -> Any:
            return await receive()

        async def sending(event: Any) -> None:
            await send(event)

        await app(scope, receiving, sending)

    return wrapped


class Transport(asyncio.Transport):
    """A connection of which the other end is here."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_closed = False
        self.protocol: Any = None

    def get_protocol(self) -> Any:
        return self.protocol

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"sockname": ("127.0.0.1", 80), "peername": ("127.0.0.1", 5)}.get(name, default)

    def write(self, data: Any) -> None:
        assert not self.is_closed
        self.written += data

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        """All that was fed has been parsed."""

    def resume_reading(self) -> None:
        """See `pause_reading`."""


class Connection:
    """A connection to a server, of which is counted how often uvicorn was called.

    `calls` are those of its `receive` and `send`, `parsed` what it was given to parse.
    """

    def __init__(self, config: uvicorn.Config, state: ServerState) -> None:
        self.state = state
        self.protocol = HttpToolsProtocol(config, state, app_state={})
        self.protocol.access_log = False  # pytest has a handler for it
        self.transport = Transport()
        self.transport.set_protocol(self.protocol)
        self.protocol.connection_made(self.transport)
        self.calls = 0
        self.parsed = 0
        self._parse = self.protocol.data_received
        self.protocol.data_received = self._count  # type: ignore[method-assign]

    def _count(self, data: bytes) -> None:
        self.parsed += 1
        self._parse(data)

    async def feed(self, *pieces: bytes) -> None:
        """Let these bytes come, and all that follows from them."""
        for piece in pieces:
            if piece:
                self.transport.protocol.data_received(piece)
            await self.settle()

    async def settle(self) -> None:
        sys.setprofile(self._note)
        try:
            for _ in range(20):
                await asyncio.sleep(0)
        finally:
            sys.setprofile(None)

    def _note(self, frame: Any, event: str, argument: object) -> None:
        # Other tests have left some, which may end meanwhile.
        self.calls += (
            event == "call"
            and frame.f_code in CODES
            and frame.f_locals["self"].transport is self.transport
        )

    @property
    def end(self) -> tuple[object, ...]:
        """All that can be seen from outside, and what further requests meet."""
        written = re.sub(rb'"(secret|ticket)","[^"]*"', b"", self.transport.written)
        return (
            written,
            self.transport.is_closed,
            self.state.total_requests,
            self.protocol.timeout_keep_alive_task is not None,
            self.protocol.flow.read_paused,
        )

    @property
    def left(self) -> tuple[object, ...]:
        """What whoever receives next, of the last request that uvicorn was given, would get."""
        cycle = self.protocol.cycle
        return len(cycle.body), cycle.message_event.is_set()


class Site:
    """A server with an open socket; `connect` makes further connections to it."""

    def __init__(self, app: Any) -> None:
        self.config = uvicorn.Config(app, http="httptools", ws="none", log_config=None)
        self.config.load()
        self.state = ServerState()
        self.state.default_headers = [(b"date", b"today"), (b"server", b"uvicorn")]
        self.secret = ""

    def connect(self) -> Connection:
        return Connection(self.config, self.state)

    def request(
        self, verb: str, *frames: Frame, more: bytes = SAME, line: bytes = b"POST", query: str = ""
    ) -> bytes:
        """Make a request of a page; the head is added."""
        head = document("head", 1, self.secret, 1, "")
        body = encoded(head, *frames)
        return (
            b"%s /?%semulation=%s.%s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n%s%s\r\n"
            % (line, query.encode(), verb.encode(), KEY.encode(), len(body), TYPE, more)
        ) + body

    def open(self, more: bytes = SAME, query: str = "") -> bytes:
        return self.request("open", document("open", 1, NONCE, []), more=more, query=query)

    async def opened(self) -> Connection:
        """Open the socket; return a connection to go on with."""
        connection = self.connect()
        await connection.feed(self.open())
        self.secret = secret_in(connection.transport.written)
        return self.connect()


def secret_in(written: bytes) -> str:
    """Find the secret in the answer to an open."""
    found = re.search(rb'"secret","([^"]+)"', written)
    assert found
    return found[1].decode()


def say(number: int, message: str = "hello", socket: int = 1) -> tuple[Frame, ...]:
    return section(socket, 0, number), text(message)
