"""A long run: sessions through intermediaries that change at random, and kill what they carry.

    python -m tests.hostile.soak --minutes 30

Each transport has a laboratory of its own, which changes again and again between the modes that let
this transport through, with a reset of all connections in between; pages of Chromium, which choose
for themselves, go through all modes. It prints what became of the sessions, why the server ended
them, and the server's memory after a fifth of the run and at its end. No message may be lost,
repeated or altered; a session may end early where its page could not reach the server for the
resume time, or never told that it has it (docs/protocol.md sections 7.2 and 9), which happens on a
machine that is too busy.

Memory is looked at twice in a row: as it is, and when Python has collected what is in cycles. A
connection of uvicorn and its parser know each other, and so do the tasks that anyio cancels and
their tracebacks. By itself CPython collects them when there are a quarter as many as other objects:
some MiB, more or fewer, whenever one looks.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import anyio
import httpx
from playwright.async_api import Error as PageError

from emulation.testing import TRANSPORTS
from emulation_server.lab import Lab
from tests.hostile import talks
from tests.hostile.winners import BLOCKED
from tests.support import numbered
from tests.support.browser import chromium, new_page
from tests.support.client import Closed, Refused, Socket, connect
from tests.support.faults import CUTS
from tests.support.servers import Server, running

APPLICATION = "tests.hostile.soak_app:app"
COUNT = 60  # messages each way in a session
PACE = 1.0  # seconds between two messages of a client, on average
CHANGE = 20.0  # seconds between two modes, on average
PATIENCE = 240  # seconds for a session, some sixty of which it needs

ENDED = re.compile(r"session \S+ ended with (\d+) on .* after [0-9.]+ s: ([^;]*);")
NAMED = {
    ("1001", "its page went away"),  # at the end of the run
    ("4000", "its page closed it"),
    ("1006", "its page has not been heard of for the resume time"),
    ("1006", "its page has not sent its head (attach_timeout)"),
    ("1006", "its page closed it before it was open"),
    ("1006", "no downstream came within 15.0 s (attach_timeout)"),
}


class Memory(NamedTuple):
    """What the server has at one time."""

    resident: float  # MiB
    collected: float  # MiB that are resident after a collection
    blocks: int  # of objects, after it


@dataclass
class Outcome:
    """What the run has seen."""

    counts: Counter[str] = field(default_factory=Counter)
    memory: list[Memory] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    @property
    def age(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.started

    def tell(self, what: str, detail: object = "") -> None:
        self.counts[what] += 1
        if detail:
            print(f"{what} after {self.age:.0f} s: {detail!r}", flush=True)


def modes(transport: str | None) -> list[str]:
    """Return the intermediaries that let a transport through, None for what finds another."""
    return [mode for mode in BLOCKED if transport not in BLOCKED[mode]]


async def change(lab: Lab, names: Sequence[str], drawn: random.Random) -> None:
    """Change the mode, again and again, and reset what the one before carries."""
    while True:
        if drawn.random() < 0.5:
            lab.set_mode(drawn.choice(names))
        else:
            mode, options = drawn.choice(list(CUTS.values()))
            lab.set_mode(mode, **options)
        await lab.drop_connections()
        await asyncio.sleep(drawn.expovariate(1 / CHANGE))


async def converse(socket: Socket, drawn: random.Random) -> None:
    async def send(message: str | bytes) -> None:
        await asyncio.sleep(drawn.uniform(0, 2 * PACE))
        if drawn.random() < 0.01:
            socket.drop()
        await socket.send(message)

    async def receive() -> str | bytes:
        return await socket.receive(PATIENCE)

    await numbered.exchange(send, receive, "page", COUNT)
    await receive()
    await socket.close(4000, "complete")


async def client(lab: Lab, transport: str, outcome: Outcome, seed: int) -> None:
    """Open one session after another."""
    drawn = random.Random(seed)
    url = f"ws://127.0.0.1:{lab.port}/numbered?n={COUNT}"
    while True:
        await asyncio.sleep(drawn.uniform(0, 5))
        outcome.tell("tried")
        is_open = False
        try:
            with anyio.fail_after(PATIENCE):
                async with connect(url, transport) as socket:
                    is_open = True
                    await converse(socket, drawn)
            outcome.tell("complete")
            outcome.counts["messages"] += 2 * COUNT
        except numbered.Altered as error:
            outcome.tell("altered", error)
        except (Closed, Refused, TimeoutError) as error:
            outcome.tell(
                "ended" if is_open else "not opened", (transport, lab.mode, error, error.__cause__)
            )


async def page(url: str, outcome: Outcome, stack: AsyncExitStack) -> None:
    """Let Chromium hold one session after another, each in a page that remembers nothing."""
    browser = await stack.enter_async_context(chromium())
    options = {
        "path": f"/numbered?n={COUNT}",
        "ours": talks.messages("page", COUNT),
        "theirs": talks.messages("server", COUNT),
        "lead": 1,
    }
    while True:
        outcome.tell("tried")
        try:
            with anyio.fail_after(PATIENCE):
                async with new_page(browser, script=talks.SCRIPT) as tab:
                    await tab.goto(url)
                    if not await tab.evaluate("'WebSocketEmulation' in self"):
                        outcome.tell("page not loaded", "without the shim")
                        continue
                    came = await tab.evaluate(talks.EXCHANGE, options)
        except (PageError, TimeoutError) as error:
            outcome.tell("page not loaded", error)
            continue
        if came["altered"]:
            outcome.tell("altered", came)
        elif came["close"] != [4000, "complete", True]:
            outcome.tell("ended", came)
        else:
            outcome.tell("complete")
            outcome.counts["messages"] += 2 * COUNT


async def look(server: Server) -> Memory:
    """Look at the memory of the server."""
    before = resident(server)
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as client:
        blocks = (await client.post(f"{server.url}/collect")).json()
    return Memory(before, resident(server), blocks)


def resident(server: Server) -> float:
    """Return the MiB of memory that the server has."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


