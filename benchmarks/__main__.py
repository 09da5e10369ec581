"""Measure the library beside the limit and beside its peers: `make bench`.

Every server runs on the first core, the load on the last one. Samples are short and interleaved;
a figure is the median of the ratios of samples that were taken one after the other, and a pair
counts only where other processes took less than a third of a core meanwhile. The results go to
docs/performance.json, tables and charts to docs/performance.md; with --quick nothing is written.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import report
from benchmarks.running import Contender, Server, environment, load

# Of a core, by processes that are neither the server nor the load.
FOREIGN = 1 / 3

OURS, LIMIT = "ours", "limit"
NATIVE = Contender(LIMIT, "raw-ws")
RAW_STREAM, RAW_POLL = Contender(LIMIT, "raw-stream"), Contender(LIMIT, "raw-poll")
OUR_WS, OUR_STREAM = Contender(OURS, "our-ws"), Contender(OURS, "our-stream")
OUR_POLL, OUR_SSE = Contender(OURS, "our-poll"), Contender(OURS, "our-sse")
PEERS = (
    Contender("python-engineio", "eio-ws"),
    Contender("python-engineio", "eio-poll"),
    Contender("sockjs (aiohttp)", "sjs-ws"),
    Contender("sockjs (aiohttp)", "sjs-stream"),
    Contender("sockjs (aiohttp)", "sjs-poll"),
    Contender("engine.io (Node)", "eio-ws"),
    Contender("engine.io (Node)", "eio-poll"),
    Contender("sockjs (Node)", "sjs-ws"),
    Contender("sockjs (Node)", "sjs-stream"),
    Contender("sockjs (Node)", "sjs-poll"),
)
ALL = (NATIVE, RAW_STREAM, RAW_POLL, OUR_WS, OUR_STREAM, OUR_POLL, OUR_SSE)


class Bar(NamedTuple):
    """What one of ours should reach beside another one."""

    ours: Contender
    beside: Contender
    value: float
    is_most: bool = False


class Workload(NamedTuple):
    """What is measured of whom; the first contender is the one that others are divided by."""

    name: str
    title: str
    arguments: tuple[str, ...]
    contenders: tuple[Contender, ...]
    bars: tuple[Bar, ...]
    metric: str = "rate"
    # A server of which clients have left without a word still has their sessions.
    is_fresh: bool = False


WORKLOADS = (
    Workload(
        "w1",
        "Echo of 64 bytes, 100 clients, one message at a time",
        ("echo", "100", "1", "64", "0.2", "0.5"),
        (*ALL, *PEERS),
        (
            Bar(OUR_WS, NATIVE, 0.80),
            Bar(OUR_STREAM, NATIVE, 0.40),
            Bar(OUR_POLL, NATIVE, 0.20),
            Bar(OUR_SSE, NATIVE, 0.18),
        ),
    ),
    Workload(
        "w16",
        "Echo of 64 bytes, 64 clients, 16 messages in flight",
        ("echo", "64", "16", "64", "0.2", "0.5"),
        (*ALL, *PEERS),
        (
            Bar(OUR_WS, NATIVE, 0.80),
            Bar(OUR_STREAM, NATIVE, 2.5),
            Bar(OUR_POLL, NATIVE, 1.8),
        ),
    ),
    Workload(
        "alone",
        "Round trip of one client alone",
        ("echo", "1", "1", "64", "0.1", "0.3"),
        (NATIVE, RAW_STREAM, RAW_POLL, OUR_WS, OUR_STREAM, OUR_POLL),
        (Bar(OUR_STREAM, NATIVE, 1.4, True), Bar(OUR_POLL, NATIVE, 1.4, True)),
        "p50_us",
    ),
    Workload(
        "big",
        "Echo of 1 MiB, one client",
        ("echo", "1", "1", str(1 << 20), "0.1", "0.4"),
        (NATIVE, RAW_STREAM, RAW_POLL, OUR_WS, OUR_STREAM, OUR_POLL),
        (Bar(OUR_STREAM, RAW_STREAM, 0.8), Bar(OUR_POLL, RAW_POLL, 0.8)),
    ),
    Workload(
        "open",
        "Sessions opened a second, 32 at a time",
        ("open", "32", "0.2", "0.5"),
        (NATIVE, RAW_STREAM, RAW_POLL, OUR_WS, OUR_STREAM, OUR_POLL),
        (Bar(OUR_STREAM, NATIVE, 0.9), Bar(OUR_POLL, NATIVE, 0.9)),
        is_fresh=True,
    ),
    Workload(
        "fanout",
        "One message to 5,000 clients, until all have it",
        ("fanout", "5000", "5", "64"),
        (NATIVE, RAW_STREAM, OUR_WS, OUR_STREAM, OUR_POLL),
        (Bar(OUR_STREAM, NATIVE, 1.2, True),),
        "ms",
        is_fresh=True,
    ),
)

# From the first number of idle sessions to the second.
IDLE = (1000, 4000)
IDLE_BARS = {OUR_STREAM: 16.0, OUR_POLL: 16.0, OUR_WS: 26.0}
IDLE_CONTENDERS = (NATIVE, RAW_STREAM, OUR_WS, OUR_STREAM, OUR_POLL)

GROWTH = (1, 100, 1000, 4000, 9000)


def main() -> int:
    """Measure, report and say whether each bar is met."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--quick", action="store_true", help="under two minutes, without peers")
    parser.add_argument("--only", action="append", help="one workload, or idle, or growth")
    parser.add_argument("--write", action="store_true", help="put what --only measured on the page")
    parser.add_argument("--pairs", type=int, help="how many pairs (7; quick: 3)")
    options = parser.parse_args()
    environment(with_peers=not options.quick)
    pairs = options.pairs or (3 if options.quick else 7)
    results: dict[str, Any] = {"machine": machine(), "workloads": {}}
    if options.write:
        results["workloads"] = report.read().get("workloads", {})
    for workload in WORKLOADS:
        if options.only and workload.name not in options.only:
            continue
        if options.quick:
            ours = [one for one in workload.contenders if one not in PEERS]
            workload = workload._replace(contenders=tuple(ours))
        samples = measure(workload, pairs)
        results["workloads"][workload.name] = rows = summary(workload, samples)
        report.show(workload.title, workload.metric, rows)
        keep(options, results)
    if not options.only or "idle" in options.only:
        results["idle"] = idle(1 if options.quick else 3)
        report.show_idle(results["idle"])
        keep(options, results)
    if (not options.only and not options.quick) or (options.only and "growth" in options.only):
        results["growth"] = growth()
        report.show_growth(results["growth"])
        keep(options, results)
    return 0


