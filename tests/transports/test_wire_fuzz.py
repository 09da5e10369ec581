"""Bodies that were damaged at random: each has an answer of the table, and no one else is hurt."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

from tests.session.stage import neighbour, serving
from tests.session.wire import Page, drawn, encoded, section, text

STATUSES = {200, 204, 400, 403, 404, 409, 413, 421, 429}
VERBS = ("open", "send", "stream", "poll", "ticket", "bye")
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 1.5, 1e400, 2**53, 2**64, "", "x", "\ud800", "\0", [], [[]], {},
    ["head"], "é" * 100, "x" * 5000,
)  # fmt: skip
NAMES = ("head", "section", "open", "cancel", "last", "end", "credit", "ping", "ack", "b", "t", "c")


def damaged(body: bytes, chance: random.Random) -> bytes:
    """Flip, drop, repeat or insert some bytes."""
    pieces = bytearray(body)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(pieces) + 1)
        match chance.randrange(4):
            case 0 if at < len(pieces):
                pieces[at] ^= 1 << chance.randrange(8)
            case 1:
                del pieces[at : at + chance.randint(1, 8)]
            case 2:
                pieces[at:at] = pieces[at : at + chance.randint(1, 16)]
            case _:
                pieces[at:at] = chance.randbytes(chance.randint(1, 4))
    return bytes(pieces)


def odd(page: Page, chance: random.Random) -> bytes:
    """Make a body in the JSON form whose elements are of any type."""
    lines = [[["head", 1, page.secret, 1, page.node]]]
    for _ in range(chance.randint(1, 4)):
        element = [chance.choice(NAMES), *chance.choices(ODD, k=chance.randint(0, 5))]
        if chance.random() < 0.5:
            element[1:2] = [1]
        lines.append([chance.choice((element, ["section", 1, 0, 1], chance.choice(ODD)))])
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


@pytest.mark.parametrize("seed", range(4))
async def test_damaged_bodies(seed: int) -> None:
    chance = random.Random(seed)
    async with (
        serving(poll_time=0.01, open_answer_time=0.05, expected="Said once") as served,
        neighbour(served) as beside,
    ):
        page = served.page()
        await page.opened()
        for number in range(120):
            verb = chance.choice(VERBS)
            form = chance.choice(("binary", "json"))
            if chance.random() < 0.5:
                body, form = odd(page, chance), "json"
            else:
                frames = [
                    page.head(number),
                    section(1, 0, 1),
                    text("x"),
                    (4, b"y"),
                    (5, b"\x03\xe8"),
                ]
                body = damaged(encoded(*frames, form=form), chance)
            headers = {
                "content-type": f"application/{'json' if form == 'json' else 'octet-stream'}"
            }
            async with page.client.stream(
                "POST", page.url(verb), content=body, headers={**page.headers, **headers}
            ) as response:
                assert response.status_code in STATUSES, (verb, body)
            if page.key not in served.registry.carriers or number % 20 == 0:
                page = served.page()
                await page.opened()
        await beside.say("in the middle")


@pytest.mark.parametrize("seed", range(4))
async def test_odd_documents_on_a_native_socket(seed: int) -> None:
    chance = random.Random(seed)
    async with serving() as served, neighbour(served):
        for _ in range(20):
            page = served.page()
            async with connect(
                page.url("ws").replace("http", "ws", 1),
                subprotocols=[Subprotocol(f"emulation.{drawn()}")],
                origin=Origin(page.base),
                proxy=None,
            ) as native:
                if chance.random() < 0.7:
                    await native.send('\0["head",1,"",1,""]')
                try:
                    for _ in range(10):
                        name = chance.choice((*NAMES, "part", "hello", "resumed"))
                        element = [name, *chance.choices(ODD, k=chance.randint(0, 6))]
                        await native.send(
                            chance.choice(
                                ("\0" + json.dumps(element), "x", b"y", "\0", "\0\0", "\0[")
                            )
                        )
                except ConnectionClosed:
                    pass
