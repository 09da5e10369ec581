"""What is told once, and lost, late or slow on its way, ends no socket of a page."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import anyio
import pytest
from playwright.async_api import Browser

from emulation_server.lab.relay import Exchange, Mode, hold
from emulation_server.lab.wire import Answer, reply
from tests.hostile import talks
from tests.support.browser import new_page
from tests.support.faults import LabBefore
from tests.support.servers import Servers

pytestmark = [pytest.mark.browser, pytest.mark.integration]

TIMEOUT = 60


@dataclass(kw_only=True, eq=False)
class Rested(Mode):
    """Lose each upload that comes after a rest, as on a connection that has died meanwhile."""

    only: str = r"emulation=send\."
    rest: float = 1.0  # seconds
    last: float = 0.0

    async def on_request(self, exchange: Exchange) -> Answer | None:
        now = time.monotonic()
        rested, self.last = now - self.last > self.rest, now
        if not rested:
            return None
        exchange.did("lost")
        return reply(502)


async def test_the_answer_to_a_ping(
    servers: Servers, browser: Browser, lab_before: LabBefore
) -> None:
    server = servers.get("tests.hostile.app:rare")
    lab = lab_before(server.url, Rested())
    with anyio.fail_after(TIMEOUT):
        async with talks.holding(browser, server.url, lab.url, ["stream"]) as held:
            await asyncio.sleep(11)  # longer than a page may be silent
            await held.say("still there")
    assert lab.counts["lost"] > 4


@dataclass(kw_only=True, eq=False)
class Late(Mode):
    """Hold an upgrade up, and an open for longer."""

    async def on_request(self, exchange: Exchange) -> Answer | None:
        if exchange.is_upgrade:
            await asyncio.sleep(1.3)
        elif "emulation=open" in exchange.target:
            exchange.did("late")
            await asyncio.sleep(0.6)
        return None


async def test_an_open_that_comes_when_its_socket_is_open(
    servers: Servers, browser: Browser, lab_before: LabBefore
) -> None:
    """Both are asked for, and the native one is faster; what answers the other is of the past."""
    server = servers.get("tests.hostile.app:default")
    lab = lab_before(server.url, Late())
    with anyio.fail_after(TIMEOUT):
        async with talks.holding(browser, server.url, lab.url) as held:
            await asyncio.sleep(2)
            await held.say("still there")
            assert await held.transport() == "websocket"
    assert lab.counts["late"] == 1


@dataclass(kw_only=True, eq=False)
class Hello(Mode):
    """Let tunnels stand still between the server's `hello` and the application's decision."""

    async def down(self, exchange: Exchange, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        before = time.monotonic()
        async for piece in pieces:
            if exchange.is_upgrade and time.monotonic() - before > 0.3:
                exchange.did("stalled")
                await hold()
            yield piece


async def test_a_tunnel_that_stands_still_behind_hello(
    servers: Servers, browser: Browser, lab_before: LabBefore
) -> None:
    server = servers.get("tests.hostile.app:default")
    lab = lab_before(server.url, Hello())
    with anyio.fail_after(TIMEOUT):
        async with new_page(browser, script=talks.SCRIPT) as page:
            await page.goto(lab.url)
            before = time.monotonic()
            await talks.Held(page, server.url).open("/late")
            assert time.monotonic() - before < 20
    assert lab.counts["stalled"] == 1


@dataclass(kw_only=True, eq=False)
class LastPoll(Mode):
    """Let the ack of the second socket's close be lost, and the page forget that socket."""

    polls: int = 0
    is_lost: bool = False

    async def on_request(self, exchange: Exchange) -> Answer | None:
        if "emulation=poll" in exchange.target:
            self.polls += 1
        return None

    async def up(self, exchange: Exchange, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in pieces:
            is_last = b'"section",2,' in piece and b'"section",2,0,' not in piece
            if "emulation=poll" in exchange.target and is_last and not self.is_lost:
                self.is_lost = True
                await asyncio.sleep(1.5)
                exchange.did("lost")
                piece = re.sub(rb'"section",2,\d,', b'"section",2,0,', piece)
            yield piece


SHUT = """
async (path) => {
  const opened = (socket) => new Promise((done) => (socket.onopen = done));
  const first = new WebSocket(path + '?first');
  await opened(first);
  const second = new WebSocket(path + '?second');
  await opened(second);
  await new Promise((done) => setTimeout(done, 500));
  await new Promise((done) => {
    second.onclose = done;
    second.close(4000);
  });
}
"""


async def test_polls_for_a_socket_that_is_gone(
    servers: Servers, browser: Browser, lab_before: LabBefore
) -> None:
    """The server says its close again in each answer, and nobody can acknowledge it."""
    server = servers.get("tests.hostile.app:default")
    mode = LastPoll()
    lab = lab_before(server.url, mode)
    with anyio.fail_after(TIMEOUT):
        async with new_page(browser, transports=["poll"], script=talks.SCRIPT) as page:
            await page.goto(lab.url)
            await page.evaluate(SHUT, lab.url.replace("http", "ws", 1) + "/echo")
            while not lab.counts["lost"]:  # noqa: ASYNC110 - of another thread
                await asyncio.sleep(0.05)
            before = mode.polls
            await asyncio.sleep(4)
    assert 0 < mode.polls - before < 20


CHATTING = """
async ([path, size]) => {
  const socket = new WebSocket(path);
  await new Promise((done) => (socket.onopen = done));
  const came = [];
  let transport = '';
  socket.addEventListener('emulation:transport', (event) => (transport = event.detail.transport));
  socket.onmessage = (event) => came.push(event.data.length);
  socket.send('x'.repeat(size));
  while (came.indexOf(size) < 0 && socket.readyState === 1) {
    socket.send('tick');
    await new Promise((done) => setTimeout(done, 700));
  }
  return [socket.readyState, came[0], transport];
}
"""


@pytest.mark.parametrize("transport", ["stream", "sse", "xhr-stream"])
async def test_a_slow_line_holds_nothing_back(
    servers: Servers, browser: Browser, lab_before: LabBefore, transport: str
) -> None:
    """What was written comes late there, and is no reason to leave a stream for polls."""
    server = servers.get("tests.hostile.app:default")
    lab = lab_before(
        server.url, "slow", rate=60_000, only=rf"emulation={transport.removeprefix('xhr-')}\."
    )
    with anyio.fail_after(TIMEOUT):
        async with new_page(browser, transports=[transport, "poll"], script=talks.SCRIPT) as page:
            await page.goto(lab.url)
            path = lab.url.replace("http", "ws", 1) + "/echo"
            assert await page.evaluate(CHATTING, [path, 400_000]) == [1, 400_000, ""]
    assert lab.counts["slowed"] == 1
