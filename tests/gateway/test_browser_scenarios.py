"""The browser's scenarios in Chromium, through the gateway to backends that know nothing of it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable

import anyio
import pytest
from playwright.async_api import Browser, Page

from tests.browser.test_scenarios import RUN, SCENARIOS, SCRIPT
from tests.support import recorded
from tests.support.browser import IS_NATIVE, chromium, new_page
from tests.support.client import NATIVE, TRANSPORTS

pytestmark = [pytest.mark.browser, pytest.mark.integration]

TIMEOUT = 60

# What every run plays, the shim's own choice apart; the others are for the long run.
QUICK = {("python", "poll"), ("node", "stream")}


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as launched:
        yield launched


def marks(kind: str, transport: str) -> list[pytest.MarkDecorator]:
    group = pytest.mark.xdist_group(f"gateway-{kind}")
    return [group] if (kind, transport) in QUICK else [group, pytest.mark.full]


@pytest.mark.parametrize(
    ("kind", "transport"),
    [
        pytest.param(kind, transport, marks=marks(kind, transport))
        for kind in ("python", "node")
        for transport in TRANSPORTS
    ],
)
async def test_scenarios(
    browser: Browser, behind: Callable[[str], tuple[str, str]], kind: str, transport: str
) -> None:
    front, backend = behind(kind)
    transports = None if transport == NATIVE else [transport]
    async with new_page(browser, transports=transports, script=SCRIPT) as page:
        for scenario in SCENARIOS:
            token = secrets.token_hex(8)
            with anyio.fail_after(TIMEOUT):
                await page.context.clear_cookies()
                await open_page(page, front, is_native=transport == NATIVE)
                print(scenario)
                sockets = await page.evaluate(RUN, [scenario, token])
                starts = await recorded.starts(backend, token)
            # Whether the backend had been asked by then is a race.
            is_race = scenario == "client_closes_while_connecting"
            assert len(starts) == sockets or (is_race and not starts), scenario


async def open_page(page: Page, front: str, *, is_native: bool) -> None:
    """Open a page of the gateway's origin: any, for it has none of its own."""
    await page.goto(front + "/a-page")
    if not is_native:
        await page.add_script_tag(url=front + "/emulation.js")
    assert await page.evaluate(IS_NATIVE) is is_native
