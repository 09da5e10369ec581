"""The same endpoint, written as each framework teaches it, over the transports."""

from __future__ import annotations

import secrets

import anyio
import pytest

from tests.support import recorded
from tests.support.client import NATIVE, TRANSPORTS, connect
from tests.support.servers import Servers

pytestmark = pytest.mark.integration

FRAMEWORKS = ("raw", "starlette", "fastapi", "channels", "litestar", "quart")


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize(
    "transport", [name for name in (NATIVE, "poll", "stream") if name in TRANSPORTS]
)
async def test_endpoint_is_unchanged(servers: Servers, framework: str, transport: str) -> None:
    package = "tests.apps" if transport == NATIVE else "tests.apps.emulated"
    server = servers.get(f"{package}.{framework}_app:app")
    token = secrets.token_hex(8)
    url = f"{server.url}/echo?token={token}"
    # No empty binary message: Quart takes it for a text message and fails on uvicorn.
    messages: list[str | bytes] = ["hello", "", "\x00é😀", b"\x00\xff", "x" * 100_000]
    with anyio.fail_after(30):
        async with connect(url, transport, subprotocols=["chat.v1", "chat.v2"]) as socket:
            assert socket.subprotocol == "chat.v2"
            for message in messages:
                await socket.send(message)
            assert [await socket.receive() for _ in messages] == messages
            await socket.close(4000, "done")
        [disconnect] = await recorded.disconnects(server.url, token)
        [start] = await recorded.starts(server.url, token)
    assert (disconnect["code"], disconnect["received"]) == (4000, len(messages))
    assert start["transport"] == (None if transport == NATIVE else transport)