async def soak(server: Server, minutes: float, sessions: int, pages: int, seed: int) -> Outcome:
    outcome = Outcome()
    drawn = random.Random(seed)
    to = ("127.0.0.1", server.port)
    async with AsyncExitStack() as stack:
        work: list[Coroutine[None, None, None]] = []
        for transport in TRANSPORTS:
            lab = await stack.enter_async_context(Lab(to))
            work.append(change(lab, modes(transport), random.Random(drawn.random())))
            for _ in range(sessions // len(TRANSPORTS)):
                work.append(client(lab, transport, outcome, drawn.getrandbits(32)))
        if pages:
            lab = await stack.enter_async_context(Lab(to))
            work.append(change(lab, modes(None), random.Random(drawn.random())))
            work += [page(lab.url, outcome, stack) for _ in range(pages)]
        tasks = [asyncio.create_task(each) for each in work]
        try:
            for part in (1 / 5, 4 / 5):
                done, _ = await asyncio.wait(
                    tasks, timeout=minutes * 60 * part, return_when=asyncio.FIRST_EXCEPTION
                )
                for task in done:
                    task.result()
                outcome.memory.append(await look(server))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return outcome


def report(server: Server, outcome: Outcome) -> bool:
    """Print what came of it, and tell whether it is what is promised."""
    counts = outcome.counts
    starts = httpx.get(f"{server.url}/starts", trust_env=False).json()
    print(f"sessions: {counts['tried']} tried, {counts['complete']} complete")
    print(f"sessions not opened: {counts['not opened']}, ended early: {counts['ended']}")
    ends = Counter(ENDED.findall(server.log()))
    for (code, why), count in ends.most_common():
        print(f"ended by the server's account with {code}, {why}: {count}")
    print(f"pages not loaded: {counts['page not loaded']}")
    print(f"messages: {counts['messages']}, sessions with a wrong one: {counts['altered']}")
    print(f"starts of the application: {starts}")
    for what, fifth, end in zip(Memory._fields, *outcome.memory, strict=True):
        print(f"{what}: {fifth:.6g} after a fifth, {end:.6g} at the end ({end / fifth:.3f})")
    early = sum(count for (code, _), count in ends.items() if code == "1006")
    return (
        not counts["altered"]
        and counts["ended"] <= early
        and ends.keys() <= NAMED
        and starts <= counts["tried"]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--pages", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with running(APPLICATION) as server:
        outcome = asyncio.run(
            soak(server, options.minutes, options.sessions, options.pages, options.seed)
        )
        return 0 if report(server, outcome) else 1


if __name__ == "__main__":
    sys.exit(main())
