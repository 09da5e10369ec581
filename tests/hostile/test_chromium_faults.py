"""Numbered messages flow both ways in Chromium while their transport is struck, again and again."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import anyio
import pytest
from playwright.async_api import Browser

from emulation.testing import TRANSPORTS
from tests.hostile import talks
from tests.support.browser import new_page
from tests.support.faults import SEND, LabBefore
from tests.support.servers import Servers

pytestmark = [pytest.mark.browser, pytest.mark.integration]

APPLICATION = "tests.hostile.app:struck"
MANY = 2000
FEW = 300
TIMEOUT = 100

HTTP = TRANSPORTS[1:]
STREAMS = ("stream", "sse", "xhr-stream")
ANY = r"emulation="
DOWNSTREAM = r"emulation=(stream|sse|poll)\."


class Fault(NamedTuple):
    """What a laboratory does to which transports; `sign` is what it calls a strike.

    On `many` the messages are many; on the others they are few, and `few` says what else is
    different there. Where `slow`, only one of the transports is struck every time.
    """

    transports: tuple[str, ...]
    sign: str
    mode: str
    options: dict[str, Any]
    many: str = ""
    few: dict[str, Any] = {}  # noqa: RUF012  # nobody changes it
    pages: int = 1
    slow: bool = False


FAULTS = {
    "connection dropped": Fault(
        STREAMS, "reset", "drop", {"only": DOWNSTREAM, "until": 64_000}, "stream", {"until": 24_000}
    ),
    "poll dropped": Fault(
        ("poll",), "reset", "drop", {"only": DOWNSTREAM, "until": 12_000, "every": 2}
    ),
    "connection dropped in an upload": Fault(
        HTTP, "reset", "drop", {"only": SEND, "direction": "up", "until": 2_000, "every": 2}
    ),
    "answer truncated": Fault(
        STREAMS,
        "truncated",
        "truncate",
        {"only": DOWNSTREAM, "until": 64_000},
        "sse",
        {"until": 24_000},
    ),
    "poll truncated": Fault(
        ("poll",), "truncated", "truncate", {"only": DOWNSTREAM, "until": 12_000, "every": 2}
    ),
    "upload truncated": Fault(
        HTTP, "truncated", "truncate", {"only": SEND, "direction": "up", "until": 2_000, "every": 2}
    ),
    "bodies cut": Fault(
        STREAMS,
        "truncated",
        "cut-bodies",
        {"only": ANY, "after": 40_000},
        "xhr-stream",
        {"after": 12_000},  # of a body that is cut whole lines count: a line has to pass
    ),
    "bodies of polls cut": Fault(
        ("poll",), "truncated", "cut-bodies", {"only": ANY, "after": 6_000}
    ),
    "stream never finished": Fault(
        STREAMS,
        "stalled",
        "stall",
        {"only": DOWNSTREAM, "after": 12_000, "until": 30_000},
        slow=True,
    ),
    "poll never finished": Fault(
        ("poll",), "stalled", "stall", {"only": DOWNSTREAM, "until": 50, "every": 4}, slow=True
    ),
    "POST delivered twice": Fault(HTTP, "duplicated", "duplicate", {"only": ANY}),
    "POST delivered twice, first answer": Fault(
        HTTP, "duplicated", "duplicate", {"answer": "first", "only": SEND}
    ),
    "answer lost": Fault(HTTP, "lost", "lose-answer", {"only": SEND, "every": 2}, many="poll"),
    "answers swapped": Fault(HTTP, "swapped", "swap", {"only": ANY, "every": 3}, pages=2),
    "tunnel reset": Fault(
        ("websocket",),
        "reset",
        "cut-tunnel",
        {"after": 2_000, "until": 20_000},
        many="websocket",
    ),
    "tunnel reset between two frames": Fault(("websocket",), "reset", "cut-tunnel", {"frames": 50}),
    "tunnel reset by an upload": Fault(
        ("websocket",), "reset", "drop", {"only": ANY, "direction": "up", "until": 12_000}
    ),
    "tunnel never finished": Fault(
        ("websocket",),
        "stalled",
        "stall",
        {"only": ANY, "after": 8_000, "until": 20_000},
        slow=True,
    ),
}


def each_fault() -> list[Any]:
    return [
        pytest.param(fault, transport, id=f"{name}-{transport}", marks=marks(fault, transport))
        for name, fault in FAULTS.items()
        for transport in fault.transports
    ]


def marks(fault: Fault, transport: str) -> list[pytest.MarkDecorator]:
    # A stall takes 6 of the 10 seconds that a close may take: a busy machine has no room for more.
    if not fault.slow:
        return []
    is_full = transport != fault.transports[0]
    return [pytest.mark.alone, pytest.mark.full] if is_full else [pytest.mark.alone]


@pytest.mark.parametrize(("fault", "transport"), each_fault())
async def test_nothing_is_lost(
    servers: Servers, browser: Browser, lab_before: LabBefore, fault: Fault, transport: str
) -> None:
    server = servers.get(APPLICATION)
    is_many = transport == fault.many
    lab = lab_before(server.url, fault.mode, **fault.options | ({} if is_many else fault.few))
    count = MANY if is_many else FEW
    with anyio.fail_after(TIMEOUT):
        async with AsyncExitStack() as stack:
            pages = [
                await stack.enter_async_context(
                    new_page(browser, transports=[transport], script=talks.SCRIPT)
                )
                for _ in range(fault.pages)
            ]
            for page in pages:
                await page.goto(lab.url)
            conversations = [talks.converse(page, server.url, count) for page in pages]
            assert await asyncio.gather(*conversations) == [[transport]] * fault.pages
    assert lab.counts[fault.sign] > 0
