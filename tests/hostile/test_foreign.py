"""Upgrades that others answer, in a page that allows no transport but the native WebSocket."""

from __future__ import annotations

from dataclasses import dataclass

import anyio
import pytest
from playwright.async_api import Browser

from emulation_server.lab.faults import Portal
from emulation_server.lab.relay import Exchange
from tests.hostile import talks
from tests.support.browser import new_page
from tests.support.faults import LabBefore
from tests.support.servers import Servers

pytestmark = [pytest.mark.browser, pytest.mark.integration]

APPLICATION = "tests.hostile.app:default"
TIMEOUT = 40
TRIES = 3  # after which a page takes its socket for a plain one, where nothing else was seen


@dataclass(kw_only=True, eq=False)
class FirstUpgrades(Portal):
    """Answer the first upgrades that are marked as ours; the plain ones pass."""

    count: int
    only: str = r"emulation=ws\."

    def selects(self, exchange: Exchange) -> bool:
        return super().selects(exchange) and self.matches <= self.count


@pytest.mark.parametrize("status", [200, 502])
async def test_a_foreign_answer_makes_no_plain_socket(
    servers: Servers, browser: Browser, lab_before: LabBefore, status: int
) -> None:
    server = servers.get(APPLICATION)
    lab = lab_before(server.url, FirstUpgrades(count=TRIES - 1, status=status))
    with anyio.fail_after(TIMEOUT):
        async with talks.holding(browser, server.url, lab.url, ["websocket"]) as held:
            assert await held.transport() == "websocket"


async def test_a_plain_socket_says_nothing_of_the_next_one(
    servers: Servers, browser: Browser, lab_before: LabBefore
) -> None:
    """The server may have been away for a moment, and no answer of an upgrade can be read."""
    server = servers.get(APPLICATION)
    lab = lab_before(server.url, FirstUpgrades(count=TRIES, status=502))
    with anyio.fail_after(TIMEOUT):
        async with new_page(browser, transports=["websocket"], script=talks.SCRIPT) as page:
            await page.goto(lab.url)
            for transport in ("None", "websocket"):
                held = talks.Held(page, server.url)
                await held.open()
                await held.say()
                assert await held.transport() == transport


async def test_where_one_socket_is_ours_the_others_are(
    servers: Servers, browser: Browser, lab_before: LabBefore
) -> None:
    server = servers.get(APPLICATION)
    lab = lab_before(server.url)
    with anyio.fail_after(TIMEOUT):
        async with new_page(browser, transports=["websocket"], script=talks.SCRIPT) as page:
            await page.goto(lab.url)
            for mode in (FirstUpgrades(count=0), FirstUpgrades(count=TRIES + 1, status=502)):
                lab.set_mode(mode)
                held = talks.Held(page, server.url)
                await held.open()
                await held.say()
                assert await held.transport() == "websocket"
