"""Client libraries, unmodified and given our class, each doing what it exists for.

That of GraphQL has its test in tests/integration.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from playwright.async_api import Browser, Page

from tests.support import recorded
from tests.support.browser import new_page
from tests.support.client import NATIVE
from tests.support.package import run
from tests.support.servers import Servers, running

# One worker bundles and packs once.
pytestmark = [
    pytest.mark.browser,
    pytest.mark.integration,
    pytest.mark.xdist_group("npm"),
]

HERE = Path(__file__).parent
BARE = "tests.apps.library_app:app"
EMULATED = "tests.apps.emulated.library_app:app"
GRAPHQL = "tests.apps.emulated.graphql_app:app"
TIMEOUT = 60
TRANSPORTS = [NATIVE, "poll", "sse", "stream"]

LOG = ["open", "first", 1012, "open", "second", 1011, "open", "third"]
SCENARIOS: dict[str, Any] = {
    "reconnecting_websocket": LOG,
    "partysocket": {"code": 4001, "reason": "kicked", "heard": ["hello", "back again"]},
    "rpc_websockets": {"sums": [3, 6, 9], "failure": -32601, "ticks": [1, 2, 3, 4, 5]},
}
HEARD = [
    ["/kept", "retained"],
    ["/qos0", "words"],
    ["/qos1", "words"],
    ["/large", 200_000],
    ["/will", "gone"],
]
CONNECT = """() => {
    self.connection = reconnecting(Libraries.ReconnectingWebSocket, "killed");
    self.lost = new Promise((resolve) => connection.socket.addEventListener("close", resolve));
}"""
RUN = "([name, token]) => scenarios[name](token)"


@asynccontextmanager
async def page_with(
    browser: Browser, url: str, libraries: Path, transport: str
) -> AsyncIterator[Page]:
    """Yield a page of `url` with the libraries, and a WebSocket over `transport`."""
    is_native = transport == NATIVE
    async with new_page(
        browser,
        missing=() if is_native else ("WebSocket",),
        transports=None if is_native else [transport],
    ) as page:
        await page.goto(url)
        await page.add_script_tag(path=libraries)
        yield page


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_library(
    servers: Servers, browser: Browser, libraries: Path, scenario: str, transport: str
) -> None:
    is_native = transport == NATIVE
    server = servers.get(BARE if is_native else EMULATED)
    token = secrets.token_hex(8)
    with anyio.fail_after(TIMEOUT):
        async with page_with(browser, server.url, libraries, transport) as page:
            result = await page.evaluate(RUN, [scenario, token])
        starts = await recorded.starts(server.url, token)
    expected = SCENARIOS[scenario]
    if is_native and expected is LOG:
        # uvicorn cuts the connection of an application that raises.
        expected = [1006 if entry == 1011 else entry for entry in LOG]
    assert result == expected
    assert {start["transport"] for start in starts} == {None if is_native else transport}


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_mqtt_js(browser: Browser, broker: str, libraries: Path, transport: str) -> None:
    token = secrets.token_hex(8)
    with anyio.fail_after(TIMEOUT):
        # Any document of the gateway's origin.
        url = f"{broker}/emulation.js"
        async with page_with(browser, url, libraries, transport) as page:
            if transport != NATIVE:
                await page.add_script_tag(url=url)
            assert await page.evaluate(RUN, ["mqtt", token]) == HEARD


@pytest.mark.parametrize("transport", ["poll", "stream"])
async def test_connection_is_there_again_after_the_server_was_killed(
    browser: Browser, libraries: Path, transport: str
) -> None:
    with anyio.fail_after(TIMEOUT):
        with running(EMULATED) as server:
            async with page_with(browser, server.url, libraries, transport) as page:
                await page.evaluate(CONNECT)
                await page.evaluate("echo(connection, 'before')")
                server.kill()
                with running(EMULATED, arguments=["--port", str(server.port)]):
                    await page.evaluate("lost.then(() => undefined)")
                    log = await page.evaluate("echo(connection, 'after')")
                    await page.evaluate("connection.socket.close()")
    assert log == ["open", "before", 1006, "open", "after"]


@pytest.mark.parametrize("transport", ["poll", "stream"])
def test_libraries_in_node(servers: Servers, installed: Path, transport: str) -> None:
    for library in ("partysocket", "reconnecting-websocket", "event-target-polyfill"):
        link = installed / "node_modules" / library
        if not link.exists():
            link.symlink_to(HERE.parent / "npm" / "node_modules" / library)
    shutil.copy(HERE / "node.mjs", installed)
    urls = [servers.get(application).url for application in (EMULATED, GRAPHQL)]
    command: list[str | Path] = ["node", "node.mjs", *urls, transport, secrets.token_hex(8)]
    printed = json.loads(run(command, installed, TIMEOUT))
    assert printed == {
        "reconnecting-websocket": ["first", 1012, "second"],
        "partysocket": ["first", 1012, "second"],
        "graphql-ws": list(range(1, 51)),
    }
