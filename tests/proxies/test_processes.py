"""Several processes of one server, each on its port, behind a proxy that keeps pages apart."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Sequence

import anyio
import pytest
from playwright.async_api import Browser

from emulation.testing import Closed, connect
from tests.hostile import talks as pages
from tests.proxies.reverse import PROCESSES, UNHASHED
from tests.proxies.running import running
from tests.support import recorded
from tests.support.browser import new_page
from tests.support.faults import LabBefore
from tests.support.servers import Server, Servers

pytestmark = pytest.mark.integration

APPLICATION = "tests.proxies.app:default"
TRANSPORTS = ("poll", "stream", "websocket")
SESSIONS = 200
MESSAGES = 5
PAGES = 6
TIMEOUT = 60
SOON = 5  # seconds

WRONG_PROCESS = "docs/deploying.md"


@pytest.fixture
def processes(servers: Servers) -> list[Server]:
    return three(servers, "of all tests")


def three(servers: Servers, purpose: str) -> list[Server]:
    names = [f"{number} {purpose}" for number in range(1, 4)]
    return [servers.get(APPLICATION, environment={"PROCESS": name}) for name in names]


def ports(processes: Sequence[Server]) -> list[int]:
    return [process.port for process in processes]


async def starts(processes: Sequence[Server], token: str) -> list[int]:
    """Return how many sockets with the token each process has had."""
    return [len(await recorded.starts(process.url, token)) for process in processes]


@pytest.mark.parametrize("name", PROCESSES)
async def test_each_session_stays_at_its_process(processes: list[Server], name: str) -> None:
    token = secrets.token_hex(8)
    sizes = [process.log_size() for process in processes]

    async def converse(url: str, transport: str) -> None:
        async with connect(f"{url}/echo?token={token}", transport=transport) as ws:
            for number in range(MESSAGES):
                await ws.send(str(number))
                assert await ws.receive(None) == str(number)

    with (
        running(PROCESSES[name], ports(processes)) as proxy,
        anyio.fail_after(TIMEOUT),
    ):
        transports = itertools.islice(itertools.cycle(TRANSPORTS), SESSIONS)
        await asyncio.gather(*(converse(proxy.url, transport) for transport in transports))
    counts = await starts(processes, token)
    assert sum(counts) == SESSIONS
    assert min(counts) > 0
    logs = [process.log(size) for process, size in zip(processes, sizes, strict=True)]
    assert not any(WRONG_PROCESS in log for log in logs)


@pytest.mark.browser
async def test_page_that_falls_back_stays_at_its_process(
    processes: list[Server], browser: Browser, lab_before: LabBefore
) -> None:
    token = secrets.token_hex(8)
    with (
        running(PROCESSES["nginx"], ports(processes)) as proxy,
        anyio.fail_after(TIMEOUT),
    ):
        # It answers the upgrade, and nothing passes: the start that was made by it is joined.
        lab = lab_before(proxy.url, "blackhole")
        for _ in range(PAGES):
            async with new_page(browser, script=pages.SCRIPT) as page:
                await page.goto(lab.url)
                await pages.milliseconds_to_echo(page, token)
    assert sum(await starts(processes, token)) == PAGES


@pytest.mark.parametrize(
    ("name", "transport"),
    [
        ("nginx", "poll"),
        ("HAProxy", "stream"),
        pytest.param("nginx", "stream", marks=pytest.mark.full),
        pytest.param("HAProxy", "poll", marks=pytest.mark.full),
    ],
)
async def test_log_says_what_is_missing(servers: Servers, name: str, transport: str) -> None:
    processes = three(servers, f"without a hash, {name}, {transport}")
    with running(UNHASHED[name], ports(processes)) as proxy:
        with anyio.fail_after(SOON), pytest.raises(Closed, match="1006"):
            async with connect(f"{proxy.url}/echo", transport=transport) as ws:
                await ws.receive(None)
    assert any(WRONG_PROCESS in process.log() for process in processes)


@pytest.mark.browser
async def test_page_ends_at_once_without_a_hash(servers: Servers, browser: Browser) -> None:
    processes = three(servers, "without a hash, for a page")
    closed = "url => new Promise((end) => { new WebSocket(url).onclose = (e) => end(e.code); })"
    with running(UNHASHED["nginx"], ports(processes)) as proxy, anyio.fail_after(TIMEOUT):
        async with new_page(browser, transports=["poll"], script=pages.SCRIPT) as page:
            await page.goto(proxy.url)
            with anyio.fail_after(SOON):
                url = proxy.url.replace("http", "ws", 1)
                assert await page.evaluate(closed, f"{url}/echo") == 1006
