"""The examples of the gateway in Chromium, native WebSocket taken away or not."""

from __future__ import annotations

import functools
import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.gateway import processes
from tests.support.browser import chromium, new_page
from tests.support.servers import ROOT

pytestmark = [
    pytest.mark.integration,
    pytest.mark.browser,
    pytest.mark.xdist_group("gateway-examples"),
]

EXAMPLES = ROOT / "examples"
TIMEOUT_MS = 20_000

MISSING = {"emulated": ["WebSocket"], "as it is": []}


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as launched:
        yield launched


@pytest.fixture(scope="module")
def chat() -> Iterator[str]:
    """Yield the address of the chat's page, which connects to a gateway."""
    with processes.node(EXAMPLES / "gateway_node" / "server.js") as url:
        with processes.gateway(url.replace("http:", "ws:")) as (front, _):
            yield f"{url}/?gateway={front}"


@pytest.fixture(scope="module")
def mqtt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of the page with MQTT.js, which connects to a gateway."""
    directory = tmp_path_factory.mktemp("mqtt")
    shutil.copy(EXAMPLES / "gateway_mqtt" / "index.html", directory)
    (directory / "node_modules").symlink_to(Path(__file__).parent / "node_modules")
    with ExitStack() as stack:
        broker = stack.enter_context(processes.nats(directory))
        front, _ = stack.enter_context(processes.gateway("--route", f"/mqtt={broker}"))
        yield f"{stack.enter_context(files(directory))}/?gateway={front}"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


class files:
    """Serve a directory on a free port for the length of a with block."""

    def __init__(self, directory: Path) -> None:
        handler = functools.partial(_Quiet, directory=str(directory))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)

    def __enter__(self) -> str:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


async def say(page: Page, words: str) -> None:
    await page.fill("input", words)
    await page.click("button")


async def shows(page: Page, text: str) -> None:
    line = page.locator("li", has_text=text)
    await expect(line).to_have_count(1, timeout=TIMEOUT_MS)


@pytest.mark.parametrize("how", MISSING)
async def test_chat_on_node(browser: Browser, chat: str, how: str) -> None:
    async with new_page(browser, missing=MISSING[how]) as page, new_page(browser) as other:
        for opened in (page, other):
            await opened.goto(chat)
            await shows(opened, "open")
        await say(page, f"hello, {how}")
        for opened in (page, other):
            await shows(opened, f"hello, {how}")


@pytest.mark.parametrize("how", MISSING)
async def test_mqtt(browser: Browser, mqtt: str, how: str) -> None:
    async with new_page(browser, missing=MISSING[how]) as page, new_page(browser) as other:
        for opened in (page, other):
            await opened.goto(mqtt)
            await shows(opened, "subscribed")
        await say(page, f"hello, {how}")
        for opened in (page, other):
            await shows(opened, f"example/words: hello, {how}")


def test_broker_of_the_example_starts(tmp_path: Path) -> None:
    configuration = (EXAMPLES / "gateway_mqtt" / "broker.conf").read_text()
    path = tmp_path / "broker.conf"
    path.write_text(configuration.replace("/tmp/gateway-mqtt-example", str(tmp_path)))
    command = [processes.program("nats-server"), "-t", "-c", str(path)]
    with processes.running(command) as process:
        assert process.popen.wait(10) == 0, process.log()
