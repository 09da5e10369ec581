"""A development server of Vite's: its own socket and ours, on one origin."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from playwright.async_api import Browser, expect

from tests.gateway.processes import free_port, running
from tests.support import recorded
from tests.support.browser import new_page
from tests.support.servers import Servers

pytestmark = [pytest.mark.browser, pytest.mark.integration]

HERE = Path(__file__).parent
EMULATED = "tests.apps.emulated.pages_app:app"
TIMEOUT = 60
ECHO = """async (token) => {
    const socket = new WebSocket(`${location.origin.replace("http", "ws")}/echo?token=${token}`);
    await new Promise((resolve) => (socket.onopen = resolve));
    socket.send("through Vite");
    const { data } = await new Promise((resolve) => (socket.onmessage = resolve));
    return data;
}"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return Path(shutil.copytree(HERE / "vite", tmp_path / "project"))


@pytest.fixture
def vite(servers: Servers, project: Path) -> Iterator[str]:
    """Return the URL of a development server of `project` in front of ours."""
    server = HERE / "vite" / "server.mjs"
    command = ["node", str(server), str(project), servers.get(EMULATED).url, str(free_port())]
    with running(command) as process:
        yield process.wait_for(r"http://127\.0\.0\.1:[0-9]+")[0]


@pytest.mark.parametrize(
    "transport", ["websocket", pytest.param("stream", marks=pytest.mark.full), "poll"]
)
async def test_both_sockets_work(
    servers: Servers, browser: Browser, vite: str, project: Path, transport: str
) -> None:
    token = secrets.token_hex(8)
    with anyio.fail_after(TIMEOUT):
        # What goes by itself is the page of a developer; the others are restricted.
        transports = None if transport == "websocket" else [transport]
        async with new_page(browser, transports=transports) as page:
            lines: list[str] = []
            page.on("console", lambda message: lines.append(message.text))
            # A server that starts transforms modules first, and reloads the page when it is done.
            await page.goto(vite)
            await expect(page.locator("body")).to_have_text("first", timeout=TIMEOUT * 1000)
            while "[vite] connected." not in lines:
                await page.wait_for_event("console", timeout=TIMEOUT * 1000)
            await page.evaluate("{ self.isSamePage = true; }")
            assert await page.evaluate(ECHO, token) == "through Vite"
            # In one write, over a shorter text: Vite reads a file as soon as it changes.
            with (project / "text.js").open("r+") as file:
                file.write("export const text = 'second';\n")
            await expect(page.locator("body")).to_have_text("second", timeout=TIMEOUT * 1000)
            assert await page.evaluate("isSamePage")
    [start] = await recorded.starts(servers.get(EMULATED).url, token)
    assert start["transport"] == transport
