"""What is said through a proxy by the client in Python, and what both sides must have seen."""

from __future__ import annotations

import json
import secrets
import ssl
from typing import Any

from emulation.testing import connect
from tests.support import recorded
from tests.support.numbered import exchange

__all__ = ["converse", "scope_of"]

COOKIE = ("cookie", "taste=sweet; size=small")


async def converse(
    url: str,
    server_url: str,
    transport: str,
    count: int,
    context: ssl.SSLContext | None = None,
) -> None:
    """Exchange `count` numbered messages each way and close.

    Raises AssertionError unless both sides have had all of them, unaltered, over this transport
    alone, and the same close, from one start.
    """
    token = secrets.token_hex(8)
    path = f"/numbered?n={count}&token={token}"
    async with connect(f"{url}{path}", transport=transport, ssl=context) as ws:
        await exchange(ws.send, ws.receive, "page", count)
        report = await ws.receive()
        assert isinstance(report, str)
        assert json.loads(report) == [transport]
        await ws.close(4000, "complete")
        assert ws.closed is not None and ws.closed.was_clean
    [start] = await recorded.starts(server_url, token)
    assert start["transport"] == transport
    [disconnect] = await recorded.disconnects(server_url, token)
    assert (disconnect["code"], disconnect["received"]) == (4000, count)


async def scope_of(
    url: str, transport: str, context: ssl.SSLContext | None = None
) -> dict[str, Any]:
    """Return what the application is told of a page that has a cookie."""
    async with connect(f"{url}/scope", transport=transport, headers=[COOKIE], ssl=context) as ws:
        scope = await ws.receive()
        assert isinstance(scope, str)
        found: dict[str, Any] = json.loads(scope)
        return found
