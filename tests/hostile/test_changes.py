"""What lies between changes while a session goes on: the page falls to what still gets through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import anyio
import pytest
from playwright.async_api import Browser

from tests.hostile import talks
from tests.support.faults import LabBefore
from tests.support.servers import Servers

pytestmark = [pytest.mark.browser, pytest.mark.integration]

APPLICATION = "tests.hostile.app:struck"
TIMEOUT = 60
LONG = 300_000

WEBSOCKET = r"emulation=ws\."
STREAM = r"emulation=(stream|sse)\."


class Change(NamedTuple):
    """A mode that begins in mid-session, and the transports that may serve before and behind it."""

    mode: str
    options: dict[str, Any]
    before: str
    behind: Sequence[str]
    transports: Sequence[str] | None = None


CHANGES = {
    "upgrades are stripped": Change("strip", {}, "websocket", ["stream"]),
    "tunnels are swallowed": Change("blackhole", {}, "websocket", ["stream"]),
    "tunnels die after 100 ms": Change(
        "maxdur", {"limit": 0.1, "only": WEBSOCKET}, "websocket", ["stream"]
    ),
    "tunnels and answers are held": Change("httpbytes", {}, "websocket", ["poll"]),
    "streams are held": Change("buffer", {}, "stream", ["poll"], ["stream", "sse", "poll"]),
    "streams die after 100 ms": Change(
        "maxdur", {"limit": 0.1, "only": STREAM}, "stream", ["poll"], ["stream", "sse", "poll"]
    ),
    "events are held": Change("buffer4k", {}, "sse", ["poll"], ["sse", "poll"]),
    "bodies are limited": Change("limit2k", {}, "stream", ["stream"], ["stream", "poll"]),
    "everything is cut after a while": Change("maxdur", {"limit": 1}, "stream", ["stream"]),
}


LONG_RUN = ("upgrades are stripped", "tunnels and answers are held", "events are held")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(change, id=name, marks=[pytest.mark.full] if name in LONG_RUN else [])
        for name, change in CHANGES.items()
    ],
)
async def test_a_session_goes_on(
    servers: Servers, browser: Browser, lab_before: LabBefore, change: Change
) -> None:
    server = servers.get(APPLICATION)
    lab = lab_before(server.url)
    order = change.transports or (["stream", "poll"] if change.before == "stream" else None)
    with anyio.fail_after(TIMEOUT):
        async with talks.holding(browser, server.url, lab.url, order) as held:
            assert await held.transport() == change.before
            lab.set_mode(change.mode, **change.options)
            lab.drop_connections()
            await held.say("x" * LONG)
            steady = 0
            while steady < 20:
                await held.say(str(steady))
                steady = steady + 1 if await held.transport() in change.behind else 0
