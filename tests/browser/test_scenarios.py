"""The scenarios in Chromium: native, and over each transport a page may be left with."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from playwright.async_api import Browser, Page

from tests.support import recorded
from tests.support.browser import new_page
from tests.support.client import NATIVE, TRANSPORTS
from tests.support.servers import Servers

pytestmark = [pytest.mark.browser, pytest.mark.integration]

SCRIPT = Path(__file__).parent / "scenarios.js"
SCENARIOS = re.findall(r"^  async (\w+)\(stage\)", SCRIPT.read_text(), re.MULTILINE)
BARE = "tests.apps.starlette_app:app"
EMULATED = "tests.apps.emulated.starlette_app:app"
TIMEOUT = 60
RUN = """async ([name, token]) => {
    const stage = stageFor(token);
    await scenarios[name](stage);
    return stage.sockets;
}"""


@dataclass(frozen=True)
class Surroundings:
    """What a page may use, and the transport that has to come of it."""

    name: str
    transport: str
    missing: tuple[str, ...] = ()
    is_forced: bool = True


NEITHER = ("WebSocket", "fetch", "EventSource")
SURROUNDINGS = [
    Surroundings("native", NATIVE, is_forced=False),
    Surroundings("websocket", "websocket"),
    Surroundings("stream", "stream", ("WebSocket",)),
    Surroundings("sse", "sse", ("WebSocket", "fetch")),
    Surroundings("xhr-stream", "xhr-stream", NEITHER),
    Surroundings("poll", "poll", NEITHER),
    Surroundings("poll by fetch", "poll", ("WebSocket",)),
    Surroundings("with WebSocket", "websocket", is_forced=False),
    Surroundings("without WebSocket", "stream", ("WebSocket",), is_forced=False),
    Surroundings("without fetch", "sse", ("WebSocket", "fetch"), is_forced=False),
    Surroundings("without EventSource", "xhr-stream", NEITHER, is_forced=False),
]


class Pages:
    """One page for each surroundings, which the tests of a worker load anew, one by one."""

    def __init__(self, browser: Browser, stack: AsyncExitStack) -> None:
        self._browser = browser
        self._stack = stack
        self._pages: dict[Surroundings, Page] = {}

    async def get(self, surroundings: Surroundings) -> Page:
        if surroundings not in self._pages:
            page = new_page(
                self._browser,
                missing=surroundings.missing,
                transports=[surroundings.transport] if surroundings.is_forced else None,
                script=SCRIPT,
            )
            self._pages[surroundings] = await self._stack.enter_async_context(page)
        return self._pages[surroundings]


@pytest.fixture(scope="module")
async def pages(browser: Browser) -> AsyncIterator[Pages]:
    async with AsyncExitStack() as stack:
        yield Pages(browser, stack)


@pytest.mark.parametrize(
    ("surroundings", "scenario"),
    [
        pytest.param(surroundings, scenario, id=f"{surroundings.name}-{scenario}")
        for surroundings in SURROUNDINGS
        if surroundings.transport in TRANSPORTS
        for scenario in SCENARIOS
    ],
)
async def test_scenario(
    servers: Servers, pages: Pages, surroundings: Surroundings, scenario: str
) -> None:
    is_native = surroundings.transport == NATIVE
    server = servers.get(BARE if is_native else EMULATED)
    token = secrets.token_hex(8)
    with anyio.fail_after(TIMEOUT):
        page = await pages.get(surroundings)
        await page.context.clear_cookies()
        await page.goto(server.url)
        sockets = await page.evaluate(RUN, [scenario, token])
        starts = await recorded.starts(server.url, token)
    if scenario == "client_closes_while_connecting":
        # Whether the application had been started by then is a race.
        assert len(starts) <= sockets
    else:
        reported = None if is_native else surroundings.transport
        assert [start["transport"] for start in starts] == [reported] * sockets
