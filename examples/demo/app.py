"""Live prices and a chat: an ordinary Starlette application with an ordinary WebSocket endpoint.

Nothing here knows by which transport a member is reached.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.routing import Mount, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

STATIC = Path(__file__).parent / "static"
OPENING_PRICES = {"ALDER": 84.2, "BIRCH": 127.55, "CEDAR": 41.3, "MAPLE": 203.1}
SECONDS_BETWEEN_QUOTES = 0.05
LINES_KEPT = 100
LONGEST_LINE = 500
# More at once was not lost on the way: the page is making its numbers up.
LARGEST_GAP = 10_000


@dataclass
class Ledger:
    """Counts what became of numbered messages on their way."""

    received: int = 0
    highest: int = 0
    duplicated: int = 0
    reordered: int = 0
    missing: set[int] = field(default_factory=set)

    def accepts(self, number: int) -> bool:
        return 0 < number <= self.highest + LARGEST_GAP

    def enter(self, number: int) -> None:
        """Book the arrival of a message."""
        self.received += 1
        if number > self.highest:
            self.missing.update(range(self.highest + 1, number))
            self.highest = number
        elif number in self.missing:
            self.missing.remove(number)
            self.reordered += 1
        else:
            self.duplicated += 1

    def totals(self) -> dict[str, int]:
        return {
            "received": self.received,
            "lost": len(self.missing),
            "duplicated": self.duplicated,
            "reordered": self.reordered,
        }


class Room:
    """The prices and the talk that all members share."""

    def __init__(self) -> None:
        self.prices = dict(OPENING_PRICES)
        self.quote: dict[str, Any] = {}
        self.quotes = 0
        self.lines: deque[dict[str, Any]] = deque(maxlen=LINES_KEPT)
        self.spoken = 0
        self._changed = asyncio.Condition()

    async def trade(self) -> None:
        """Move one price after the other, for ever."""
        for symbol in cycle(self.prices):
            await asyncio.sleep(SECONDS_BETWEEN_QUOTES)
            change = random.gauss(0, 0.0012)
            self.prices[symbol] = round(self.prices[symbol] * (1 + change), 2)
            self.quote = {"symbol": symbol, "price": self.prices[symbol], "up": change > 0}
            self.quotes += 1
            await self._tell()

    async def say(self, member: str, text: str) -> None:
        self.spoken += 1
        self.lines.append({"line": self.spoken, "from": member, "text": text[:LONGEST_LINE]})
        await self._tell()

    async def news(self, quotes: int, spoken: int) -> None:
        """Wait until there is more than that many quotes or spoken lines."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.quotes > quotes or self.spoken > spoken)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


class Member:
    """One WebSocket: numbered messages both ways."""

    def __init__(self, websocket: WebSocket, room: Room) -> None:
        self.name: str = websocket.path_params["member"]
        self._websocket = websocket
        self._room = room
        self._ledger = Ledger()
        self._sent = 0
        self._turn = asyncio.Lock()

    async def publish(self) -> None:
        """Send quotes, and what is said, as they come; a slow member skips quotes."""
        quotes, spoken = self._room.quotes, self._room.spoken
        while True:
            await self._room.news(quotes, spoken)
            lines = [line for line in self._room.lines if line["line"] > spoken]
            is_new_quote = self._room.quotes > quotes
            quotes, spoken = self._room.quotes, self._room.spoken
            for line in lines:
                await self.send("line", **line)
            if is_new_quote:
                await self.send("quote", **self._room.quote)

    async def listen(self) -> None:
        """Take orders, each answered by a receipt, and what the member says."""
        async for message in self._websocket.iter_json():
            match message:
                case {"type": "order", "number": int(number)} if self._ledger.accepts(number):
                    self._ledger.enter(number)
                    await self.send("receipt", order=number, **self._ledger.totals())
                case {"type": "say", "text": str(text)}:
                    await self._room.say(self.name, text)
                case _:
                    await self._websocket.close(1008, "neither an order nor a word")
                    return

    async def send(self, kind: str, **content: Any) -> None:
        async with self._turn:
            if self._websocket.application_state is WebSocketState.DISCONNECTED:
                raise WebSocketDisconnect(1006)  # the other task has found out first
            self._sent += 1
            await self._websocket.send_json({"type": kind, "number": self._sent, **content})


async def live(websocket: WebSocket) -> None:
    """Serve one member until it leaves."""
    await websocket.accept()
    member = Member(websocket, websocket.app.state.room)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(until_gone, member.publish)
        await until_gone(member.listen)
        tasks.cancel_scope.cancel()


async def until_gone(work: Callable[[], Awaitable[None]]) -> None:
    with contextlib.suppress(WebSocketDisconnect):
        await work()


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    app.state.room = Room()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(app.state.room.trade)
        yield
        tasks.cancel_scope.cancel()


app = Starlette(
    routes=[
        WebSocketRoute("/live/{member}", live),
        Mount("/", StaticFiles(directory=STATIC, html=True)),
    ],
    lifespan=lifespan,
)
