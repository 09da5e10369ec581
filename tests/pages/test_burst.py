"""What many messages cost a page: no freeze and no growth of memory; native as the control."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from playwright.async_api import Browser, CDPSession, Page

from tests.support.browser import chromium, new_page
from tests.support.client import NATIVE
from tests.support.servers import Servers

pytestmark = [
    pytest.mark.browser,
    pytest.mark.integration,
    pytest.mark.full,
    pytest.mark.alone,
]

BARE = "tests.apps.pages_app:app"
EMULATED = "tests.apps.emulated.pages_app:app"
TIMEOUT = 120
HTTP = ["stream", "sse", "xhr-stream", "poll"]
BURST = 10_000
ROUNDS = 10

# Returns the longest time, in ms, that no timer ran while the messages came.
HAVE_BURST = """(size) => new Promise((resolve, reject) => {
    const socket = new WebSocket(`${base}/burst?n=${size}`);
    let left = size;
    let gap = 0;
    let last = performance.now();
    function tick() {
        const now = performance.now();
        gap = Math.max(gap, now - last);
        last = now;
        if (left) setTimeout(tick, 0);
    }
    socket.onopen = tick;
    socket.onmessage = () => left--;
    socket.onclose = () => left ? reject(new Error(`${left} are missing`)) : resolve(gap);
})"""


@asynccontextmanager
async def opened(servers: Servers, browser: Browser, transport: str) -> AsyncIterator[Page]:
    """Yield a page whose sockets go by `transport`."""
    is_native = transport == NATIVE
    url = servers.get(BARE if is_native else EMULATED).url
    transports = None if is_native else [transport]
    with anyio.fail_after(TIMEOUT):
        async with new_page(browser, transports=transports) as page:
            await page.goto(f"{url}/files/frame.html")
            yield page


async def longest_gap(servers: Servers, browser: Browser, transport: str) -> float:
    """Return the shortest of three bursts' longest gaps: the page's own, without the machine's."""
    async with opened(servers, browser, transport) as page:
        return min([float(await page.evaluate(HAVE_BURST, BURST)) for _ in range(3)])


@pytest.mark.parametrize("transport", HTTP)
async def test_burst_freezes_the_page_no_longer_than_native_does(
    servers: Servers, browser: Browser, transport: str
) -> None:
    native = await longest_gap(servers, browser, NATIVE)
    ours = await longest_gap(servers, browser, transport)
    # A frame of a display is 16 ms.
    assert ours <= max(2 * native, 50), f"{ours} ms without a timer, native {native} ms"


async def heap_size(session: CDPSession) -> float:
    """Return the bytes of the page's objects after a collection."""
    for _ in range(2):
        await session.send("HeapProfiler.collectGarbage")
    metrics = (await session.send("Performance.getMetrics"))["metrics"]
    found = {one["name"]: float(one["value"]) for one in metrics}
    return found["JSHeapUsedSize"]


@pytest.mark.parametrize("transport", [*HTTP, "websocket"])
async def test_messages_leave_nothing_in_the_page(servers: Servers, transport: str) -> None:
    async with chromium() as browser, opened(servers, browser, transport) as page:
        session = await page.context.new_cdp_session(page)
        await session.send("Performance.enable")
        # As long as a socket is open, all others of the page use its stream too.
        await page.evaluate("async () => { self.socket = await connect('/echo', 'stays'); }")
        await page.evaluate(HAVE_BURST, BURST)
        before = await heap_size(session)
        for _ in range(ROUNDS):
            await page.evaluate(HAVE_BURST, BURST)
        more = await heap_size(session) - before
    # Ten bytes for each message would be a megabyte.
    assert more < 512 * 1024, f"{more} bytes more after {BURST * ROUNDS} messages"
