"""Plans that nobody wrote: pages whose network changes, breaks and lies as hypothesis draws it.

Whatever happens, messages come in order, once and unaltered, or the page is told 1006; and one
socket starts the application once. `python -m pytest --full tests/hostile/test_chaos.py -k long
--hypothesis-seed=7` tries other plans, and says in its output how the sessions ended.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from emulation import Config, WebSocketEmulation
from emulation.testing import TRANSPORTS, Carrier, Closed, WebSocket, carrier, serve
from emulation_server.lab import Lab
from tests.apps.numbered_app import numbered
from tests.apps.recorder import Recorder
from tests.support import recorded
from tests.support.numbered import exchange
from tests.support.plans import PLAYED

pytestmark = pytest.mark.integration

# A plan that makes no progress for so long is one more way to lose messages.
TIMEOUT = 90
# What a step waits for: this many more messages, or this many seconds.
STEP_MESSAGES, STEP_SECONDS = 20, 0.3

# Intermediaries that every transport gets through, and those that no native socket does.
MODES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("plain", {}),
    ("chaos", {"probability": 0.3}),
    ("chaos", {"probability": 0.6, "until": 2_000}),
    ("drop", {"until": 5_000, "probability": 0.5}),
    ("truncate", {"until": 5_000, "probability": 0.5}),
    ("truncate", {"until": 2_000, "direction": "both", "probability": 0.5}),
    ("duplicate", {"answer": "first"}),
    ("dup", {}),
    ("lose-answer", {"probability": 0.5}),
    ("swap", {}),
    ("cut-bodies", {"after": 30_000}),
    ("cut-tunnel", {"after": 100, "until": 5_000}),
    ("jitter", {"jitter": 0.05}),
    ("reorder", {}),
    ("striphdr", {}),
    ("limit2k", {"body": 20_000}),
    ("maxdur", {"limit": 0.3}),
    ("http10", {}),
    ("portal", {"probability": 0.5}),
)


class Plan(NamedTuple):
    """What the page and its network do; each step follows the one before in a moment."""

    sockets: int
    messages: int
    transport: str
    json: bool
    window_bytes: int
    window_frames: int
    mode: tuple[str, dict[str, Any]]
    steps: list[tuple[str, Any]]
    seed: int


steps = st.one_of(
    st.tuples(st.just("mode"), st.sampled_from(MODES)),
    st.tuples(st.just("switch"), st.sampled_from(TRANSPORTS)),
    st.tuples(st.sampled_from(["drop", "drop upload", "reset all", "say nothing"]), st.none()),
)

plans = st.builds(
    Plan,
    sockets=st.integers(1, 3),
    messages=st.integers(20, 420),
    transport=st.sampled_from(TRANSPORTS),
    json=st.booleans(),
    window_bytes=st.sampled_from([12_000, 70_000, 1_000_000]),
    window_frames=st.sampled_from([4, 64, 1024]),
    mode=st.sampled_from(MODES),
    steps=st.lists(steps, max_size=12),
    seed=st.integers(0, 2**32),
)


class Page:
    """The sockets of one plan, and how far each has come."""

    def __init__(self, plan: Plan, lab: Lab, shared: Carrier) -> None:
        self.plan = plan
        self.lab = lab
        self.shared = shared
        self.received = 0
        self.ends: Counter[str] = Counter()
        self._sockets: list[WebSocket] = []

    async def talk(self, path: str) -> None:
        """Exchange numbered messages over one socket; raises Altered."""
        try:
            async with self.shared.connect(path) as ws:
                self._sockets.append(ws)

                async def receive() -> str | bytes:
                    message = await ws.receive(None)
                    self.received += 1
                    return message

                await exchange(ws.send, receive, "page", self.plan.messages)
                await ws.receive(None)
                await ws.close(4000, "complete")
                assert ws.closed is not None
                self.ends[f"{ws.closed.code}"] += 1
        except Closed as closed:
            # Neither 4001, by which the application says that a message was altered, nor another.
            assert (closed.code, closed.was_clean) == (1006, False), closed
            self.ends[f"1006: {closed.__cause__}"] += 1

    async def walk(self) -> None:
        """Take the steps, and let the network be well again behind the last."""
        for what, more in self.plan.steps:
            await self._moment()
            if what == "mode":
                self.lab.set_mode(more[0], **more[1], seed=self.plan.seed)
            elif what == "switch":
                await self._switch(more)
            elif what == "drop":
                self.shared.drop()
            elif what == "drop upload":
                self.shared.drop_upload()
            elif what == "reset all":
                await self.lab.drop_connections()
        await self._moment()
        self.lab.set_mode("plain")

    async def _moment(self) -> None:
        before = self.received
        with anyio.move_on_after(STEP_SECONDS):
            while self.received < before + STEP_MESSAGES:  # noqa: ASYNC110 (no event tells)
                await anyio.sleep(0.01)

    async def _switch(self, transport: str) -> None:
        """Begin to switch; what becomes of it is seen by the messages."""

        async def switch(ws: WebSocket) -> None:
            try:
                await ws.switch(transport)
            except (Closed, TimeoutError):
                pass

        with anyio.move_on_after(STEP_SECONDS):
            async with anyio.create_task_group() as tasks:
                for ws in self._sockets:
                    if ws.closed is None:
                        tasks.start_soon(switch, ws)


async def follow(plan: Plan) -> Counter[str]:
    """Serve the numbered application, and let a page live through the plan; return its ends."""
    app = Starlette(routes=[WebSocketRoute("/numbered", numbered)])
    app.add_middleware(Recorder)
    config = Config(
        window_bytes=plan.window_bytes,
        window_frames=plan.window_frames,
        part_size=4_000,
        max_batch=30_000,
        stream_renew=40_000,
        text_stream_renew=40_000,
        heartbeat=0.5,
        poll_time=0.5,
    )
    async with serve(WebSocketEmulation(app, config=config)) as url:
        port = int(url.rpartition(":")[2])
        mode, options = plan.mode
        async with (
            Lab(("127.0.0.1", port), mode, **options, seed=plan.seed) as lab,
            carrier(lab.url, transport=plan.transport, json=plan.json) as shared,
        ):
            page = Page(plan, lab, shared)
            paths = [f"/numbered?n={plan.messages}&token=t{i}." for i in range(plan.sockets)]
            with anyio.fail_after(TIMEOUT):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(page.walk)
                    for path in paths:
                        tasks.start_soon(page.talk, path)
        for number in range(plan.sockets):
            starts = await recorded.starts(url, f"t{number}.")
            assert len(starts) <= 1, "the application was started more than once"
    return page.ends


def run(plan: Plan) -> None:
    work: Callable[[Plan], Coroutine[Any, Any, Counter[str]]] = follow
    ends = asyncio.run(work(plan))
    print(*(f"{count} × {end}" for end, count in ends.items()), sep="\n")


@pytest.mark.timeout(300)
@settings(PLAYED, max_examples=12, derandomize=True)
@given(plans)
def test_nothing_is_lost(plan: Plan) -> None:
    run(plan)


@pytest.mark.full
@pytest.mark.timeout(3600)
@settings(PLAYED, max_examples=200)
@given(plans)
def test_nothing_is_lost_for_long(plan: Plan) -> None:
    run(plan)
