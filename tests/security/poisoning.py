"""An intercepting proxy whose cache can be poisoned, as some were found in the wild in 2010.

It knows nothing of Upgrade: whatever comes from the client it reads as HTTP, and where it does not
understand, it looks on for something that begins like a request. It sends everything to the address
that the client wanted, and keeps the answers under the name in Host.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from emulation_server.lab.relay import race
from tests.support.streams import connection_to, streams_server

__all__ = ["PoisonableCache", "poisonable_cache"]

_REQUEST = re.compile(rb"(?:GET|POST|OPTIONS) (\S+) HTTP/1\.1\r\n(?:[^\r\n]+\r\n)*\r\n")
_ANSWER = re.compile(rb"HTTP/1\.1 \d{3} [^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n", re.IGNORECASE)
_HOST = re.compile(rb"\r\nhost: *([^\r\n]+)", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


class PoisonableCache:
    """The proxy: `url` is where its clients find it, `answers` are by host and path."""

    def __init__(self, to: tuple[str, int]) -> None:
        self._to = to
        self.url = ""
        self.answers: dict[tuple[bytes, bytes], bytes] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay one connection of a client, and learn from it."""
        asked: list[tuple[bytes, bytes]] = []
        async with connection_to(*self._to) as (from_server, to_server):
            await race(self._up(reader, to_server, asked), self._down(from_server, writer, asked))

    async def _up(
        self,
        reader: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
        asked: list[tuple[bytes, bytes]],
    ) -> None:
        unread = b""
        while data := await reader.read(65536):
            unread += data
            while request := _REQUEST.search(unread):
                length = _LENGTH.search(request[0])
                end = request.end() + (int(length[1]) if length else 0)
                if len(unread) < end:
                    break
                unread = unread[end:]
                host = _HOST.search(request[0])
                asked.append((host[1] if host else b"", request[1]))
            to_server.write(data)

    async def _down(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        asked: list[tuple[bytes, bytes]],
    ) -> None:
        unread = b""
        while data := await reader.read(65536):
            unread += data
            while asked and (answer := _ANSWER.search(unread)):
                unread = unread[answer.end() :]
                self.answers[asked.pop(0)] = answer[0]
            writer.write(data)


@asynccontextmanager
async def poisonable_cache(to: tuple[str, int]) -> AsyncIterator[PoisonableCache]:
    """Run the proxy in front of an address."""
    cache = PoisonableCache(to)
    async with streams_server(cache.serve) as (host, port):
        cache.url = f"http://{host}:{port}"
        yield cache