def keep(options: argparse.Namespace, results: dict[str, Any]) -> None:
    """Write what there is of a whole run, or what is to be written of a part."""
    if options.write or (not options.quick and not options.only):
        report.write(results)


def machine() -> dict[str, Any]:
    """Say where and with what this was measured."""
    text = Path("/proc/cpuinfo").read_text()
    models = [line.partition(": ")[2] for line in text.splitlines() if "model name" in line]
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": models[0] if models else platform.machine(),
        "cores": len(models),
        "kernel": ".".join(platform.release().split(".")[:2]),
        "python": platform.python_version(),
        "versions": environment_versions(),
    }


def environment_versions() -> dict[str, str]:
    """Return the versions of what was measured."""
    from benchmarks.running import NODE, PYTHON

    listed = subprocess.run(
        [PYTHON, "-m", "pip", "list", "--format=json"], capture_output=True, check=True, text=True
    )
    wanted = {"uvicorn", "uvloop", "httptools", "websockets", "starlette", "sse-starlette"}
    wanted |= {"python-engineio", "aiohttp", "sockjs"}
    versions = {one["name"]: one["version"] for one in json.loads(listed.stdout)}
    found = {name: version for name, version in versions.items() if name in wanted}
    for name in ("engine.io", "sockjs", "ws"):
        path = NODE / "node_modules" / name / "package.json"
        if path.exists():
            found[f"npm {name}"] = json.loads(path.read_text())["version"]
    return found


