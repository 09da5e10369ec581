"""What is asked for in any form reaches the one backend, below its prefix, or nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from websockets.asyncio.server import ServerConnection, serve

from tests.gateway import processes
from tests.support.client import NATIVE, TRANSPORTS, Refused, connect
from tests.support.streams import connection_to

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("gateway-paths")]

TIMEOUT = 20.0

KEPT = [
    "/chat",
    "/chat//x",
    "//evil.example/x",
    "/http://evil.example/x",
    "/@evil.example/x",
    "/%2F%2Fevil.example",
    "/a%3Fb%23c%20d",
    "/%C3%A9;v=1",
    "/x?url=http://evil.example/../..&a=%2e%2e",
]
REFUSED = [
    "/chat/../admin",
    "/..",
    "/./x",
    "/%2e%2e/admin",
    "/chat/..%2fadmin",
    "/chat/..%5Cadmin",
    "/chat/.%2E",
]
# The forms of a request's first line beside the usual one (RFC 9112 section 3.2), and none.
TARGETS = [
    "http://evil.example/chat",
    "http://user@evil.example//chat",
    "http://evil.example/../admin",
    "http://evil.example",
    "evil.example:443",
    "*",
    "/chat#part",
    "/chat?#part",
    "/chat?x=\x7f",
    "chat",
]


@asynccontextmanager
async def recorder() -> AsyncIterator[tuple[str, list[tuple[str, str]]]]:
    """Run a backend; yield its URL, and the path and host of each request that reaches it."""
    seen: list[tuple[str, str]] = []

    async def handler(socket: ServerConnection) -> None:
        assert socket.request is not None
        seen.append((socket.request.path, socket.request.headers["Host"]))
        await socket.wait_closed()

    async with serve(handler, "127.0.0.1", 0, compression=None) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", seen


@pytest.mark.parametrize("transport", [NATIVE, "websocket", "poll"])
async def test_paths(transport: str) -> None:
    assert transport in TRANSPORTS
    with anyio.fail_after(TIMEOUT):
        async with recorder() as (host, seen):
            with processes.gateway(f"ws://{host}/below") as (front, _):
                for path in KEPT:
                    async with connect(front + path, transport):
                        pass
                for path in REFUSED:
                    with pytest.raises(Refused) as refused:
                        async with connect(front + path, transport):
                            pass
                    assert refused.value.status == 400, path
    assert seen == [("/below" + path, host) for path in KEPT]


async def test_other_forms_of_a_target_reach_nobody() -> None:
    with anyio.fail_after(TIMEOUT):
        async with recorder() as (host, seen):
            with processes.gateway(f"ws://{host}/below", "--pass-host") as (front, _):
                for target in TARGETS:
                    assert await upgrade(front, target) in (0, 400), target
                assert await upgrade(front, "/chat") == 101
    assert seen == [("/below/chat", "page.example")]


async def upgrade(front: str, target: str) -> int:
    """Ask for a WebSocket at a target as it stands; return the status, 0 where there is none."""
    host, _, port = front.removeprefix("http://").partition(":")
    async with connection_to(host, int(port)) as (reader, writer):
        writer.write(
            f"GET {target} HTTP/1.1\r\nHost: page.example\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode("latin-1")
        )
        line = await reader.readline()
    return int(line.split(b" ")[1]) if line else 0
