"""Behind each hostile intermediary the page's own choice finds the transport that works there."""

from __future__ import annotations

import anyio
import pytest
from playwright.async_api import Browser

from emulation.testing import TRANSPORTS
from emulation_server.lab import INTERMEDIARIES
from tests.hostile import talks
from tests.hostile.winners import BLOCKED, first, winner
from tests.support.browser import new_page
from tests.support.faults import LabBefore
from tests.support.servers import Servers

pytestmark = [pytest.mark.browser, pytest.mark.integration]

APPLICATION = "tests.hostile.app:default"
COUNT = 200
TIMEOUT = 60
ECHO_LIMIT = 8.0  # seconds; what is promised, 4, is for a machine that does nothing else


def test_every_intermediary_has_a_winner() -> None:
    assert set(BLOCKED) == set(INTERMEDIARIES)


@pytest.mark.parametrize("mode", BLOCKED)
async def test_winner(servers: Servers, browser: Browser, lab_before: LabBefore, mode: str) -> None:
    server = servers.get(APPLICATION)
    lab = lab_before(server.url, mode)
    with anyio.fail_after(TIMEOUT):
        async with new_page(browser, script=talks.SCRIPT) as page:
            await page.goto(lab.url)
            seconds, won = await talks.time_to_echo(page, server.url)
            print(f"{mode}: {won} echoes after {seconds:.2f} s")
            assert won == winner(mode)
            assert seconds < ECHO_LIMIT
            assert await talks.converse(page, server.url, COUNT) == [won]


async def test_streams_that_are_held_to_be_compressed_are_given_up(
    servers: Servers, browser: Browser, lab_before: LabBefore
) -> None:
    """Also where the answer says that it has no encoding, which mod_deflate is not told by."""
    server = servers.get(APPLICATION)
    lab = lab_before(server.url, "gzip", identity=True)
    with anyio.fail_after(TIMEOUT):
        async with new_page(browser, script=talks.SCRIPT) as page:
            await page.goto(lab.url)
            seconds, won = await talks.time_to_echo(page, server.url)
            assert (won, seconds < ECHO_LIMIT) == ("poll", True)
            assert await talks.converse(page, server.url, COUNT) == ["poll"]
            assert lab.counts["compressed"] > 2


@pytest.mark.parametrize(
    ("mode", "transport"),
    [(mode, TRANSPORTS[number % len(TRANSPORTS)]) for number, mode in enumerate(BLOCKED)],
)
async def test_winner_after_another_was_tried_first(
    servers: Servers, browser: Browser, lab_before: LabBefore, mode: str, transport: str
) -> None:
    server = servers.get(APPLICATION)
    lab = lab_before(server.url, mode)
    order = first(transport)
    with anyio.fail_after(TIMEOUT):
        async with new_page(browser, transports=order, script=talks.SCRIPT) as page:
            await page.goto(lab.url)
            seconds, won = await talks.time_to_echo(page, server.url)
            assert won == winner(mode, order)
            assert seconds < ECHO_LIMIT
            assert await talks.converse(page, server.url, COUNT) == [won]
