"""Measure the library beside the limit and beside its peers: `make bench`.

Every server runs on the first core, the load on the last one. Samples are short and interleaved;
a figure is the median of the ratios of samples that were taken one after the other, and a pair
counts only where other processes took less than a third of a core meanwhile. What has been measured
goes at once to docs/performance.json, and as tables and charts to docs/performance.md, in the place
of the same workload's older results; with --quick nothing is written, with --only not unless asked.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import growth, report
from benchmarks.running import NODE, PYTHON, ROOT, Clients, Contender, Server, environment, load

# Of a core, by processes that are neither the server nor the load.
FOREIGN = 1 / 3

OURS, PURE, LIMIT = "ours", "ours, pure", "limit"
NATIVE = Contender(LIMIT, "raw-ws")
RAW_STREAM, RAW_POLL = Contender(LIMIT, "raw-stream"), Contender(LIMIT, "raw-poll")
OUR_WS, OUR_STREAM = Contender(OURS, "our-ws"), Contender(OURS, "our-stream")
OUR_POLL, OUR_SSE = Contender(OURS, "our-poll"), Contender(OURS, "our-sse")
PURE_WS, PURE_STREAM = Contender(PURE, "our-ws"), Contender(PURE, "our-stream")
PURE_POLL, PURE_SSE = Contender(PURE, "our-poll"), Contender(PURE, "our-sse")
PURES = (PURE_WS, PURE_STREAM, PURE_POLL)
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
FAN_PEERS = (
    Contender("python-engineio", "eio-ws"),
    Contender("sockjs (aiohttp)", "sjs-stream"),
    Contender("engine.io (Node)", "eio-ws"),
    Contender("sockjs (Node)", "sjs-stream"),
)
ALL = (NATIVE, RAW_STREAM, RAW_POLL, OUR_WS, OUR_STREAM, OUR_POLL, OUR_SSE, *PURES, PURE_SSE)


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
    # So many stay open from turn to turn; the arguments are then a step of the load.
    sessions: int = 0
    # After so many seconds no further turn begins.
    seconds: float = 105


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
        (NATIVE, RAW_STREAM, RAW_POLL, OUR_WS, OUR_STREAM, OUR_POLL, *PURES),
        (Bar(OUR_STREAM, NATIVE, 1.4, True), Bar(OUR_POLL, NATIVE, 1.4, True)),
        "p50_us",
        seconds=40,
    ),
    Workload(
        "big",
        "Echo of 1 MiB, one client",
        ("echo", "1", "1", str(1 << 20), "0.1", "0.4"),
        (NATIVE, RAW_STREAM, RAW_POLL, OUR_WS, OUR_STREAM, OUR_POLL, *PURES, *PEERS),
        (Bar(OUR_STREAM, RAW_STREAM, 0.8), Bar(OUR_POLL, RAW_POLL, 0.8)),
        seconds=65,
    ),
    Workload(
        "open",
        "Sessions opened a second, 32 at a time",
        ("open", "32", "0.2", "0.5"),
        (NATIVE, RAW_STREAM, RAW_POLL, OUR_WS, OUR_STREAM, OUR_POLL, *PURES),
        (Bar(OUR_STREAM, NATIVE, 0.9), Bar(OUR_POLL, NATIVE, 0.9)),
        is_fresh=True,
        seconds=85,
    ),
    Workload(
        "fanout",
        "One message to 5,000 clients, until all have it",
        ("fan", "3"),
        (NATIVE, RAW_STREAM, OUR_WS, OUR_STREAM, OUR_POLL, *FAN_PEERS),
        (Bar(OUR_STREAM, NATIVE, 1.2, True),),
        "ms",
        sessions=5000,
        seconds=110,
    ),
)

PARTS = [one.name for one in WORKLOADS] + ["idle", "growth", "loss", "page"]


def main() -> int:
    """Measure, report and say whether each bar is met."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument(
        "--quick", action="store_true", help="under two minutes: ours, compiled, and the limit"
    )
    parser.add_argument("--only", action="append", choices=PARTS, help="this part, and no other")
    parser.add_argument("--write", action="store_true", help="put what --only measured on the page")
    parser.add_argument("--pairs", type=int, help="how many pairs (7; quick: 3 at most)")
    options = parser.parse_args()
    environment(with_peers=not options.quick)
    failed = []
    for name, measured in parts(options):
        if name not in (options.only or PARTS) or (options.quick and name in SLOW):
            continue
        _say(f"{name} …")
        try:
            results = {**machine(), **measured()}
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            _say(f"{name} failed: {error}")
            failed.append(name)
            continue
        report.show(name, results)
        if options.write or not (options.quick or options.only):
            report.write(name, results)
    _say(f"done; failed: {', '.join(failed)}" if failed else "done")
    return 1 if failed else 0


# What takes more time than --quick has.
SLOW = ("growth", "loss", "page")


