"""Measure in headless Chromium what a page pays, and print it as JSON.

It runs in the environment of .build/bench, which has Playwright. The server has the first core; the
browser has all of them, as its processes need.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
from pathlib import Path
from typing import Any, NamedTuple

from playwright.async_api import Browser, CDPSession, Error, Page, Route

from benchmarks.running import NODE, Server
from tests.support.browser import chromium

HERE = Path(__file__).parent
CLIENTS = NODE / "node_modules"

FLIGHT, ECHO_SECONDS = 64, 1.0
BURST, BURSTS = 10_000, 10
# A page that was intercepted is of no network: its WebSockets to this machine would be refused.
ALLOW = "--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets"
_ROW_SECONDS = 40


class Row(NamedTuple):
    """A server, and how the page talks to it."""

    name: str
    server: str
    kind: str
    transport: str
    script: str = ""


OURS = ("websocket", "stream", "sse", "xhr-stream", "poll")
SOCKJS = str(CLIENTS / "sockjs-client" / "dist" / "sockjs.min.js")
ENGINE_IO = str(CLIENTS / "engine.io-client" / "dist" / "engine.io.min.js")
ROWS = (
    Row("native WebSocket", "limit", "native", "websocket"),
    *(Row(f"this library, {one}", "ours", "native", one) for one in OURS),
    *(
        Row(f"sockjs-client, {one}", "sockjs (Node)", "sockjs", one, SOCKJS)
        for one in ("websocket", "xhr-streaming", "xhr-polling")
    ),
    *(
        Row(f"engine.io-client, {one}", "engine.io (Node)", "engine.io", one, ENGINE_IO)
        for one in ("websocket", "polling")
    ),
)


async def main() -> None:
    """Measure all rows."""
    rows = []
    version = ""
    for row in ROWS:
        print(f"         {row.name}", file=sys.stderr, flush=True)
        result: dict[str, Any] = {"name": row.name, "server": row.server}
        try:
            with Server(row.server) as server:
                async with chromium(ALLOW) as browser:
                    version = browser.version
                    measured = measure(browser, row, server.port)
                    result.update(await asyncio.wait_for(measured, _ROW_SECONDS))
        except (Error, TimeoutError, asyncio.TimeoutError, RuntimeError) as error:
            result["error"] = (str(error) or "too slow").splitlines()[0]
        rows.append(result)
    print(json.dumps({"chromium": version, "burst": BURST, "many": BURST * BURSTS, "rows": rows}))


async def measure(browser: Browser, row: Row, port: int) -> dict[str, float]:
    """Return what one row costs the page."""
    page = await open_page(browser, row, port)
    session = await page.context.new_cdp_session(page)
    # CPU time of the thread, not the time that went by: other processes do not count.
    await session.send("Performance.enable", {"timeDomain": "threadTicks"})
    await page.evaluate(
        "([kind, transport]) => connect(kind, transport)", [row.kind, row.transport]
    )
    await page.evaluate(f"burst({BURST})")
    before = await metrics(session)
    echo = await page.evaluate(f"echo({FLIGHT}, {ECHO_SECONDS})")
    after = await metrics(session)
    memory, process = await heap(session), await private_memory(browser)
    begin = await metrics(session)
    bursts = [await page.evaluate(f"burst({BURST})") for _ in range(BURSTS)]
    end = await metrics(session)
    return {
        "echo_rate": echo["messages"] / echo["seconds"],
        "echo_us": (after["TaskDuration"] - before["TaskDuration"]) * 1e6 / echo["messages"],
        "burst_rate": statistics.median(BURST / one["seconds"] for one in bursts),
        "burst_us": (end["TaskDuration"] - begin["TaskDuration"]) * 1e6 / (BURST * BURSTS),
        "burst_script_us": (end["ScriptDuration"] - begin["ScriptDuration"])
        * 1e6
        / (BURST * BURSTS),
        "gap_ms": statistics.median(one["gap"] for one in bursts),
        "heap_KiB": (await heap(session) - memory) / 1024,
        "process_MiB": (await private_memory(browser) - process) / 1024,
    }


async def open_page(browser: Browser, row: Row, port: int) -> Page:
    """Open a page of the server's own origin, which knows nothing of it."""
    body = document(row)
    page = await (await browser.new_context()).new_page()

    async def fulfil(route: Route) -> None:
        await route.fulfill(content_type="text/html", body=body)

    await page.route("**/bench.html", fulfil)
    await page.goto(f"http://127.0.0.1:{port}/bench.html")
    # What is intercepted is slower.
    await page.unroute("**/bench.html")
    return page


def document(row: Row) -> str:
    """Return the page with all scripts that it needs."""
    is_ours = row.server == "ours"
    settings = json.dumps({"transports": [row.transport]})
    scripts = [f"WebSocketEmulation = {settings};"] if is_ours else []
    scripts += [Path(row.script).read_text()] if row.script else []
    scripts.append((HERE / "page.js").read_text())
    inline = "".join(f"<script>{script}</script>" for script in scripts)
    shim = '<script src="/emulation.js"></script>' if is_ours else ""
    return f"<!doctype html>{inline}{shim}"


async def metrics(session: CDPSession) -> dict[str, float]:
    """Return Chromium's own metrics of the page."""
    found = await session.send("Performance.getMetrics")
    return {one["name"]: one["value"] for one in found["metrics"]}


async def heap(session: CDPSession) -> float:
    """Return the bytes of the page's objects after a collection."""
    for _ in range(2):
        await session.send("HeapProfiler.collectGarbage")
    return (await metrics(session))["JSHeapUsedSize"]


async def private_memory(browser: Browser) -> int:
    """Return the KiB that the page's process has for itself."""
    session = await browser.new_browser_cdp_session()
    found = (await session.send("SystemInfo.getProcessInfo"))["processInfo"]
    await session.detach()
    renderers = [one for one in found if one["type"] == "renderer"]
    busiest = max(renderers, key=lambda one: float(one["cpuTime"]))
    return private_of(busiest["id"])


def private_of(pid: int) -> int:
    """Return the KiB of a process that no other one shares."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


if __name__ == "__main__":
    asyncio.run(main())
