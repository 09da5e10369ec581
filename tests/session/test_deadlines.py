"""The one clock of all sessions, by itself."""

from __future__ import annotations

import asyncio

import pytest

from emulation.deadlines import Deadlines, Look

pytestmark = pytest.mark.anyio


class Late:
    """Always wants to be looked at in the past, by what it returns or by asking itself."""

    look: Look | None = None

    def __init__(self, deadlines: Deadlines, *, asks: bool) -> None:
        self.deadlines = deadlines
        self.asks = asks
        self.looks = 0

    def check(self, now: float) -> float | None:
        self.looks += 1
        if self.looks > 1000:
            return None  # the loop would stand still for ever
        if not self.asks:
            return now - 1
        self.deadlines.watch(self, now - 1)
        return None


class Other:
    look: Look | None = None

    def __init__(self) -> None:
        self.was_checked = asyncio.Event()

    def check(self, now: float) -> float | None:
        self.was_checked.set()
        return None


@pytest.mark.parametrize("asks", [False, True])
async def test_who_is_always_late_stops_nobody(asks: bool) -> None:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(loop)
    late = Late(deadlines, asks=asks)
    other = Other()
    deadlines.watch(late, loop.time())
    deadlines.watch(other, loop.time() + 0.2)
    await asyncio.wait_for(other.was_checked.wait(), 5)
    deadlines.stop()
    assert late.looks < 20, "it was looked at again and again, and nothing else was done meanwhile"
