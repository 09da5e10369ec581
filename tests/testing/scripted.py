"""A server that answers as a test tells it, to show the client what ours never would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NamedTuple

from emulation.protocol.codec import BinaryEncoder, JSONEncoder, decode_body
from emulation.protocol.frames import DOCUMENT, Frame, document
from tests.support.streams import streams_server

__all__ = ["OPENED", "Reply", "Request", "Script", "body", "scripted"]

SECRET = "s" * 32
PARAMETERS: dict[str, Any] = {
    "heartbeat": 30.0,
    "poll": 1.0,
    "resume": 5.0,
    "bytes": 100_000,
    "frames": 100,
    "message": 1_000_000,
    "upload": 50_000,
    "transports": ["stream", "sse", "xhr-stream", "poll"],
}
OPENED = [document("secret", SECRET, "node"), document("opened", 1, "", PARAMETERS)]


class Request(NamedTuple):
    """One request of the client."""

    verb: str
    key: str
    headers: dict[str, str]
    frames: list[Frame]

    @property
    def number(self) -> int:
        """The number in the head."""
        number: int = self.frames[0][1][3]
        return number

    @property
    def is_binary(self) -> bool:
        return self.headers.get("content-type") == "application/octet-stream"

    def documents(self, name: str) -> list[list[Any]]:
        """The documents of this name."""
        return [payload for kind, payload in self.frames if kind == DOCUMENT and payload[0] == name]

    @property
    def messages(self) -> list[bytes]:
        """The payloads of the numbered frames."""
        return [payload for kind, payload in self.frames if kind != DOCUMENT]

    def reply(self, *frames: Frame, status: int = 200, headers: Sequence[str] = ()) -> Reply:
        """Make a whole answer of ours to this request."""
        return Reply(status, body(self, *frames), headers)


class Reply(NamedTuple):
    """An answer; one with a `length` of its own is cut, one that is held never goes on."""

    status: int
    body: bytes
    headers: Sequence[str] = ()
    length: int | None = None
    is_held: bool = False


Handler = Callable[[Request], Awaitable[Reply | None]]


class Script:
    """What the server answers, by verb; None never answers. `requests` is what it was asked."""

    def __init__(self, **handlers: Handler) -> None:
        self.handlers = handlers
        self.requests: list[Request] = []
        self.url = ""

    def asked(self, verb: str) -> list[Request]:
        return [request for request in self.requests if request.verb == verb]


def body(request: Request, *frames: Frame, end: int = 0) -> bytes:
    """Make a body with head and `end`; `end` is added to its count."""
    writer = BinaryEncoder() if request.is_binary else JSONEncoder()
    head = document("head", 1, request.key, request.number)
    content = writer.encode([head, *frames])
    return content + writer.encode([document("end", len(content) + end)])


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[Script]:
    """Serve the script on a free port."""
    async with streams_server(partial(serve, script)) as (host, port):
        script.url = f"http://{host}:{port}"
        yield script


async def serve(script: Script, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        request = await read(reader)
        script.requests.append(request)
        reply = await script.handlers[request.verb](request)
        if reply is not None:
            writer.write(written(reply))
            await writer.drain()
        if reply is None or reply.is_held:
            await reader.read()
            return
        if reply.length is not None:
            return


async def read(reader: asyncio.StreamReader) -> Request:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {}
    for line in lines[1:-2]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    verb, key = lines[0].split("emulation=")[1].split(" ")[0].split(".")[:2]
    content = await reader.readexactly(int(headers.get("content-length", 0)))
    is_binary = headers.get("content-type") == "application/octet-stream"
    frames, is_whole = decode_body(content, binary=is_binary, limit=10_000_000)
    assert is_whole or verb == "sse"
    return Request(verb, key, headers, frames)


def written(reply: Reply) -> bytes:
    length = len(reply.body) + reply.is_held if reply.length is None else reply.length
    lines = [f"HTTP/1.1 {reply.status} Status", *reply.headers]
    if reply.status != 204:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode() + reply.body
