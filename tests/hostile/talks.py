"""Talk from Chromium through a laboratory, and compare what both sides saw."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page

from tests.support import recorded
from tests.support.browser import new_page
from tests.support.numbered import Sender, message

SCRIPT = Path(__file__).parent / "talk.js"
LEAD = 64
EXCHANGE = "options => new Promise((done) => exchange(options, done))"


async def time_to_echo(page: Page, server_url: str) -> tuple[float, str | None]:
    """Return the seconds to the first echo, and the transport on which the application started."""
    token = secrets.token_hex(8)
    took = await milliseconds_to_echo(page, token)
    [start] = await recorded.starts(server_url, token)
    return took / 1000, start["transport"]


async def milliseconds_to_echo(page: Page, token: str) -> float:
    took: float = await page.evaluate(
        "path => new Promise((done, fail) => timeToEcho(path, done, fail))", f"/echo?token={token}"
    )
    return took


class Held:
    """A socket of a page to the echo, which stays."""

    def __init__(self, page: Page, server_url: str) -> None:
        self.page = page
        self.server_url = server_url
        self.token = secrets.token_hex(8)

    async def open(self, path: str = "/echo") -> None:
        script = "path => new Promise((done, fail) => hold(path, done, fail))"
        await self.page.evaluate(script, f"{path}?token={self.token}")

    async def say(self, text: str = "hello") -> None:
        """Send a text, whose echo has to come."""
        said = "text => new Promise((done) => say(text, done))"
        assert await self.page.evaluate(said, text) == text

    async def transport(self) -> str:
        """Return the transport that serves the socket, for which the application started once."""
        [start] = await recorded.starts(self.server_url, self.token)
        return str(start["transport"])

    async def closed(self) -> int:
        """Wait for the close and return its code."""
        handle = await self.page.wait_for_function("() => self.closeCode")
        code: int = await handle.json_value()
        return code


@asynccontextmanager
async def holding(
    browser: Browser, server_url: str, lab_url: str, transports: Sequence[str] | None = None
) -> AsyncIterator[Held]:
    """Hold a socket of a new page, which has had an echo through the laboratory."""
    async with new_page(browser, transports=transports, script=SCRIPT) as page:
        await page.goto(lab_url)
        held = Held(page, server_url)
        await held.open()
        await held.say()
        yield held


async def converse(page: Page, server_url: str, count: int) -> list[str]:
    """Exchange `count` numbered messages each way and close.

    Returns the transports that the application saw. Raises AssertionError unless both sides have
    had all of them, unaltered, and the same close, from one start.
    """
    token = secrets.token_hex(8)
    outcome: dict[str, Any] = await page.evaluate(
        EXCHANGE,
        {
            "path": f"/numbered?n={count}&token={token}",
            "ours": messages("page", count),
            "theirs": messages("server", count),
            "lead": LEAD,
        },
    )
    starts = await recorded.starts(server_url, token)
    transports: list[str] = outcome.pop("transports")
    assert outcome == {
        "received": count,
        "altered": 0,
        "first": "",
        "close": [4000, "complete", True],
    }
    assert len(starts) == 1
    [disconnect] = await recorded.disconnects(server_url, token)
    assert (disconnect["code"], disconnect["received"]) == (4000, count)
    return transports


def messages(sender: Sender, count: int) -> list[tuple[bool, str]]:
    """Return messages 1 to `count` as talk.js takes them."""
    numbered = [message(sender, number) for number in range(1, count + 1)]
    return [
        (False, each) if isinstance(each, str) else (True, each.decode("latin-1"))
        for each in numbered
    ]
