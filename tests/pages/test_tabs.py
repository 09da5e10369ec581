"""Ten tabs of one browser share its six connections to a host: downstreams leave room."""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path

import anyio
import pytest
from playwright.async_api import Browser, BrowserContext, Page

from tests.support.servers import Servers, running

pytestmark = [pytest.mark.browser, pytest.mark.integration]

APPLICATION = "tests.apps.emulated.pages_app:app"
TABS = 10
OPEN_SECONDS = 5
ECHO_SECONDS = 2
ECHOES = 10
TIMEOUT = 60

# Milliseconds which the open takes, or an echo.
OPEN = """async () => {
    const start = performance.now();
    self.socket = await connect("/echo");
    return performance.now() - start;
}"""
ECHO = """async () => {
    const start = performance.now();
    await echo(socket, String(start));
    return performance.now() - start;
}"""


async def profile(browser: Browser, transports: list[str]) -> BrowserContext:
    context = await browser.new_context(ignore_https_errors=True)
    settings = json.dumps({"transports": transports})
    await context.add_init_script(f"delete self.WebSocket; self.WebSocketEmulation = {settings};")
    return context


async def new_tab(context: BrowserContext, url: str) -> Page:
    page = await context.new_page()
    page.on("console", lambda message: print(f"console.{message.type}: {message.text}"))
    page.on("pageerror", lambda error: print(f"uncaught in page: {error}"))
    await page.goto(url)
    return page


@pytest.mark.parametrize(
    "transport",
    ["stream", pytest.param("sse", marks=pytest.mark.full), "poll"],
)
async def test_ten_tabs(servers: Servers, browser: Browser, transport: str) -> None:
    url = servers.get(APPLICATION).url + "/files/frame.html"
    transports = [transport] if transport == "poll" else [transport, "poll"]
    with anyio.fail_after(TIMEOUT):
        context = await profile(browser, transports)
        try:
            tabs = []
            for _ in range(TABS):
                tab = await new_tab(context, url)
                assert await tab.evaluate(OPEN) < 1000 * OPEN_SECONDS
                tabs.append(tab)
            times: list[float] = []

            async def talk(tab: Page) -> None:
                for _ in range(ECHOES):
                    times.append(await tab.evaluate(ECHO))

            async with anyio.create_task_group() as group:
                for tab in tabs:
                    group.start_soon(talk, tab)
            print("echoes in ms:", sorted(round(each) for each in times))
            assert statistics.quantiles(times, n=20)[-1] < 1000 * ECHO_SECONDS
            started = time.monotonic()
            await new_tab(context, url)
            assert time.monotonic() - started < OPEN_SECONDS
        finally:
            await context.close()


async def test_a_place_passes_on(servers: Servers, browser: Browser) -> None:
    url = servers.get(APPLICATION).url + "/files/frame.html"
    with anyio.fail_after(TIMEOUT):
        context = await profile(browser, ["stream", "poll"])
        try:
            tabs = [await new_tab(context, url) for _ in range(5)]
            for tab in tabs:
                await tab.evaluate(
                    """async () => {
                        self.socket = await connect("/echo");
                        socket.addEventListener("emulation:transport", (event) => {
                            self.transport = event.detail.transport;
                        });
                        await echo(socket, "there");
                    }"""
                )
            await tabs[0].close()
            await tabs[4].wait_for_function("self.transport === 'stream'")
            assert await tabs[4].evaluate("echo(socket, 'and on')") == "and on"
        finally:
            await context.close()


# By what the document came, and the transport that the page is told of.
TRANSPORT = """async () => {
    self.socket = new WebSocket(base + "/echo");
    socket.heard = [];
    socket.onmessage = ({ data }) => socket.heard.push(data);
    const { detail } = await once(socket, "emulation:transport");
    if (!socket.readyState) await once(socket, "open");
    const [{ nextHopProtocol }] = performance.getEntriesByType("navigation");
    return [nextHopProtocol, detail.transport];
}"""


async def test_over_one_connection_each_tab_has_a_place(
    browser: Browser, certificate: Path
) -> None:
    """The requests of HTTP/2 share a connection: a seventh that is parked keeps nobody waiting."""
    with running(APPLICATION, "hypercorn", certificate=certificate) as server:
        url = server.url + "/files/frame.html"
        with anyio.fail_after(TIMEOUT):
            context = await profile(browser, ["stream", "poll"])
            try:
                tabs = [await new_tab(context, url) for _ in range(TABS)]
                for tab in tabs:
                    assert await tab.evaluate(TRANSPORT) == ["h2", "stream"]
                for tab in tabs:
                    assert await tab.evaluate("echo(socket, 'still')") == "still"
            finally:
                await context.close()
