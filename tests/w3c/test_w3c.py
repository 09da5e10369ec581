"""The interface of the W3C WebSocket, in the engines of today, over each transport.

The cases (cases/*.js) are written from the standards. The engine's own class is the control: a case
that it does not pass is wrong, or stands among the engine's known defects.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.engines.engines import ALL_TRANSPORTS, ENGINES, NATIVE, Engine
from tests.engines.reports import reports
from tests.support.servers import Servers

pytestmark = [pytest.mark.browser, pytest.mark.integration]

APPLICATION = "tests.w3c.app:app"
RUN_TIME = 80

CURRENT = {engine.name: engine for engine in ENGINES}
IN_EVERY_RUN = {
    "chromium": (NATIVE, *ALL_TRANSPORTS),
    "firefox": (NATIVE, "stream", "poll"),
    "webkitgtk": (NATIVE, "stream", "poll"),
}

# What an engine's own class does otherwise than the standards say.
DEFECTS: dict[str, set[str]] = {"chromium": set(), "firefox": set(), "webkitgtk": set()}


def parameters() -> list[Any]:
    return [
        pytest.param(
            CURRENT[name],
            transport,
            id=f"{name}-{transport}",
            marks=[] if transport in usual else [pytest.mark.full],
        )
        for name, usual in IN_EVERY_RUN.items()
        for transport in (NATIVE, *ALL_TRANSPORTS)
    ]


@pytest.mark.parametrize(("engine", "transport"), parameters())
async def test_conformance(servers: Servers, engine: Engine, transport: str) -> None:
    reason = engine.missing()
    if reason:
        pytest.skip(reason)
    url = servers.get(APPLICATION).url
    [result] = await reports(engine, [transport], url, run_time=RUN_TIME)
    print(*result["lines"], sep="\n")
    failures = {failure["name"]: failure["message"] for failure in result["failures"]}
    for name, message in failures.items():
        print(f"FAILED {name}: {message}")
    print(result["cases"], result["seconds"])
    known = DEFECTS[engine.name] if transport == NATIVE else set()
    assert set(failures) == known
