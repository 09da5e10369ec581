"""What a page does with a WebSocket, in every engine that this machine can run."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import pytest

from tests.engines import table
from tests.engines.engines import ENGINES, NATIVE, OWN, Engine
from tests.engines.reports import reports
from tests.support import recorded
from tests.support.servers import Servers

pytestmark = [pytest.mark.browser, pytest.mark.integration]

APPLICATION = "tests.engines.app:app"
# A run reports itself after 25 s, whatever its state.
RUN_TIME = 30
SOCKETS = 3

Measured: TypeAlias = dict[Engine, dict[str, dict[str, Any]]]


async def run(engine: Engine, runs: Sequence[str], url: str) -> dict[str, dict[str, Any]]:
    """Let `engine` do the `runs` and return what it reported, and what the server saw, of each."""
    token = secrets.token_hex(8)
    results = await reports(engine, runs, url, run_time=RUN_TIME, token=token)
    for result in results:
        result["starts"] = await recorded.starts(url, f"{token}-{result['run']}.")
    return {result["run"]: result for result in results}


def failures(engine: Engine, results: dict[str, dict[str, Any]]) -> list[str]:
    """Return what went wrong, and print what the engine said in those runs."""
    found = []
    for run, result in results.items():
        transports = [start["transport"] for start in result["starts"]]
        failure = result["failure"]
        if failure is None and transports != [engine.runs()[run]] * SOCKETS:
            failure = f"the server saw {transports}"
        if failure is None and run != NATIVE and result["tag"] != engine.tag:
            failure = f"the tag is {result['tag']}"
        if not re.search(engine.agent, result["agent"]):
            failure = f"this is another engine: {result['agent']}"
        if failure:
            found.append(f"{run}: {failure}")
            print(f"{engine.name}, {run}, {result['passed']}:", *result["lines"], sep="\n")
    return found


def needs(engine: Engine) -> None:
    reason = engine.missing()
    if reason:
        pytest.skip(reason)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
async def test_engine(servers: Servers, engine: Engine) -> None:
    needs(engine)
    results = await run(engine, [OWN, "poll"], servers.get(APPLICATION).url)
    assert failures(engine, results) == []


@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.xdist_group("engines")
@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
async def test_each_transport(servers: Servers, engine: Engine, measured: Measured) -> None:
    needs(engine)
    results = await run(engine, list(engine.runs()), servers.get(APPLICATION).url)
    assert failures(engine, results) == []
    measured[engine] = results


@pytest.fixture(scope="module")
def measured() -> Iterator[Measured]:
    """Yield what becomes the table of docs/browsers.md, when all engines were run and passed."""
    found: Measured = {}
    yield found
    if len(found) == len(ENGINES):
        table.write(found)
