"""Clients of the laboratory: each answers within seconds or fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from emulation_server.lab import Lab
from tests.support.streams import connection_to

SECONDS = 5  # for what must happen
SILENCE = 0.25  # seconds for what must not


@asynccontextmanager
async def http(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """Open an HTTP client; without Accept-Encoding unless a test says so."""
    async with httpx.AsyncClient(
        base_url=url, timeout=SECONDS, trust_env=False, headers={"Accept-Encoding": "identity"}
    ) as client:
        yield client


async def get(lab: Lab, target: str) -> httpx.Response:
    async with http(lab.url) as client:
        return await client.get(target)


async def post(lab: Lab, target: str, body: bytes) -> httpx.Response:
    async with http(lab.url) as client:
        return await client.post(target, content=body)


async def release(address: tuple[str, int]) -> None:
    """Let the server go on with what it holds."""
    async with http(f"http://{address[0]}:{address[1]}") as client:
        await client.post("/release")


@asynccontextmanager
async def websocket(lab: Lab) -> AsyncIterator[ClientConnection]:
    url = f"ws://127.0.0.1:{lab.port}/ws"
    async with connect(
        url, proxy=None, open_timeout=SECONDS, close_timeout=0.1, compression=None
    ) as socket:
        yield socket


async def nothing(awaitable: Awaitable[object]) -> None:
    """Check that nothing comes of it for a while."""
    with pytest.raises(asyncio.TimeoutError):
        result = await asyncio.wait_for(awaitable, SILENCE)
        pytest.fail(f"there came {result!r}")


async def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come to hold"
        await asyncio.sleep(0.01)


class Raw:
    """A TCP connection to the laboratory."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def until(self, end: bytes) -> bytes:
        return await asyncio.wait_for(self.reader.readuntil(end), SECONDS)

    async def rest(self) -> bytes:
        return await asyncio.wait_for(self.reader.read(), SECONDS)


@asynccontextmanager
async def raw(lab: Lab) -> AsyncIterator[Raw]:
    async with connection_to("127.0.0.1", lab.port) as (reader, writer):
        yield Raw(reader, writer)