def measure(workload: Workload, pairs: int) -> list[dict[Contender, dict[str, Any]]]:
    """Take samples of all contenders in turns until there are enough quiet ones of each."""
    taken: list[dict[Contender, dict[str, Any]]] = []
    with ExitStack() as stack:
        servers = {}
        if not workload.is_fresh:
            for name in {one.server for one in workload.contenders}:
                servers[name] = stack.enter_context(Server(name))
        for _ in range(pairs + pairs // 2):
            turn = {}
            for contender in workload.contenders:
                sample = take(workload, contender, servers)
                if sample is not None:
                    turn[contender] = sample
            taken.append(turn)
            if least_quiet(workload, taken) >= pairs:
                break
    return taken


def take(
    workload: Workload, contender: Contender, servers: dict[str, Server]
) -> dict[str, Any] | None:
    """Take one sample; None where the server cannot do it."""
    if contender.server in servers:
        return load(servers[contender.server], contender.protocol, *workload.arguments)
    with Server(contender.server) as server:
        return load(server, contender.protocol, *workload.arguments)


def is_quiet(sample: dict[str, Any]) -> bool:
    """Tell whether the machine was ours while this was taken."""
    return bool(sample["foreign_cores"] < FOREIGN)


def quiet_pairs(
    taken: list[dict[Contender, dict[str, Any]]], one: Contender, other: Contender
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Pair the samples of two contenders that were taken in one turn."""
    for turn in taken:
        if one in turn and other in turn and is_quiet(turn[one]) and is_quiet(turn[other]):
            yield turn[one], turn[other]


def least_quiet(workload: Workload, taken: list[dict[Contender, dict[str, Any]]]) -> int:
    """Count the quiet pairs of the contender of ours that has the fewest."""
    base = workload.contenders[0]
    ours = [one for one in workload.contenders if one.server == OURS]
    return min(len(list(quiet_pairs(taken, one, base))) for one in ours)


def value_of(sample: dict[str, Any], metric: str) -> float:
    """Return what counts of a sample: of several rounds the median."""
    value = sample[metric]
    return float(statistics.median(value) if isinstance(value, list) else value)


def summary(
    workload: Workload, taken: list[dict[Contender, dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Reduce the samples to medians, and to ratios to the first contender and to the bars'."""
    base = workload.contenders[0]
    rows = []
    for contender in workload.contenders:
        samples = [turn[contender] for turn in taken if contender in turn]
        row: dict[str, Any] = {
            "server": contender.server,
            "protocol": contender.protocol,
            "samples": samples,
            "ratio": ratio(workload, taken, contender, base),
        }
        quiet = [one for one in samples if is_quiet(one)] or samples
        if quiet:
            row["value"] = statistics.median(value_of(one, workload.metric) for one in quiet)
            row["load_cores"] = max(one["load_cores"] for one in quiet)
            row["server_cores"] = statistics.median(one["server_cores"] for one in quiet)
        for bar in workload.bars:
            if bar.ours == contender:
                measured = ratio(workload, taken, contender, bar.beside)
                row["bar"] = {
                    "beside": bar.beside.protocol,
                    "value": bar.value,
                    "is_most": bar.is_most,
                    "measured": measured,
                    "is_met": is_met(bar, measured),
                }
        rows.append(row)
    return rows


def ratio(
    workload: Workload,
    taken: list[dict[Contender, dict[str, Any]]],
    one: Contender,
    other: Contender,
) -> dict[str, Any] | None:
    """Return the median of the ratios of quiet pairs, their quartiles and their number."""
    ratios = sorted(
        value_of(first, workload.metric) / value_of(second, workload.metric)
        for first, second in quiet_pairs(taken, one, other)
    )
    if not ratios:
        return None
    quarter = len(ratios) // 4
    return {
        "median": statistics.median(ratios),
        "low": ratios[quarter],
        "high": ratios[-1 - quarter],
        "pairs": len(ratios),
    }


def is_met(bar: Bar, measured: dict[str, Any] | None) -> bool | None:
    """Tell whether the bar is met at 0.85 of its value, for the noise; None without a pair."""
    if measured is None:
        return None
    if bar.is_most:
        return bool(measured["median"] * 0.85 <= bar.value)
    return bool(measured["median"] >= 0.85 * bar.value)


def idle(runs: int) -> list[dict[str, Any]]:
    """Measure what memory one more idle session takes."""
    rows = []
    for contender in IDLE_CONTENDERS:
        sizes = []
        for _ in range(runs):
            with Server(contender.server) as server:
                sizes.append(server.memory_of_a_session(contender.protocol, *IDLE))
        bar = IDLE_BARS.get(contender)
        size = statistics.median(sizes)
        rows.append(
            {
                "server": contender.server,
                "protocol": contender.protocol,
                "KiB": size,
                "all": sizes,
                "bar": bar,
                "is_met": bar and size * 0.85 <= bar,
            }
        )
    return rows


def growth() -> list[dict[str, Any]]:
    """Measure the server's time for a message from one session to many."""
    rows = []
    for contender in (NATIVE, OUR_STREAM, OUR_POLL):
        for sessions in GROWTH:
            costs = []
            with Server(contender.server) as server:
                for _ in range(2):
                    arguments = ("echo", str(sessions), "1", "64", "1", "1")
                    sample = load(server, contender.protocol, *arguments)
                    if sample is not None:
                        costs.append(sample["server_us"])
            rows.append(
                {
                    "server": contender.server,
                    "protocol": contender.protocol,
                    "sessions": sessions,
                    "server_us": statistics.median(costs) if costs else None,
                    "all": costs,
                }
            )
    return rows


if __name__ == "__main__":
    sys.exit(main())
