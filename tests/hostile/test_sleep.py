"""Pages that sleep, networks that are gone for a while, and servers that start anew."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import anyio
import pytest
from playwright.async_api import Browser

from emulation.testing import TRANSPORTS
from emulation_server.lab import LabThread
from tests.hostile import talks
from tests.support import recorded
from tests.support.faults import LabBefore
from tests.support.servers import Server, Servers, running

pytestmark = [pytest.mark.browser, pytest.mark.integration]

APPLICATION = "tests.hostile.app:struck"
BRIEF = "tests.hostile.app:brief"
TIMEOUT = 60
NAP = 2  # seconds
SOON = 15  # seconds

some_transports = pytest.mark.parametrize(
    "transport", ["websocket", "stream", pytest.param("poll", marks=pytest.mark.full)]
)


@asynccontextmanager
async def held(
    browser: Browser, server: Server, lab: LabThread, transport: str
) -> AsyncIterator[talks.Held]:
    """Hold a socket that is open over a transport, before which no other comes."""
    order = TRANSPORTS[TRANSPORTS.index(transport) :]
    with anyio.fail_after(TIMEOUT):
        async with talks.holding(browser, server.url, lab.url, order) as socket:
            assert await socket.transport() == transport
            yield socket


@contextmanager
def asleep(renderers: Sequence[int]) -> Iterator[None]:
    """Stop the processes of all pages, as a machine does that sleeps."""
    for process in renderers:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in renderers:
            os.kill(process, signal.SIGCONT)


async def renderers(browser: Browser) -> list[int]:
    session = await browser.new_browser_cdp_session()
    processes = (await session.send("SystemInfo.getProcessInfo"))["processInfo"]
    return [process["id"] for process in processes if process["type"] == "renderer"]


@some_transports
async def test_a_page_that_wakes_in_time_goes_on(
    servers: Servers, browser: Browser, lab_before: LabBefore, transport: str
) -> None:
    server = servers.get(APPLICATION)
    lab = lab_before(server.url)
    async with held(browser, server, lab, transport) as socket:
        with asleep(await renderers(browser)):
            lab.drop_connections()
            await anyio.sleep(NAP)
        await socket.say("awake")
        assert await socket.transport() == transport


@some_transports
async def test_a_page_that_wakes_too_late_learns_it_soon(
    servers: Servers, browser: Browser, lab_before: LabBefore, transport: str
) -> None:
    server = servers.get(BRIEF)
    lab = lab_before(server.url)
    async with held(browser, server, lab, transport) as socket:
        with asleep(await renderers(browser)):
            lab.drop_connections()
            [end] = await recorded.disconnects(server.url, socket.token)
            assert end["code"] == 1006
        with anyio.fail_after(SOON):
            assert await socket.closed() == 1006


@pytest.mark.full
@pytest.mark.alone
@some_transports
async def test_an_outage_is_survived_and_does_not_count_against_the_transport(
    servers: Servers, browser: Browser, lab_before: LabBefore, transport: str
) -> None:
    server = servers.get(APPLICATION)
    lab = lab_before(server.url)
    async with held(browser, server, lab, transport) as socket:
        lab.set_mode("drop")
        lab.drop_connections()
        await anyio.sleep(NAP)
        lab.set_mode("plain")
        await socket.say("again")
        await socket.page.reload()
        after = talks.Held(socket.page, server.url)
        await after.open()
        await after.say()
        assert await after.transport() == transport


@some_transports
async def test_a_server_that_starts_anew_is_told_from_an_outage_soon(
    browser: Browser, lab_before: LabBefore, transport: str
) -> None:
    with running(APPLICATION) as server:
        lab = lab_before(server.url)
        async with held(browser, server, lab, transport) as socket:
            server.kill()
            with running(APPLICATION, arguments=["--port", str(server.port)]) as anew:
                with anyio.fail_after(SOON):
                    assert await socket.closed() == 1006
                assert await recorded.starts(anew.url, socket.token) == []
                await socket.page.reload()
                after = talks.Held(socket.page, anew.url)
                await after.open()
                await after.say()
                assert await after.transport() == transport
