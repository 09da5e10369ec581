"""The attack that RFC 6455 section 10.3 masks frames for, against every transport.

A page sends what looks like a request for another site's script, its server sends what looks like
the answer, and a proxy between them that does not know Upgrade keeps that for everybody.
"""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import anyio
import pytest
from playwright.async_api import Browser

from emulation.testing import TRANSPORTS, connect
from tests.security.poisoning import PoisonableCache, poisonable_cache
from tests.session.stage import serving
from tests.support.browser import new_page
from tests.support.streams import connection_to, streams_server

pytestmark = [pytest.mark.browser, pytest.mark.integration]

TIMEOUT = 30
TARGET = (b"victim.test", b"/script.js")
REQUEST = "GET /script.js HTTP/1.1\r\nHost: victim.test\r\n\r\n"
ANSWER = "HTTP/1.1 200 OK\r\nCache-Control: max-age=31536000\r\n\r\npoison()"
UPGRADE = b"GET / HTTP/1.1\r\nHost: evil.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


def unmasked(message: bytes) -> bytes:
    """Write a text frame as no client may (RFC 6455 section 5.1)."""
    return b"\x81" + len(message).to_bytes(1, "big") + message


@pytest.mark.parametrize(
    "wrapped", [bytes, unmasked], ids=["bytes of a plain socket", "unmasked frame"]
)
async def test_the_attack_works_where_nothing_hinders_it(wrapped: type[bytes]) -> None:
    async with streams_server(evil) as to, poisonable_cache(to) as cache:
        port = urlsplit(cache.url).port
        async with connection_to("127.0.0.1", port) as (reader, writer):
            with anyio.fail_after(TIMEOUT):
                writer.write(UPGRADE)
                await reader.readuntil(b"\r\n\r\n")
                writer.write(wrapped(REQUEST.encode()))
                await reader.readuntil(b"poison()")
    assert TARGET in cache.answers


async def evil(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say 101 to the first thing, and the answer to the second."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    writer.write(ANSWER.encode())
    await reader.read()


def assert_clean(cache: PoisonableCache) -> None:
    """Check that the proxy saw requests, and none for the other site."""
    assert cache.answers
    assert not any(host == TARGET[0] for host, _ in cache.answers), cache.answers


@pytest.mark.parametrize("transport", [*TRANSPORTS, "native"])
async def test_a_page_poisons_nothing(browser: Browser, transport: str) -> None:
    async with serving() as served, new_page(browser, transports=[transport]) as page:
        to = urlsplit(served.url)
        assert to.hostname and to.port
        async with poisonable_cache((to.hostname, to.port)) as cache:
            await page.goto(f"{cache.url}/")
            if transport != "native":
                await page.add_script_tag(url="/emulation.js")
            with anyio.fail_after(TIMEOUT):
                echoes = await page.evaluate(ECHO, [REQUEST, ANSWER] * 20)
    assert echoes == 40
    assert_clean(cache)


ECHO = """
(messages) => new Promise((resolve, reject) => {
  const socket = new WebSocket(location.href.replace(/^http/, 'ws') + 'echo');
  let echoes = 0;
  socket.onopen = () => messages.forEach((message) => socket.send(message));
  socket.onmessage = (event) => {
    if (event.data !== messages[echoes]) reject(new Error(event.data));
    if (++echoes === messages.length) socket.close();
  };
  socket.onclose = (event) => {
    if (echoes === messages.length) resolve(echoes);
    else reject(new Error(`closed with ${event.code}`));
  };
})
"""


@pytest.mark.parametrize("transport", [*TRANSPORTS, "native"])
async def test_the_python_client_poisons_nothing(transport: str) -> None:
    async with serving() as served:
        to = urlsplit(served.url)
        assert to.hostname and to.port
        async with poisonable_cache((to.hostname, to.port)) as cache:
            async with connect(f"{cache.url}/echo", transport=transport) as ws:
                for message in [REQUEST, ANSWER] * 20:
                    await ws.send(message)
                    assert await ws.receive() == message
    assert_clean(cache)
