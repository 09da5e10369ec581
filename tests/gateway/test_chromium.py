"""Backends that break RFC 6455, as Chromium sees them: natively, and through the gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from playwright.async_api import Browser

from tests.gateway import misbehaving, processes
from tests.gateway.misbehaving import CLOSES, FRAMES, HANDSHAKES, STATUSES, path_of
from tests.support.browser import IS_NATIVE, chromium, new_page
from tests.support.client import NATIVE

pytestmark = [
    pytest.mark.integration,
    pytest.mark.browser,
    pytest.mark.xdist_group("gateway-chromium"),
]

PATHS = [path_of(str(what)) for what in (*HANDSHAKES, *STATUSES, *FRAMES, *CLOSES)]

# Where Chromium itself is laxer or stricter than RFC 6455, to which the gateway keeps.
DEPARTURES: dict[str, list[object]] = {
    # Section 4.1: the status line of HTTP/1.1. Chromium opens.
    "HTTP/1.0": ["error", 1006, "", False],
    # Section 7.4.2: such codes are not used. Chromium takes it.
    "close code 999": ["open", "first", "error", 1006, "", False],
    # Section 1.4: what follows a close is discarded. Chromium fails the connection.
    "message behind the close": ["open", "first", 4001, "", True],
}

# Chromium drops with them what was in the same packet.
UNREADABLE = (
    "control frame in pieces",
    "control frame that is too long",
    "length beyond all bounds",
)

OBSERVE = """([base, paths]) => Promise.all(paths.map((path) => new Promise((resolve) => {
  const seen = [path];
  const socket = new WebSocket(base.replace("http", "ws") + path);
  socket.onopen = () => seen.push("open");
  socket.onmessage = (event) => seen.push(event.data);
  socket.onerror = () => seen.push("error");
  socket.onclose = (event) => resolve([...seen, event.code, event.reason, event.wasClean]);
})))"""


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as launched:
        yield launched


@pytest.fixture(scope="module")
def bad() -> Iterator[str]:
    with misbehaving.misbehaving() as host:
        yield f"http://{host}"


@pytest.fixture(scope="module")
def front(bad: str) -> Iterator[str]:
    with processes.gateway(bad.replace("http:", "ws:")) as (url, _):
        yield url


@pytest.mark.parametrize(
    "transport",
    [
        "poll",
        *(
            pytest.param(name, marks=pytest.mark.full)
            for name in (NATIVE, "websocket", "stream", "sse", "xhr-stream")
        ),
    ],
)
async def test_page_sees_what_a_native_connection_sees(
    browser: Browser, bad: str, front: str, transport: str
) -> None:
    transports = None if transport == NATIVE else [transport]
    async with new_page(browser, transports=transports) as page:
        await page.goto(front + "/nothing-here")
        natively: list[Any] = await page.evaluate(OBSERVE, [bad, PATHS])
        if transport != NATIVE:
            await page.add_script_tag(url=front + "/emulation.js")
        through: list[Any] = await page.evaluate(OBSERVE, [front, PATHS])
        assert await page.evaluate(IS_NATIVE) is (transport == NATIVE)
    assert [seen[0] for seen in natively] == PATHS
    expected = [known(seen) for seen in natively]
    other = [pair for pair in zip(expected, map(plain, through), strict=True) if pair[0] != pair[1]]
    assert not other, "\n".join(map(str, other))


def plain(seen: list[Any]) -> list[Any]:
    """Take away what the reading of UNREADABLE gives."""
    return [event for event in seen if event != "first" or seen[0] not in map(path_of, UNREADABLE)]


def known(seen: list[Any]) -> list[Any]:
    """Take away what is known to differ: see DEPARTURES and UNREADABLE, and docs/gateway.md."""
    path, *events = seen
    for what, expected in DEPARTURES.items():
        if path == path_of(what):
            return [path, *expected]
    return plain([path, *events])
