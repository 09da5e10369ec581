"""What sessions cost that do nothing, and what is left of those that are gone."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.running import Clients, Contender, Server

NATIVE = Contender("limit", "raw-ws")
OURS = tuple(Contender("ours", name) for name in ("our-ws", "our-stream", "our-poll"))
PURE = tuple(Contender("ours, pure", one.protocol) for one in OURS)
RAW = (NATIVE, Contender("limit", "raw-stream"), Contender("limit", "raw-poll"))
CONTENDERS = (*RAW, *OURS, *PURE)

# An idle session takes what the server grows by from the first number of sessions to the second.
IDLE = (1000, 3000)
# KiB.
IDLE_BARS = {"our-stream": 16.0, "our-poll": 16.0, "our-ws": 26.0}

SESSIONS = (100, 1000, 4000, 10_000)
# Whoever talks has two connections, and a process usually 20,000 descriptors at most.
TALKERS = 9000
# Until what the last messages have left is done: connections are closed, repeats have come.
SETTLE = 10
# Two heartbeats of 15 s, and a poll of 20 s.
REST = 30
# Of a core, with 10,000 sessions.
REST_BAR = 0.02

# For what has been lost to be forgotten.
_GONE_SECONDS = 40


def _say(text: str) -> None:
    print(f"         {text}", file=sys.stderr, flush=True)


def idle(contenders: Sequence[Contender], runs_of_ours: int) -> dict[str, Any]:
    """Measure what memory one more idle session takes."""
    rows = []
    for contender in contenders:
        runs = 1 if contender.protocol not in IDLE_BARS else runs_of_ours
        sizes = [size for _ in range(runs) if (size := _size(contender)) is not None]
        row: dict[str, Any] = {**contender._asdict(), "all": sizes}
        if sizes:
            row["KiB"] = statistics.median(sizes)
        if sizes and contender.protocol in IDLE_BARS:
            row["bar"] = bar = IDLE_BARS[contender.protocol]
            row["is_met"] = row["KiB"] * 0.85 <= bar
        rows.append(row)
        _say(f"{', '.join(contender)}: {[round(size, 1) for size in sizes]} KiB")
    return {"rows": rows}


def _size(contender: Contender) -> float | None:
    with Server(contender.server) as server, Clients(server, contender.protocol) as clients:
        sizes = []
        try:
            for sessions in IDLE:
                clients.do(f"sessions {sessions}")
                sizes.append(server.memory())
        except RuntimeError as error:
            _say(str(error))
            return None
    return (sizes[1] - sizes[0]) / (IDLE[1] - IDLE[0])


def growth() -> dict[str, Any]:
    """Measure the server's time for a message, and its memory, from few sessions to many."""
    rows = []
    for contender in (NATIVE, *OURS):
        with Server(contender.server) as server, Clients(server, contender.protocol) as clients:
            try:
                steps = [_grow(server, clients, sessions) for sessions in SESSIONS]
                clients.do(f"rest {SETTLE}")
                cores = clients.do(f"rest {REST}")["server_cores"]
            except (RuntimeError, OSError) as error:
                _say(str(error))
                continue
        is_met = cores * 0.85 <= REST_BAR
        rows.append({**contender._asdict(), "steps": steps, "rest_cores": cores, "is_met": is_met})
        times = [round(one["few_us"]) for one in steps]
        _say(f"{contender.protocol}: {times} µs, at rest {cores:.1%} of a core")
    if not rows:
        raise RuntimeError("no server has grown")
    return {"rows": rows, "bar": REST_BAR, "seconds": REST}


def _grow(server: Server, clients: Clients, sessions: int) -> dict[str, Any]:
    """Open sessions up to so many; then a hundred of them talk, and then all that can."""
    before = server.memory()
    was_open = clients.do(f"sessions {sessions}")["sessions"]
    memory = server.memory()
    few = [clients.do("talk 100 0.5")["server_us"] for _ in range(2)]
    all_of_them = clients.do(f"talk {min(sessions, TALKERS)} {1 + sessions // 4000}")["server_us"]
    return {
        "sessions": was_open,
        "KiB": memory,
        "KiB_more": memory - before,
        "few_us": min(few),
        "all_us": all_of_them,
    }


def loss() -> dict[str, Any]:
    """Open sessions and lose them all at once, again and again; see what is left of them."""
    rows = []
    with Server("ours", BRIEF="yes") as server:
        empty = {**server.state(), "KiB": server.memory()}
        for protocol in ("our-stream", "our-poll", "our-stream"):
            with Clients(server, protocol) as clients:
                clients.do(f"sessions {SESSIONS[-1]}")
                full = server.memory()
                clients.do("lose")
            left = _left(server, empty)
            rows.append({"protocol": protocol, "full_KiB": full, **left})
            _say(f"{protocol}: {left}")
    return {"rows": rows, "sessions": SESSIONS[-1], "empty": empty}


def _left(server: Server, empty: dict[str, int]) -> dict[str, int]:
    """Return what there is when as little is left as there was, or the time is over."""
    end = time.monotonic() + _GONE_SECONDS
    while True:
        time.sleep(1)
        state = {**server.state(), "KiB": server.memory()}
        is_clean = all(state[name] <= empty[name] for name in ("sessions", "tasks", "futures"))
        if is_clean or time.monotonic() > end:
            return state
