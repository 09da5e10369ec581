"""The table of docs/browsers.md, made of what the engines reported."""

from __future__ import annotations

import gzip
import re
import subprocess
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from tests.engines.engines import ALL_TRANSPORTS, NATIVE, OWN, WITHOUT_WEBSOCKET, Engine
from tests.support.servers import ROOT

PAGE = ROOT / "docs" / "browsers.md"
SCRIPT = ROOT / "emulation" / "static" / "emulation.js"
BETWEEN = re.compile(r"(?<=<!-- table -->\n).*(?=<!-- end of the table -->)", re.DOTALL)

HEAD = ("engine", "of", NATIVE, *ALL_TRANSPORTS, "own choice", "own choice without `WebSocket`")


def write(measured: Mapping[Engine, Mapping[str, Mapping[str, Any]]]) -> None:
    """Write the table, with what it was made from, into the page."""
    rows = [row(engine, results) for engine, results in measured.items()]
    lines = [HEAD, ["---"] * len(HEAD), *rows]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    PAGE.write_text(BETWEEN.sub(lambda _: f"{origin()}\n\n{table}", PAGE.read_text()))


def row(engine: Engine, results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    version = re.search(engine.agent, results[OWN]["agent"])
    assert version
    product = re.sub(r"-[\d.]+$", "", engine.name)
    own = [results[run]["transports"][-1] for run in (OWN, OWN + WITHOUT_WEBSOCKET)]
    opened = [
        results[run]["opened"] if run in results else "-" for run in (NATIVE, *ALL_TRANSPORTS)
    ]
    return [f"{product} {version[1]}", engine.year, *map(str, opened), *own]


def origin() -> str:
    head = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(head, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    date = datetime.now(timezone.utc).date()
    size = len(gzip.compress(SCRIPT.read_bytes(), 9))
    return f"Run on {date} at commit {commit.strip()}; the shim had {size:,} bytes gzipped."
