"""A page that came over TLS, and sockets whose URL says `ws:`; native as the control."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from playwright.async_api import Browser, Page

from tests.support.browser import chromium
from tests.support.servers import Server, Servers, running

pytestmark = [pytest.mark.browser, pytest.mark.integration]

BARE = "tests.apps.pages_app:app"
EMULATED = "tests.apps.emulated.pages_app:app"
TIMEOUT = 60
# Addresses of this machine are trusted by their names: mixed content needs another one.
HOST = "page.test"

# What comes of a socket: the constructor's exception, the echo, or the events of its failure.
OUTCOME = """(url) => new Promise((resolve) => {
    const types = [];
    let socket;
    try {
        socket = new WebSocket(url);
    } catch (error) {
        return resolve(error.name);
    }
    socket.onopen = () => socket.send("echo");
    socket.onmessage = ({ data, origin }) => resolve([data, socket.url, origin]);
    socket.onerror = () => types.push("error");
    socket.onclose = ({ code }) => resolve([...types, code]);
})"""


@pytest.fixture(scope="module")
def secure(certificate: Path) -> Iterator[Server]:
    with running(EMULATED, certificate=certificate) as server:
        yield server


@pytest.fixture
async def named() -> AsyncIterator[Browser]:
    """Yield a browser that finds a host of another name on this machine."""
    async with chromium(f"--host-resolver-rules=MAP {HOST} 127.0.0.1") as browser:
        yield browser


@asynccontextmanager
async def opened(
    browser: Browser, server: Server, settings: Mapping[str, Any] | None
) -> AsyncIterator[Page]:
    """Yield a page of the server; with `settings` it has our class, without the native one."""
    with anyio.fail_after(TIMEOUT):
        context = await browser.new_context(ignore_https_errors=True)
        try:
            if settings is not None:
                given = json.dumps(settings)
                await context.add_init_script(f"self.WebSocketEmulation = {given};")
            page = await context.new_page()
            page.on("console", lambda message: print(f"console.{message.type}: {message.text}"))
            name = "blank" if settings is None else "frame"
            await page.goto(f"https://{HOST}:{server.port}/files/{name}.html")
            yield page
        finally:
            await context.close()


async def test_insecure_url_on_a_secure_page(
    servers: Servers, named: Browser, secure: Server
) -> None:
    """Such a URL is for the native class, as long as the page does not list it."""
    url = f"ws://{HOST}:{servers.get(BARE).port}/echo"
    own = f"ws://{HOST}:{secure.port}/echo"
    found = []
    given: tuple[dict[str, Any] | None, ...] = (None, {})
    for settings in given:
        async with opened(named, secure, settings) as page:
            found.append([await page.evaluate(OUTCOME, one) for one in (url, own)])
    assert found == [["SecurityError", "SecurityError"]] * 2


@pytest.mark.parametrize("transports", [[], ["websocket"], ["stream"], ["poll"]])
async def test_insecure_url_with_a_secure_server(
    named: Browser, secure: Server, transports: list[str]
) -> None:
    """What counts is where the requests go: the URL stays the page's."""
    origin = f"ws://{HOST}:{secure.port}"
    settings = {"transports": transports, "origins": [f"{origin}=wss://{HOST}:{secure.port}"]}
    async with opened(named, secure, settings) as page:
        assert await page.evaluate(OUTCOME, f"{origin}/echo") == ["echo", f"{origin}/echo", origin]


@pytest.mark.parametrize("transports", [[], ["websocket"], ["stream"], ["poll"]])
async def test_insecure_url_with_an_insecure_server(
    servers: Servers, named: Browser, secure: Server, transports: list[str]
) -> None:
    """It is for the native class, too, and so is the next one."""
    origin = f"ws://{HOST}:{servers.get(EMULATED).port}"
    settings = {"transports": transports, "origins": [origin]}
    async with opened(named, secure, settings) as page:
        for _ in range(2):
            assert await page.evaluate(OUTCOME, f"{origin}/echo") == "SecurityError"
