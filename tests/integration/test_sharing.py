"""What the sockets of one page share, and what they do not do to each other."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import anyio
import pytest

from emulation.protocol.frames import Frame
from emulation.testing import TRANSPORTS, WebSocket, carrier
from emulation.testing.socket import EmulatedWebSocket
from emulation_server.lab import Exchange, Mode
from tests.apps.emulated.sharing_app import WINDOW
from tests.support import recorded
from tests.support.faults import LabBefore
from tests.support.faults import lab_before as lab_before
from tests.support.servers import Servers

pytestmark = pytest.mark.integration

APPLICATION = "tests.apps.emulated.sharing_app:app"
TIMEOUT = 60
MANY = 25
WHILE = 2.0

over_http = pytest.mark.parametrize("transport", TRANSPORTS[1:])


@dataclass(kw_only=True, eq=False)
class Census(Mode):
    """Relay everything and count the requests, each a connection, that are there at once."""

    now: int = field(init=False, default=0)
    most: int = field(init=False, default=0)

    async def expire(self, exchange: Exchange) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await super().expire(exchange)
        finally:
            self.now -= 1


@pytest.mark.alone
@over_http
async def test_socket_keeps_its_rate_beside_those_that_stand_still(
    servers: Servers, lab_before: LabBefore, transport: str
) -> None:
    census = Census()
    url = lab_before(servers.get(APPLICATION).url, census).url
    # A page cannot take the answer of a poll and ask for the next without acknowledging it.
    deeds = ("hoard",) if transport == "poll" else ("hoard", "flood")
    with anyio.fail_after(TIMEOUT):
        async with (
            carrier(f"{url}/shared", transport=transport) as other_page,
            carrier(f"{url}/shared", transport=transport) as page,
            other_page.connect("?do=echo") as alone,
            page.connect("?do=echo") as beside,
            AsyncExitStack() as stack,
        ):
            unheard, *slow = [
                await stack.enter_async_context(page.connect(f"?do={deed}")) for deed in deeds
            ]
            counters = list(map(take_nothing, slow))
            for _ in range(3 * WINDOW // 1024):
                await unheard.send(bytes(1024))
            await until(lambda: all(counter() >= WINDOW for counter in counters))
            await until(lambda: unheard.buffered_amount <= 2 * WINDOW)
            census.most = 0
            counts = await asyncio.gather(echoes(alone), echoes(beside))
            assert unheard.buffered_amount == 2 * WINDOW
            assert all(ws.closed is None for ws in (unheard, *slow))
            assert counts[1] > counts[0] / 2
            # Two for each page: the downstream and the upload.
            assert census.most == 4
            page.abort()


@over_http
async def test_many_sockets_open_at_once(
    servers: Servers, lab_before: LabBefore, transport: str
) -> None:
    server, census = servers.get(APPLICATION), Census()
    lab = lab_before(server.url, census)
    token = secrets.token_hex(8)

    async def talk(number: int) -> None:
        async with page.connect(f"?do=echo&token={token}&n={number}") as ws:
            await ws.send(f"hello from {number}")
            assert await ws.receive() == f"hello from {number}"
            opened[number] = True
            await until(lambda: len(opened) == MANY)

    opened: dict[int, bool] = {}
    with anyio.fail_after(TIMEOUT):
        async with carrier(f"{lab.url}/shared", transport=transport) as page:
            await asyncio.gather(*map(talk, range(MANY)))
        starts = await recorded.starts(server.url, token)
    assert len(starts) == MANY
    # Two opens, the downstream and the upload.
    assert census.most <= 4


@over_http
async def test_sockets_of_different_paths_have_different_carriers(
    servers: Servers, lab_before: LabBefore, transport: str
) -> None:
    lab = lab_before(servers.get(APPLICATION).url)
    with anyio.fail_after(TIMEOUT):
        async with AsyncExitStack() as stack:
            for path in ("one", "another"):
                opening = carrier(f"{lab.url}/{path}", transport=transport)
                page = await stack.enter_async_context(opening)
                for _ in range(2):
                    ws = await stack.enter_async_context(page.connect("?do=echo"))
                    await ws.send(path)
                    assert await ws.receive() == path
    paths = defaultdict(set)
    for entry in lab.log:
        found = re.search(r" /(\w+)\?.*emulation=\w+\.([\w-]{22})", entry.request)
        assert found, entry
        paths[found[2]].add(found[1])
    assert sorted(map(sorted, paths.values())) == [["another"], ["one"]]


async def echoes(ws: WebSocket) -> int:
    """Count the echoes of a while, one after the other."""
    count, end = 0, time.monotonic() + WHILE
    while time.monotonic() < end:
        await ws.send("echo")
        assert await ws.receive() == "echo"
        count += 1
    return count


def take_nothing(ws: WebSocket) -> Callable[[], int]:
    """Let a page take, and so acknowledge, nothing more; return what tells how much has come."""
    assert isinstance(ws, EmulatedWebSocket)
    size = 0

    def drop(first: int, frames: list[Frame]) -> None:
        nonlocal size
        size += sum(len(payload) for _, payload in frames)

    ws.take = drop  # type: ignore[method-assign,assignment]
    return lambda: size


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition in this process; the test's own limit ends it."""
    while not condition():  # noqa: ASYNC110 - it is the client's, and sets no event
        await anyio.sleep(0.01)
