"""Pages of another origin than the gateway's, in Chromium: as a native WebSocket has it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest
from playwright.async_api import Browser

from tests.gateway import processes
from tests.support.browser import IS_NATIVE, chromium, new_page
from tests.support.client import NATIVE, TRANSPORTS
from tests.support.servers import Servers

pytestmark = [
    pytest.mark.integration,
    pytest.mark.browser,
    pytest.mark.xdist_group("gateway-cross-origin"),
]

PAGES = "tests.gateway.pages:app"
TIMEOUT = 30

# Let the backend set cookies, then ask which ones come back with the next socket.
ASK = """(base) => new Promise((resolve) => {
  const first = new WebSocket(base + "/cookies");
  first.onclose = (event) => resolve(event.code);
  first.onopen = () => {
    first.onclose = () => {
      const second = new WebSocket(base + "/headers");
      second.onmessage = (event) => {
        const scope = JSON.parse(event.data);
        resolve([scope.cookies, Object.fromEntries(scope.headers).origin]);
        second.close();
      };
      second.onclose = (event) => resolve(event.code);
    };
    first.close();
  };
})"""


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as launched:
        yield launched


@pytest.fixture(scope="module")
def places(servers: Servers) -> Iterator[dict[str, str]]:
    """Yield the gateway and pages: of its host, of another one, and of one not allowed."""
    port = urlsplit(servers.get(PAGES).url).port
    pages = {
        "another port": f"http://127.0.0.1:{port}",
        "another site": f"http://localhost:{port}",
        "not allowed": f"http://stranger.localhost:{port}",
    }
    with processes.python("tests.gateway.websockets_backend") as backend:
        origins = ("--origin", pages["another port"], "--origin", pages["another site"])
        with processes.gateway(backend.replace("http:", "ws:"), *origins) as (front, _):
            yield {"gateway": front, **pages}


async def ask(browser: Browser, places: dict[str, str], where: str, transport: str) -> Any:
    transports = None if transport == NATIVE else [transport]
    async with new_page(browser, transports=transports) as page:
        with anyio.fail_after(TIMEOUT):
            await page.goto(places[where] + "/scenario.js")
            if transport != NATIVE:
                await page.add_script_tag(url=places["gateway"] + "/emulation.js")
            assert await page.evaluate(IS_NATIVE) is (transport == NATIVE)
            return await page.evaluate(ASK, places["gateway"].replace("http:", "ws:"))


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_page_on_another_port(
    browser: Browser, places: dict[str, str], transport: str
) -> None:
    """The same site: all cookies of the host go with it."""
    cookies, origin = await ask(browser, places, "another port", transport)
    assert cookies == {"near": "yes", "far": "yes"}
    assert origin == places["another port"]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_page_of_another_site(
    browser: Browser, places: dict[str, str], transport: str
) -> None:
    """What cookies go with it is the browser's policy: some keep those of third parties back."""
    cookies, origin = await ask(browser, places, "another site", transport)
    natively, _ = await ask(browser, places, "another site", NATIVE)
    assert cookies == natively and "near" not in cookies
    assert origin == places["another site"]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_page_that_is_not_allowed(
    browser: Browser, places: dict[str, str], transport: str
) -> None:
    assert await ask(browser, places, "not allowed", transport) == 1006
