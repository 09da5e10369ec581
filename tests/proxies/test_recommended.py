"""Through each proxy as we recommend it, everything passes, and the page chooses a WebSocket."""

from __future__ import annotations

import anyio
import pytest
from playwright.async_api import Browser

from emulation.testing import TRANSPORTS
from tests.hostile import talks as pages
from tests.proxies import talks
from tests.proxies.authority import Authority
from tests.proxies.forward import HTTPS
from tests.proxies.reverse import RECOMMENDED, TLS
from tests.proxies.running import Proxy, running
from tests.support.browser import new_page
from tests.support.servers import Servers

pytestmark = pytest.mark.integration

APPLICATION = "tests.proxies.app:default"
COUNT = 200
TIMEOUT = 60
ECHO_LIMIT = 4.0  # seconds

# It tells the server nothing of its client.
SILENT = ("mitmproxy",)

with_each_transport = pytest.mark.parametrize(
    "transport",
    [
        pytest.param(name, marks=[] if name in ("websocket", "poll") else [pytest.mark.full])
        for name in TRANSPORTS
    ],
)


@with_each_transport
@pytest.mark.parametrize("name", RECOMMENDED)
async def test_messages_and_the_client(servers: Servers, name: str, transport: str) -> None:
    server = servers.get(APPLICATION)
    with running(RECOMMENDED[name], [server.port]) as proxy, anyio.fail_after(TIMEOUT):
        await talks.converse(proxy.url, server.url, transport, COUNT)
        await check_client(proxy, transport, is_told=name not in SILENT)


@with_each_transport
@pytest.mark.parametrize("name", TLS)
async def test_messages_over_tls(
    servers: Servers, authority: Authority, name: str, transport: str
) -> None:
    server = servers.get(APPLICATION)
    certificate = authority.certificate
    with (
        running(TLS[name], [server.port], certificate=certificate) as proxy,
        anyio.fail_after(TIMEOUT),
    ):
        await talks.converse(proxy.url, server.url, transport, COUNT, authority.context)
        await check_client(proxy, transport, authority)


async def check_client(
    proxy: Proxy, transport: str, authority: Authority | None = None, *, is_told: bool = True
) -> None:
    """Check what the application is told of its client."""
    scope = await talks.scope_of(proxy.url, transport, authority and authority.context)
    assert scope["cookies"] == {"taste": "sweet", "size": "small"}
    assert dict(scope["headers"])["host"] == f"127.0.0.1:{proxy.site.port}"
    assert scope["scheme"] == ("ws" if authority is None else "wss")
    if is_told:
        # uvicorn gives a client that a proxy has told of no port.
        assert scope["client"] == ["127.0.0.1", 0]


@pytest.mark.browser
@pytest.mark.parametrize("name", RECOMMENDED)
async def test_chromium_chooses_a_websocket(servers: Servers, browser: Browser, name: str) -> None:
    server = servers.get(APPLICATION)
    with running(RECOMMENDED[name], [server.port]) as proxy, anyio.fail_after(TIMEOUT):
        async with new_page(browser, script=pages.SCRIPT) as page:
            await page.goto(proxy.url)
            seconds, winner = await pages.time_to_echo(page, server.url)
            assert winner == "websocket"
            assert seconds < ECHO_LIMIT
            assert await pages.converse(page, server.url, COUNT) == ["websocket"]


@pytest.mark.browser
@pytest.mark.parametrize(
    "transport",
    [None, *(pytest.param(name, marks=pytest.mark.full) for name in TRANSPORTS[1:])],
)
@pytest.mark.parametrize("name", TLS)
async def test_chromium_over_http_2(
    servers: Servers, browser: Browser, authority: Authority, name: str, transport: str | None
) -> None:
    server = servers.get(APPLICATION)
    transports = None if transport is None else [transport]
    certificate = authority.certificate
    with (
        running(TLS[name], [server.port], certificate=certificate) as proxy,
        anyio.fail_after(TIMEOUT),
    ):
        async with new_page(
            browser, transports=transports, script=pages.SCRIPT, ignore_https_errors=True
        ) as page:
            await page.goto(proxy.url)
            entries = "performance.getEntriesByType('navigation')"
            assert await page.evaluate(f"{entries}[0].nextHopProtocol") == "h2"
            assert await pages.converse(page, server.url, COUNT) == [transport or "websocket"]


@pytest.mark.browser
@pytest.mark.parametrize("name", HTTPS)
async def test_chromium_connects_through_a_forward_proxy(
    servers: Servers, browser: Browser, authority: Authority, name: str
) -> None:
    server = servers.get(APPLICATION)
    certificate = authority.certificate
    with (
        running(TLS["HAProxy"], [server.port], certificate=certificate) as origin,
        running(HTTPS[name], [origin.site.port]) as proxy,
        anyio.fail_after(TIMEOUT),
    ):
        # Chromium goes to loopback addresses without a proxy unless it is told otherwise.
        settings = {"server": proxy.url, "bypass": "<-loopback>"}
        async with new_page(
            browser, script=pages.SCRIPT, ignore_https_errors=True, proxy=settings
        ) as page:
            await page.goto(origin.url)
            seconds, winner = await pages.time_to_echo(page, server.url)
            assert winner == "websocket"
            assert seconds < ECHO_LIMIT
            assert await pages.converse(page, server.url, COUNT) == ["websocket"]
            log = proxy.log()
    assert str(origin.site.port) in log
