"""Numbered messages flow both ways while their transport is struck, again and again."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from itertools import combinations
from typing import Any, NamedTuple

import anyio
import pytest

from emulation.testing import TRANSPORTS, Closed, connect
from emulation.testing.socket import EmulatedWebSocket
from emulation_server.lab import Exchange as LabExchange
from emulation_server.lab.faults import CutTunnel
from emulation_server.lab.intermediaries import swallow
from tests.support import recorded
from tests.support.faults import SEND, LabBefore
from tests.support.faults import lab_before as lab_before
from tests.support.numbered import exchange
from tests.support.servers import Servers

pytestmark = pytest.mark.integration

APPLICATION = "tests.apps.emulated.numbered_app:app"
COUNT = 2000
TIMEOUT = 100

HTTP = TRANSPORTS[1:]
# Each transport comes after each other one, and each has some messages to carry.
WALK = [name for a, b in combinations(TRANSPORTS, 2) for name in (a, b, a)]
MESSAGES_BEFORE_SWITCH = COUNT // (len(WALK) + 1)

DOWNSTREAM = r"emulation=(stream|sse|poll)\."
ATTACH = r"emulation=(stream|ticket|poll)\."


class Fault(NamedTuple):
    """What a laboratory does to which transports; `sign` is what it calls a strike."""

    transports: tuple[str, ...]
    sign: str
    mode: str
    options: dict[str, Any]
    strikes: int = 2
    pages: int = 1


FAULTS = {
    "connection dropped": Fault(HTTP, "reset", "drop", {"only": DOWNSTREAM, "until": 64_000}),
    "connection dropped in an upload": Fault(
        HTTP, "reset", "drop", {"only": SEND, "direction": "up", "until": 2_000, "every": 2}
    ),
    "answer truncated": Fault(HTTP, "truncated", "truncate", {"only": DOWNSTREAM, "until": 64_000}),
    "upload truncated": Fault(
        HTTP, "truncated", "truncate", {"only": SEND, "direction": "up", "until": 2_000, "every": 2}
    ),
    "bodies cut": Fault(HTTP, "truncated", "cut-bodies", {"after": 40_000}),
    "stream never finished": Fault(
        ("stream", "sse", "xhr-stream"),
        "stalled",
        "stall",
        {"only": DOWNSTREAM, "until": 32_000, "every": 3},
        strikes=1,
    ),
    "poll never finished": Fault(
        ("poll",), "stalled", "stall", {"only": DOWNSTREAM, "until": 200, "every": 15}, strikes=1
    ),
    "POST delivered twice": Fault(HTTP, "duplicated", "duplicate", {}),
    "POST delivered twice, first answer": Fault(
        HTTP, "duplicated", "duplicate", {"answer": "first", "only": SEND}
    ),
    "answer lost": Fault(HTTP, "lost", "lose-answer", {"only": SEND, "every": 2}),
    "answer of an attach lost": Fault(
        HTTP, "lost", "lose-answer", {"only": ATTACH, "every": 2}, strikes=1
    ),
    "answers swapped": Fault(HTTP, "swapped", "swap", {"every": 3}, pages=2),
    "tunnel reset": Fault(("websocket",), "reset", "cut-tunnel", {"after": 2_000, "until": 20_000}),
    "tunnel reset between two frames": Fault(("websocket",), "reset", "cut-tunnel", {"frames": 50}),
    "tunnel reset by an upload": Fault(
        ("websocket",), "reset", "drop", {"direction": "up", "until": 40_000}
    ),
    "tunnel never finished": Fault(
        ("websocket",), "stalled", "stall", {"after": 80_000, "until": 120_000}, strikes=1
    ),
}

each_fault = pytest.mark.parametrize(
    ("fault", "transport"),
    [
        pytest.param(fault, transport, id=f"{name}-{transport}")
        for name, fault in FAULTS.items()
        for transport in fault.transports
    ],
)


@each_fault
async def test_nothing_is_lost(
    servers: Servers, lab_before: LabBefore, fault: Fault, transport: str
) -> None:
    await converse_through(servers, lab_before, fault, transport, seed=0)


@pytest.mark.full
@each_fault
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_nothing_is_lost_wherever_it_is_struck(
    servers: Servers, lab_before: LabBefore, fault: Fault, transport: str, seed: int
) -> None:
    await converse_through(servers, lab_before, fault, transport, seed)


async def test_nothing_is_lost_when_transports_are_switched(servers: Servers) -> None:
    url = servers.get(APPLICATION).url
    assert await converse(url, url, *WALK) == sorted(TRANSPORTS)


@pytest.mark.full
@pytest.mark.parametrize("name", ["connection dropped", "upload truncated", "tunnel reset"])
async def test_nothing_is_lost_when_transports_are_switched_under_fire(
    servers: Servers, lab_before: LabBefore, name: str
) -> None:
    server, fault = servers.get(APPLICATION), FAULTS[name]
    lab = lab_before(server.url, fault.mode, **fault.options)
    assert await converse(lab.url, server.url, *WALK) == sorted(TRANSPORTS)
    assert lab.counts[fault.sign] > 0


async def converse_through(
    servers: Servers, lab_before: LabBefore, fault: Fault, transport: str, seed: int
) -> None:
    server = servers.get(APPLICATION)
    lab = lab_before(server.url, fault.mode, **fault.options, seed=seed)
    talks = [converse(lab.url, server.url, transport) for _ in range(fault.pages)]
    assert await asyncio.gather(*talks) == [[transport]] * fault.pages
    assert lab.counts[fault.sign] >= fault.strikes


async def converse(url: str, server_url: str, transport: str, *switches: str) -> list[str]:
    """Exchange numbered messages and close; return the transports that the application saw.

    Meanwhile the socket is switched to each of `switches`.
    """
    token = secrets.token_hex(8)
    walk = iter(switches)
    received = 0

    async def receive() -> str | bytes:
        nonlocal received
        message = await ws.receive(None)  # a stall lasts longer than its default
        received += 1
        if received % MESSAGES_BEFORE_SWITCH == 0 and (other := next(walk, None)) is not None:
            await ws.switch(other)
        return message

    with anyio.fail_after(TIMEOUT):
        async with connect(f"{url}/numbered?n={COUNT}&token={token}", transport=transport) as ws:
            await exchange(ws.send, receive, "page", COUNT)
            transports: list[str] = json.loads(await ws.receive(None))
            await ws.close(4000, "complete")
            assert ws.closed is not None
            end = (ws.closed.code, ws.closed.reason, ws.closed.was_clean)
            assert end == (4000, "complete", True)
        [_] = await recorded.starts(server_url, token)
        [disconnect] = await recorded.disconnects(server_url, token)
    assert (disconnect["code"], disconnect["received"]) == (4000, COUNT)
    return transports


@pytest.mark.parametrize("transport", HTTP)
async def test_credit_comes_although_half_of_the_answers_are_lost(
    servers: Servers, lab_before: LabBefore, transport: str
) -> None:
    """Each upload is answered twice, and the first answer, which told the credit, thrown away."""
    lab = lab_before(servers.get("tests.apps.emulated.raw_app:app").url, "dup")
    message = "x" * (8 * 1024 * 1024)
    with anyio.fail_after(TIMEOUT):
        async with connect(f"{lab.url}/echo", transport=transport) as ws:
            await ws.send(message)
            assert await ws.receive(None) == message
    assert lab.counts["duplicated"] > 8


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_socket_goes_on_whose_head_was_lost(
    servers: Servers, lab_before: LabBefore, transport: str
) -> None:
    server = servers.get(APPLICATION)
    lab = lab_before(server.url, FirstWordLost(frames=2))
    token = secrets.token_hex(8)
    url = f"{lab.url}/numbered?n={COUNT}&token={token}"
    with anyio.fail_after(TIMEOUT):
        async with connect(url, transport="websocket") as ws:
            lab.set_mode("plain")
            while not lab.counts["reset"]:  # noqa: ASYNC110 - the laboratory sets no event
                await anyio.sleep(0.01)
            await ws.switch(transport)
            await exchange(ws.send, ws.receive, "page", COUNT)
            assert json.loads(await ws.receive()) == [transport]
        [_] = await recorded.starts(server.url, token)


async def test_nonce_is_of_no_use_to_another_carrier(
    servers: Servers, lab_before: LabBefore
) -> None:
    server = servers.get(APPLICATION)
    lab = lab_before(server.url, FirstWordLost(frames=2))
    url = f"/numbered?n={COUNT}&token={secrets.token_hex(8)}"
    with anyio.fail_after(TIMEOUT):
        async with (
            connect(lab.url + url, transport="websocket") as ws,
            connect(server.url + url, transport="websocket") as thief,
        ):
            assert isinstance(ws, EmulatedWebSocket) and isinstance(thief, EmulatedWebSocket)
            thief.number, thief.nonce = 2, ws.nonce
            thief.drop()
            with pytest.raises(Closed, match="1006"):
                while True:
                    await thief.receive(None)
            lab.set_mode("plain")
            await ws.switch("poll")
            await exchange(ws.send, ws.receive, "page", COUNT)


class FirstWordLost(CutTunnel):
    """Swallow what goes up a tunnel, and reset it behind the first messages that come down."""

    def up(self, exchange: LabExchange, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        return swallow(pieces) if exchange.is_tunnel else pieces
