"""A close whose answer stands still on its way is answered on another connection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import anyio
import pytest
from playwright.async_api import Browser

from emulation.testing import TRANSPORTS, connect
from emulation_server.lab.relay import Exchange, Mode, hold
from emulation_server.lab.wire import Answer
from tests.hostile import talks
from tests.support.faults import LabBefore
from tests.support.servers import Servers

pytestmark = [pytest.mark.browser, pytest.mark.integration]

# Its heartbeats are so long that no silence is noticed before a close is given up.
APPLICATION = "tests.hostile.app:default"
TIMEOUT = 30
DOWNSTREAM = r"emulation=(ws|stream|sse|poll)\."


@dataclass(kw_only=True, eq=False)
class Freezer(Mode):
    """Let nothing more pass on what is open when it is told to, and all on what is opened later."""

    only: str = DOWNSTREAM
    is_open: list[Exchange] = field(default_factory=list)
    frozen: list[Exchange] = field(default_factory=list)

    async def freeze(self) -> None:
        while not self.is_open:  # noqa: ASYNC110 - a page asks for its next poll when it likes
            await anyio.sleep(0.01)
        self.frozen = self.is_open.copy()

    async def on_request(self, exchange: Exchange) -> Answer | None:
        self.is_open.append(exchange)
        return None

    async def down(self, exchange: Exchange, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in pieces:
            if exchange in self.frozen:
                exchange.did("stalled")
                await hold()
            if "=poll." in exchange.target and exchange in self.is_open:
                self.is_open.remove(exchange)  # it is over as soon as the client has this
            yield piece
        if exchange in self.is_open:
            self.is_open.remove(exchange)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_it_is_clean(
    servers: Servers, browser: Browser, lab_before: LabBefore, transport: str
) -> None:
    server = servers.get(APPLICATION)
    freezer = Freezer()
    lab = lab_before(server.url, freezer)
    with anyio.fail_after(TIMEOUT):
        async with talks.holding(browser, server.url, lab.url, [transport]) as held:
            assert await held.transport() == transport
            await freezer.freeze()
            assert await held.page.evaluate("hangUp()") == [4000, "enough", True]
    assert lab.counts["stalled"] == 1


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_it_is_clean_in_the_python_client(
    servers: Servers, lab_before: LabBefore, transport: str
) -> None:
    server = servers.get(APPLICATION)
    freezer = Freezer()
    lab = lab_before(server.url, freezer)
    with anyio.fail_after(TIMEOUT):
        async with connect(f"{lab.url}/echo", transport=transport) as ws:
            await ws.send("hello")
            assert await ws.receive() == "hello"
            await freezer.freeze()
            await ws.close(4000, "enough")
            assert ws.closed is not None
            assert (ws.closed.code, ws.closed.was_clean) == (4000, True)
    assert lab.counts["stalled"] == 1
