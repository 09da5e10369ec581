"""Every intermediary with every transport first, in the newest and the oldest engine.

    make test-full ARGS=tests/hostile/test_table.py

writes the tables of docs/intermediaries.md.
"""

from __future__ import annotations

import re
import secrets
import subprocess
import tempfile
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

import anyio
import httpx
import pytest

from tests.engines.engines import Chromium, Engine, PhantomJS1, opened
from tests.hostile.winners import BLOCKED, first, winner
from tests.support import recorded
from tests.support.faults import LabBefore
from tests.support.servers import ROOT, Server, Servers

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.full, pytest.mark.alone]

APPLICATION = "tests.hostile.app:default"
DOCUMENT = ROOT / "docs" / "intermediaries.md"
ENGINES = (Chromium(), PhantomJS1("1.9.8", 2014))
COUNT = 2000
TIMEOUT = 90
SOCKETS = 3
COLD = 4.0  # seconds to the first echo
REMEMBERED = 1.0
HEAD = (
    "intermediary",
    "tried first",
    "won",
    "cold (s)",
    "with memory (s)",
    "lost",
    "duplicated",
    "altered",
    "starts",
)


class Cell(NamedTuple):
    """What came of one intermediary and the transport that was tried first."""

    mode: str
    first: str
    won: str
    cold: float  # seconds
    remembered: float  # seconds
    lost: int
    duplicated: int
    altered: int
    starts: int  # of three sockets

    def row(self) -> str:
        starts = f"{self.starts / SOCKETS:g}"
        times = (f"{self.cold:.2f}", f"{self.remembered:.2f}")
        return f"| {' | '.join(map(str, (*self[:3], *times, *self[5:8], starts)))} |\n"

    def is_as_promised(self, order: Sequence[str]) -> bool:
        return (self.won, *self[5:]) == (winner(self.mode, order), 0, 0, 0, SOCKETS)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
async def test_every_intermediary_with_every_transport_first(
    servers: Servers, lab_before: LabBefore, engine: Engine
) -> None:
    reason = engine.missing()
    if reason:
        pytest.skip(reason)
    server = servers.get(APPLICATION)
    cells, failures, slow = [], [], []
    for mode in BLOCKED:
        for transport in engine.transports:
            order = first(transport, engine.transports)
            cell = await measure(engine, server, lab_before(server.url, mode).url, mode, order)
            print(cell)
            cells.append(cell)
            if not cell.is_as_promised(order):
                failures.append(cell)
            if cell.cold > COLD or cell.remembered > REMEMBERED:
                slow.append(cell)
    write(engine, cells)
    assert failures == []
    assert slow == []


async def measure(
    engine: Engine, server: Server, url: str, mode: str, order: Sequence[str]
) -> Cell:
    token = secrets.token_hex(8)
    query = f"token={token}&transports={','.join(order)}&count={COUNT}"
    with tempfile.TemporaryFile() as log, opened(engine, f"{url}/measure?{query}", log):
        try:
            with anyio.fail_after(TIMEOUT):
                outcome = await reported(server.url, token)
                ends = await recorded.disconnects(server.url, f"{token}.3")
        except TimeoutError:
            return Cell(mode, order[0], "none", 0, 0, COUNT * 2, 0, 0, 0)
    if "failure" in outcome:
        return Cell(mode, order[0], outcome["failure"], 0, 0, COUNT * 2, 0, 0, 0)
    arrived = (outcome["received"], ends[0]["received"])
    return Cell(
        mode,
        order[0],
        ", ".join(outcome["transports"]) or "none",
        outcome["cold"] / 1000,
        outcome["remembered"] / 1000,
        sum(max(COUNT - count, 0) for count in arrived),
        sum(max(count - COUNT, 0) for count in arrived),
        # A message that is not what the application expects ends its session.
        outcome["altered"] + (outcome["close"] != [4000, "complete", True]),
        len(await recorded.starts(server.url, f"{token}.")),
    )


async def reported(url: str, token: str) -> dict[str, Any]:
    """Wait for what the page reports."""
    async with httpx.AsyncClient(trust_env=False) as client:
        while True:
            result: dict[str, Any] | None = (await client.get(f"{url}/results/{token}")).json()
            if result is not None:
                return result
            await anyio.sleep(0.05)


def write(engine: Engine, cells: Sequence[Cell]) -> None:
    """Write the table, with what it was made from, into the page."""
    begin, end = f"<!-- {engine.name} -->\n", f"<!-- end of {engine.name} -->"
    rule = ["---"] * 3 + ["---:"] * (len(HEAD) - 3)
    head = "".join(f"| {' | '.join(line)} |\n" for line in (HEAD, rule))
    table = f"{begin}{origin()}\n\n{head}{''.join(cell.row() for cell in cells)}{end}"
    between = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    DOCUMENT.write_text(between.sub(lambda _: table, DOCUMENT.read_text()))


def origin() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    date = datetime.now(timezone.utc).date()
    return f"Run on {date} at commit {commit.strip()}."
