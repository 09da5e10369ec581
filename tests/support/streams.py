"""Servers and clients on raw TCP streams, for what no well-behaved peer does.

Whatever happens in a test, each connection is closed and each handler is awaited at its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias

from emulation_server.lab.laboratory import stop_listening

__all__ = ["Address", "Handler", "connection_to", "streams_server"]

Address: TypeAlias = tuple[str, int]
Handler: TypeAlias = Callable[
    [asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]
]


@asynccontextmanager
async def streams_server(handle: Handler) -> AsyncIterator[Address]:
    """Serve on a free port, and close each connection when its handler has ended.

    A handler may let ConnectionError and EOFError through; what else it raises is raised at the
    end.
    """
    connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, EOFError):  # the client has left
            await handle(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections[asyncio.create_task(serve(reader, writer))] = writer

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()
    finally:
        await stop_listening(server)
        for task, writer in connections.items():
            task.cancel()
            writer.transport.abort()  # here: a task may be cancelled before it begins
        results = await asyncio.gather(*connections, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


@asynccontextmanager
async def connection_to(
    host: str | None, port: int | None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect, and close the connection at the end."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()