def parts(options: argparse.Namespace) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """Name what can be measured, and how."""
    pairs = options.pairs or (3 if options.quick else 7)
    for workload in WORKLOADS:
        if options.quick:
            few = tuple(
                [one for one in workload.contenders if one not in PEERS and one.server != PURE]
            )
            workload = workload._replace(contenders=few, seconds=workload.seconds / 12)
        yield workload.name, partial(compare, workload, pairs)
    idle = (*growth.RAW, *growth.OURS) if options.quick else (*growth.CONTENDERS, *PEERS)
    yield "idle", partial(growth.idle, idle, 1 if options.quick else 2)
    yield "growth", growth.growth
    yield "loss", growth.loss
    yield "page", measure_page


def measure_page() -> dict[str, Any]:
    """Measure in Chromium, in the environment that has Playwright."""
    command = [PYTHON, "-m", "benchmarks.page"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=240)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def compare(workload: Workload, pairs: int) -> dict[str, Any]:
    """Measure a workload of all its contenders."""
    rows = summary(workload, measure(workload, pairs))
    return {"title": workload.title, "metric": workload.metric, "rows": rows}


_BEGUN = time.monotonic()


def _say(text: str) -> None:
    print(f"[{time.monotonic() - _BEGUN:4.0f} s] {text}", file=sys.stderr, flush=True)


def machine() -> dict[str, Any]:
    """Say when, where and with what this was measured."""
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
    listed = subprocess.run(
        [PYTHON, "-m", "pip", "list", "--format=json"], capture_output=True, check=True, text=True
    )
    wanted = {"uvicorn", "uvloop", "httptools", "websockets", "starlette", "sse-starlette"}
    wanted |= {"python-engineio", "aiohttp", "sockjs"}
    versions = {one["name"]: one["version"] for one in json.loads(listed.stdout)}
    found = {name: version for name, version in versions.items() if name in wanted}
    for name in ("engine.io", "engine.io-client", "sockjs", "sockjs-client", "ws"):
        path = NODE / "node_modules" / name / "package.json"
        if path.exists():
            found[f"npm {name}"] = json.loads(path.read_text())["version"]
    return found


def measure(workload: Workload, pairs: int) -> list[dict[Contender, dict[str, Any]]]:
    """Take samples of all contenders in turns until there are enough quiet ones of each."""
    taken: list[dict[Contender, dict[str, Any]]] = []
    with ExitStack() as stack:
        servers: dict[str, Server] = {}
        takers = {one: taker(workload, one, servers, stack) for one in workload.contenders}
        end = time.monotonic() + workload.seconds
        while len(taken) < pairs + pairs // 2 and time.monotonic() < end:
            samples = {one: take() for one, take in takers.items()}
            taken.append({one: sample for one, sample in samples.items() if sample is not None})
            _say(f"{workload.name}: turn {len(taken)}, {least_quiet(workload, taken)} quiet")
            if least_quiet(workload, taken) >= pairs:
                break
    return taken


Take = Callable[[], "dict[str, Any] | None"]


def taker(
    workload: Workload, contender: Contender, servers: dict[str, Server], stack: ExitStack
) -> Take:
    """Start what a contender needs, and return what takes a sample of it."""
    name, protocol = contender
    if workload.is_fresh:
        return lambda: take_fresh(workload, contender)
    if not workload.sessions:
        if name not in servers:
            servers[name] = stack.enter_context(Server(name))
        return lambda: load(servers[name], protocol, *workload.arguments)
    crowd = stack.enter_context(Crowd(contender, workload.sessions))
    return lambda: crowd.take(" ".join(workload.arguments))


def take_fresh(workload: Workload, contender: Contender) -> dict[str, Any] | None:
    """Take one sample of a server that nobody has used."""
    with Server(contender.server) as server:
        return load(server, contender.protocol, *workload.arguments)


# Seconds between heartbeats: with those of every day the crowds of the contenders who wait for
# their turn take more than FOREIGN.
_CALM = "3600"


class Crowd:
    """Sessions that stay open from sample to sample; new ones where they did not."""

    def __init__(self, contender: Contender, sessions: int) -> None:
        self._contender = contender
        self._sessions = sessions
        self._stack = ExitStack()
        self._clients: Clients | None = None

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def take(self, step: str) -> dict[str, Any] | None:
        """Take one sample; None where the server failed."""
        try:
            return (self._clients or self._open()).do(step)
        except (RuntimeError, OSError) as error:
            _say(f"{', '.join(self._contender)}: {error}")
            self._clients = None
            self._stack.close()
            return None

    def _open(self) -> Clients:
        server = self._stack.enter_context(Server(self._contender.server, HEARTBEAT=_CALM))
        clients = self._stack.enter_context(Clients(server, self._contender.protocol))
        clients.do(f"sessions {self._sessions}")
        self._clients = clients
        return clients


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
    ours = [one for one in workload.contenders if one.server in (OURS, PURE)]
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
            if bar.ours.protocol == contender.protocol:
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


if __name__ == "__main__":
    sys.exit(main())
