"""The interface of the W3C WebSocket, in the engines of today, over each transport.

The cases (cases/*.js) are written from the standards. The engine's own class is the control: a case
that it does not pass is wrong, or stands among the engine's known defects.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.engines.engines import ALL_TRANSPORTS, ENGINES, NATIVE, Engine
from tests.engines.reports import reports
from tests.support.servers import Servers

pytestmark = [pytest.mark.browser, pytest.mark.integration]

APPLICATION = "tests.w3c.app:app"
RUN_TIME = 80
FULL = pytest.mark.full
OTHERS = ("firefox", "webkitgtk")

CURRENT = {engine.name: engine for engine in ENGINES}
IN_EVERY_RUN = {
    "chromium": (NATIVE, *ALL_TRANSPORTS),
    "firefox": (NATIVE, "stream", "poll"),
    "webkitgtk": (NATIVE, "stream", "poll"),
}

# [Clamp] rounds a half to the even number (Web IDL, section 3.3.6); they cut it off.
CLAMP = {
    "close(999.5)",
    "close(2999.5)",
    "close(3001.5)",
    "close(): codes that are refused",
}
# An absent subprotocol is one that was not asked for, whenever one was (RFC 6455 section 4.1).
UNCHOSEN = 'a server that chooses what it was not offered: ""'

# What its class counts falls in a synchronous request; over `websocket` that is what is read.
FALLS_EARLY = "bufferedAmount does not fall while the thread waits for a request"

# What an engine's own class does otherwise than the standards say.
DEFECTS: dict[str, set[str]] = {
    "chromium": {
        *CLAMP,
        # An absent code is 0 where a reason follows.
        'close(undefined, "")',
        "a reason without a code",
        "a reason that is too long, without a code",
    },
    "firefox": {
        UNCHOSEN,
        "a server that chooses where nothing was offered",
        # The base is the document's URL, whatever its <base> says; and "" is no URL.
        "a relative URL is resolved against the base of the document",
        'url: ""',
        # An iterator that is null is as if it were absent (ECMA-262, GetMethod).
        "protocols: an iterator that is null",
        "the iterator of the protocols is read once, and called on them",
        FALLS_EARLY,
        # Behind the `error` comes the close of the server, where that was on its way.
        "what is closed before it is open fails, whatever was on its way",
    },
    "webkitgtk": {
        *CLAMP,
        "the iterator of the protocols is read once, and called on them",
        UNCHOSEN,
        'a server that chooses what it was not offered: "A"',
        # Nothing is looked at behind an absent code.
        "a reason that is too long, without a code",
        # It adds the bytes that frame a message to those of the message.
        "bufferedAmount grows after close(), and never falls again",
        "send() of a socket that never opened",
        "send() after close() while connecting",
        "the connection is lost",
        # They are two tasks, and another may come between.
        "error and close come in one task",
        # The close of a socket that waits for a Blob is never clean.
        "close() waits for a Blob",
    },
}


def parameters() -> list[Any]:
    return [
        pytest.param(
            CURRENT[name],
            transport,
            id=f"{name}-{transport}",
            marks=[] if transport in usual else [FULL],
        )
        for name, usual in IN_EVERY_RUN.items()
        for transport in (NATIVE, *ALL_TRANSPORTS)
    ]


@pytest.mark.parametrize(("engine", "transport"), parameters())
async def test_conformance(servers: Servers, engine: Engine, transport: str) -> None:
    await check(servers, engine, transport, "/page")


@pytest.mark.parametrize("name", ["chromium", *(pytest.param(n, marks=FULL) for n in OTHERS)])
@pytest.mark.parametrize("transport", [NATIVE, "stream"])
async def test_conformance_in_a_worker(servers: Servers, name: str, transport: str) -> None:
    await check(servers, CURRENT[name], transport, "/worker-page")


async def check(servers: Servers, engine: Engine, transport: str, path: str) -> None:
    reason = engine.missing()
    if reason:
        pytest.skip(reason)
    url = servers.get(APPLICATION).url
    # One launch for each: a page that hangs keeps no other from its run.
    [result] = await reports(engine, [transport], url, run_time=RUN_TIME, path=path)
    print(*result["lines"], sep="\n")
    failures = {failure["name"]: failure["message"] for failure in result["failures"]}
    print(*(f"{name}: {message}" for name, message in failures.items()), sep="\n")
    assert re.search(engine.agent, result["agent"])
    known = DEFECTS[engine.name]
    if transport != NATIVE:
        known = known & {FALLS_EARLY} if transport == "websocket" else set()
    # Not all of them show every time.
    assert set(failures) <= known
