"""Sessions outlive the patience of a proxy, and its reloads."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import anyio
import pytest

from emulation.testing import NATIVE, TRANSPORTS, Closed, WebSocket, connect
from tests.proxies.reverse import RECOMMENDED
from tests.proxies.running import Proxy, running
from tests.support import recorded
from tests.support.servers import Servers

pytestmark = pytest.mark.integration

DEFAULT = "tests.proxies.app:default"
QUICK = "tests.proxies.app:quick"
TIMEOUT = 100

# A ping goes down every second, and a poll is answered after two.
PATIENCE = 3
SILENCE = 2 * PATIENCE + 1

# These lose patience with tunnels, too; a native socket shows it.
IMPATIENT = ("nginx", "HAProxy", "Varnish", "Squid")

# nginx ends the workers of before a second after a reload, and so does HAProxy.
RELOADED = ("nginx", "HAProxy")

# The others keep their connections; Traffic Server and mitmproxy are restarted, and drop them.
KEEPING = ("Apache", "Varnish", "Squid", "Traffic Server", "mitmproxy")
AFTERWARDS = 5  # seconds of talk behind a reload


class Talk(NamedTuple):
    """A socket, and the token by which the application knows it."""

    proxy: Proxy
    transport: str
    token: str
    ws: WebSocket


@asynccontextmanager
async def talk(proxy: Proxy, transport: str) -> AsyncIterator[Talk]:
    token = secrets.token_hex(8)
    async with connect(f"{proxy.url}/echo?token={token}", transport=transport) as ws:
        yield Talk(proxy, transport, token, ws)


async def echo(ws: WebSocket, message: str) -> None:
    await ws.send(message)
    assert await ws.receive() == message


async def end(talk: Talk, server_url: str) -> None:
    """Close, and check that the application has seen one socket, on one transport."""
    await talk.ws.close(4000)
    assert talk.ws.closed is not None and talk.ws.closed.was_clean
    [start] = await recorded.starts(server_url, talk.token)
    assert start["transport"] == talk.transport


async def test_silent_sessions_outlive_the_patience_of_each_proxy(servers: Servers) -> None:
    server = servers.get(QUICK)
    with anyio.fail_after(TIMEOUT):
        async with AsyncExitStack() as stack:
            talks, controls = [], []
            for name, kind in RECOMMENDED.items():
                proxy = stack.enter_context(running(kind, [server.port], idle=PATIENCE))
                for transport in TRANSPORTS:
                    talks.append(await stack.enter_async_context(talk(proxy, transport)))
                if name in IMPATIENT:
                    controls.append(await stack.enter_async_context(talk(proxy, NATIVE)))
            await asyncio.gather(*(echo(each.ws, "before") for each in talks))
            await anyio.sleep(SILENCE)
            for control in controls:
                with pytest.raises(Closed, match="1006"):
                    await control.ws.receive()
            await asyncio.gather(*(echo(each.ws, "after") for each in talks))
            await asyncio.gather(*(end(each, server.url) for each in talks))


@pytest.mark.parametrize("name", RELOADED)
async def test_nothing_is_lost_when_the_proxy_is_reloaded(servers: Servers, name: str) -> None:
    server = servers.get(DEFAULT)
    with running(RECOMMENDED[name], [server.port]) as proxy, anyio.fail_after(TIMEOUT):
        async with AsyncExitStack() as stack:
            talks = [
                await stack.enter_async_context(talk(proxy, transport)) for transport in TRANSPORTS
            ]
            before = workers(proxy)
            conversations = [
                asyncio.create_task(talk_until_gone(each.ws, proxy, before)) for each in talks
            ]
            proxy.reload()
            await asyncio.gather(*conversations)
            await asyncio.gather(*(end(each, server.url) for each in talks))


@pytest.mark.full
@pytest.mark.parametrize("name", KEEPING)
async def test_nothing_is_lost_when_another_proxy_is_reloaded(servers: Servers, name: str) -> None:
    server = servers.get(DEFAULT)
    with running(RECOMMENDED[name], [server.port]) as proxy, anyio.fail_after(TIMEOUT):
        async with AsyncExitStack() as stack:
            talks = [
                await stack.enter_async_context(talk(proxy, transport)) for transport in TRANSPORTS
            ]
            is_over = asyncio.Event()
            conversations = [asyncio.create_task(talk_until(each.ws, is_over)) for each in talks]
            await asyncio.to_thread(proxy.reload)
            await asyncio.sleep(AFTERWARDS)
            is_over.set()
            await asyncio.gather(*conversations)
            talks.append(await stack.enter_async_context(talk(proxy, "poll")))
            await asyncio.gather(*(end(each, server.url) for each in talks))


async def talk_until(ws: WebSocket, is_over: asyncio.Event) -> None:
    """Send numbers and have them back until it is over."""
    number = 0
    while not is_over.is_set():
        await echo(ws, str(number))
        number += 1
        await asyncio.sleep(0.01)


async def talk_until_gone(ws: WebSocket, proxy: Proxy, before: set[int]) -> None:
    """Send numbers and have them back until the workers of before are gone, and a few more."""
    last = None
    number = 0
    while last is None or number < last:
        await echo(ws, str(number))
        number += 1
        if last is None and not before & workers(proxy):
            last = number + 20
        await asyncio.sleep(0.01)


def workers(proxy: Proxy) -> set[int]:
    """Return the processes of the proxy's that serve."""
    pid = proxy.process.pid
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
