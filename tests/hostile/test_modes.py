"""Behind each hostile intermediary the page's own choice finds the transport that works there."""

from __future__ import annotations

import datetime
import subprocess
from pathlib import Path
from typing import NamedTuple

import anyio
import pytest
from playwright.async_api import Browser
from playwright.async_api import Error as PageError

from emulation.testing import TRANSPORTS
from emulation_server.lab import INTERMEDIARIES
from tests.hostile import talks
from tests.support.browser import new_page
from tests.support.faults import LabBefore
from tests.support.servers import Servers

pytestmark = [pytest.mark.browser, pytest.mark.integration]

APPLICATION = "tests.hostile.app:default"
DOCUMENT = Path(__file__).parents[2] / "docs" / "intermediaries.md"
COUNT = 200
TIMEOUT = 60
ECHO_LIMIT = 8.0  # seconds

# What each intermediary lets through: a tunnel, else answers that are under way, else whole ones.
WINNERS = {
    "strip": "stream",
    "blind101": "stream",
    "blind101bad": "stream",
    "blackhole": "stream",
    "httpbytes": "poll",
    "buffer": "poll",
    "buffer4k": "poll",
    "cacheall": "stream",  # which is a POST
    "cachepath": "stream",
    "http10": "stream",
    "idlekill": "websocket",
    "maxdur": "websocket",
    "retry": "stream",
    "dup": "stream",
    "nochunk": "stream",
    "halfopen": "websocket",
    "gzip": "stream",  # "poll" for an answer that does not say identity; ours does
    "striphdr": "websocket",
    "reorder": "websocket",
    "getpost": "websocket",
    "limit2k": "websocket",
    "swallow": "stream",
}


def test_every_intermediary_has_a_winner() -> None:
    assert set(WINNERS) == set(INTERMEDIARIES)


@pytest.mark.parametrize("mode", WINNERS)
async def test_winner(servers: Servers, browser: Browser, lab_before: LabBefore, mode: str) -> None:
    server = servers.get(APPLICATION)
    lab = lab_before(server.url, mode)
    with anyio.fail_after(TIMEOUT):
        async with new_page(browser, script=talks.SCRIPT) as page:
            await page.goto(lab.url)
            seconds, winner = await talks.time_to_echo(page, server.url)
            print(f"{mode}: {winner} echoes after {seconds:.2f} s")
            assert winner == WINNERS[mode]
            assert seconds < ECHO_LIMIT
            assert await talks.converse(page, server.url, COUNT) == [winner]


class Cell(NamedTuple):
    """What came of one intermediary and the transport that was tried first."""

    mode: str
    first: str
    winner: str
    echo: str  # seconds
    outcome: str


@pytest.mark.full
@pytest.mark.alone
@pytest.mark.timeout(1500)
async def test_every_intermediary_with_every_transport_first(
    servers: Servers, browser: Browser, lab_before: LabBefore
) -> None:
    server = servers.get(APPLICATION)
    cells = []
    for mode in INTERMEDIARIES:
        for first in TRANSPORTS:
            cells.append(await try_first(server.url, browser, lab_before, mode, first))
    DOCUMENT.write_text(document(cells))
    assert [cell for cell in cells if cell.outcome != "nothing"] == []


async def try_first(
    server_url: str, browser: Browser, lab_before: LabBefore, mode: str, first: str
) -> Cell:
    lab = lab_before(server_url, mode)
    order = [first, *(name for name in TRANSPORTS if name != first)]
    winner, echo = "none", "none"
    try:
        with anyio.fail_after(TIMEOUT):
            async with new_page(browser, transports=order, script=talks.SCRIPT) as page:
                await page.goto(lab.url)
                seconds, transport = await talks.time_to_echo(page, server_url)
                winner, echo = str(transport), f"{seconds:.2f}"
                await talks.converse(page, server_url, COUNT)
    except (AssertionError, PageError, TimeoutError) as error:
        print(f"{mode}, {first} first: {error!r}")
        return Cell(mode, first, winner, echo, "failed")
    return Cell(mode, first, winner, echo, "nothing")


def document(cells: list[Cell]) -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    rows = [f"| {' | '.join(cell)} |" for cell in cells]
    return "\n".join(
        [
            "# Intermediaries",
            "",
            f"Measured on {datetime.date.today()} at {commit} in headless Chromium.",
            "A page opens a socket through each hostile intermediary of the laboratory, with each",
            "transport tried first, the others behind it in their usual order. The time is from",
            "the constructor to the echo of a message sent in `onopen`; the browser remembers",
            f"nothing. Then {COUNT} numbered messages go each way, and it is counted what is lost,",
            "duplicated or altered, and that the application is started once.",
            "",
            "| intermediary | tried first | winner | echo (s) | lost, duplicated, altered |",
            "|---|---|---|---:|---|",
            *rows,
            "",
        ]
    )
