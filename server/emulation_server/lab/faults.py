"""Faults: what can go wrong once on any path, to be struck at chosen places.

`after` and `until` say where a body or tunnel is struck: after `after` bytes, or where `until` is
given after a number of bytes drawn between the two. What is shorter passes unharmed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Literal
from weakref import WeakKeyDictionary

from .relay import Exchange, Mode, hold
from .wire import Answer, reply

Direction = Literal["up", "down", "both"]  # up: from the client to the server


@dataclass(kw_only=True, eq=False)
class Directed(Mode):
    """Do something to each body or tunnel in one direction, or in both."""

    direction: Direction = "down"

    def up(self, exchange: Exchange, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        return pieces if self.direction == "down" else self.treat(exchange, pieces)

    def down(self, exchange: Exchange, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        return pieces if self.direction == "up" else self.treat(exchange, pieces)

    def treat(self, exchange: Exchange, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        raise NotImplementedError


@dataclass(kw_only=True, eq=False)
class Cutter(Directed):
    """Let some bytes of each body or tunnel pass, then strike."""

    after: int = 0  # bytes
    until: int | None = None  # bytes

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.until is not None and self.until < self.after:
            raise ValueError(f"until: {self.until} must be at least after, which is {self.after}.")

    def draw_point(self) -> int:
        return self.after if self.until is None else self.random.randint(self.after, self.until)

    async def treat(self, exchange: Exchange, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        left = self.draw_point()
        async for piece in pieces:
            yield piece[:left]
            if len(piece) > left:
                await self.strike(exchange)
                return
            left -= len(piece)

    async def strike(self, exchange: Exchange) -> None:
        raise NotImplementedError


class Drop(Cutter):
    """Reset the connection in the middle of a body or tunnel.

    Mobile networks between two cells, a proxy that is restarted, a balancer that drops a node.
    """

    async def strike(self, exchange: Exchange) -> None:
        exchange.did("reset")
        exchange.reset()


class Stall(Cutter):
    """Let nothing more pass and hold the connections open.

    A network that is gone without a word; a firewall that forgot the connection.
    """

    async def strike(self, exchange: Exchange) -> None:
        exchange.did("stalled")
        await hold()


class Truncate(Cutter):
    """End bodies early with a valid end: chunked downwards, a corrected Content-Length upwards.

    Virus scanners and web filters with a limit of their own, caches that keep a part.
    """

    def concerns(self, exchange: Exchange) -> bool:
        return not exchange.is_upgrade

    async def on_request(self, exchange: Exchange) -> Answer | None:
        if self.direction != "down":
            point = self.draw_point()
            data = await exchange.body.peek(point)
            if len(data) > point:
                await exchange.body.drain()
                exchange.set_body(data[:point])
                await self.strike(exchange)
        return None

    def up(self, exchange: Exchange, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        return pieces

    async def on_response(self, exchange: Exchange, answer: Answer) -> None:
        if self.direction != "up":
            answer.headers.remove("Content-Length")

    async def strike(self, exchange: Exchange) -> None:
        exchange.did("truncated")


@dataclass(kw_only=True, eq=False)
class CutBodies(Truncate):
    """End every body, in both directions, after 256 KiB with a valid end."""

    after: int = 256 * 1024
    direction: Direction = "both"


@dataclass(kw_only=True, eq=False)
class CutTunnel(Drop):
    """Reset WebSocket tunnels after a number of bytes, or of frames of the server where given."""

    frames: int = 0

    def concerns(self, exchange: Exchange) -> bool:
        return exchange.is_upgrade

    def down(self, exchange: Exchange, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        if not self.frames:
            return super().down(exchange, pieces)
        return self._cut_frames(exchange, pieces)

    async def _cut_frames(
        self, exchange: Exchange, pieces: AsyncIterator[bytes]
    ) -> AsyncIterator[bytes]:
        buffer, left = b"", self.frames
        async for piece in pieces:
            buffer += piece
            while left and (size := frame_size(buffer)) <= len(buffer):
                yield buffer[:size]
                buffer = buffer[size:]
                left -= 1
            if buffer and not left:
                await self.strike(exchange)
                return


def frame_size(data: bytes) -> int:
    """Return the bytes of the first unmasked frame, or more than there are (RFC 6455, 5.2)."""
    if len(data) < 2:
        return 2
    width = {126: 2, 127: 8}.get(data[1] & 0x7F, 0)
    if len(data) < 2 + width:
        return 2 + width
    return 2 + width + (int.from_bytes(data[2 : 2 + width], "big") if width else data[1] & 0x7F)


@dataclass(kw_only=True, eq=False)
class Duplicate(Mode):
    """Deliver each POST twice and return one of the answers.

    Proxies that try again when the server is slow or a connection was stale.
    """

    answer: Literal["first", "second"] = "second"
    gap: float = 0.05  # seconds between the deliveries, unless the first is answered sooner

    def concerns(self, exchange: Exchange) -> bool:
        return exchange.method == "POST"

    async def deliver(self, exchange: Exchange) -> Answer:
        await exchange.body.read()
        first = await exchange.send()
        await first.settle(self.gap)
        second = await exchange.send()
        exchange.did("duplicated")
        wanted, other = (first, second) if self.answer == "first" else (second, first)
        answer = await wanted.answer()
        await other.settle(self.gap)
        await exchange.abandon(other)
        return answer


class LoseAnswer(Mode):
    """Deliver each POST, wait for its answer, and close the connection without it."""

    def concerns(self, exchange: Exchange) -> bool:
        return exchange.method == "POST"

    async def deliver(self, exchange: Exchange) -> Answer:
        answer = await exchange.deliver()
        exchange.did("lost")
        exchange.close()
        return answer


@dataclass(kw_only=True, eq=False)
class Swap(Mode):
    """Swap the answers of two requests that are under way at the same time.

    Proxies with a broken pool of connections give one client the answer of another.
    """

    window: float = 0.2  # seconds an answer waits for another one to be swapped with

    _waiting: list[tuple[Exchange, Answer, asyncio.Future[Answer]]] = field(
        init=False, default_factory=list
    )

    def concerns(self, exchange: Exchange) -> bool:
        return not exchange.is_upgrade

    async def deliver(self, exchange: Exchange) -> Answer:
        answer = await exchange.deliver()
        if self._waiting:
            other, theirs, swapped = self._waiting.pop()
            other.give(theirs, exchange)
            exchange.give(answer, other)
            swapped.set_result(answer)
            exchange.did("swapped")
            other.did("swapped")
            return theirs
        place = (exchange, answer, asyncio.get_running_loop().create_future())
        self._waiting.append(place)
        try:
            await asyncio.wait({place[2]}, timeout=self.window)
            return place[2].result() if place[2].done() else answer
        finally:
            if place in self._waiting:
                self._waiting.remove(place)


@dataclass(kw_only=True, eq=False)
class Delay(Mode):
    """Hold up every piece of a body or tunnel, by the same time or with jitter; order is kept."""

    delay: float = 0.1  # seconds
    jitter: float = 0.0  # seconds that may be added, drawn for each piece

    async def _slow(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in pieces:
            await asyncio.sleep(self.delay + self.random.random() * self.jitter)
            yield piece

    def up(self, exchange: Exchange, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        return self._slow(pieces)

    def down(self, exchange: Exchange, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        exchange.did("delayed")
        return self._slow(pieces)


@dataclass(kw_only=True, eq=False)
class Jitter(Delay):
    """Hold up every piece by a random time."""

    delay: float = 0.0
    jitter: float = 0.2


@dataclass(kw_only=True, eq=False)
class Slow(Directed):
    """Let only so many bytes a second of each body or tunnel pass.

    The edge of a mobile network's cell, a plan that is used up.
    """

    rate: int = 20_000  # bytes a second

    async def treat(self, exchange: Exchange, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        exchange.did("slowed")
        size = max(self.rate // 20, 1)
        async for piece in pieces:
            for start in range(0, len(piece), size):
                slice_ = piece[start : start + size]
                await asyncio.sleep(len(slice_) / self.rate)
                yield slice_


@dataclass(kw_only=True, eq=False)
class Portal(Mode):
    """Answer with a page of its own; the server sees nothing.

    Captive portals before the login, balancers without a server, error pages of proxies.
    """

    status: int = 200

    async def on_request(self, exchange: Exchange) -> Answer | None:
        exchange.did("answered")
        answer = reply(self.status, "<!doctype html><title>Log in</title>")
        answer.headers.set("Content-Type", "text/html")
        if 300 <= self.status < 400:
            answer.headers.set("Location", "http://portal.invalid/")
        return answer


@dataclass(kw_only=True, eq=False)
class Chaos(Mode):
    """Draw a fault for every second request: cut, repeated, swapped, late, answered by others.

    A bad day of a mobile network with three proxies in a row.
    """

    probability: float = 0.5
    until: int = 20_000  # bytes of a body or tunnel before it is cut

    _modes: list[Mode] = field(init=False, default_factory=list)
    _drawn: WeakKeyDictionary[Exchange, Mode] = field(init=False, default_factory=WeakKeyDictionary)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._modes = [
            Drop(until=self.until),
            Drop(until=self.until, direction="up"),
            Truncate(until=self.until),
            Truncate(until=self.until, direction="up"),
            Duplicate(answer="first"),
            Duplicate(answer="second"),
            LoseAnswer(),
            Swap(),
            Jitter(jitter=0.05),
            *(Portal(status=status) for status in (200, 302, 403, 404, 502)),
        ]
        for mode in self._modes:
            mode.random = self.random

    def selects(self, exchange: Exchange) -> bool:
        if not super().selects(exchange):
            return False
        fitting = [mode for mode in self._modes if mode.concerns(exchange)]
        self._drawn[exchange] = self.random.choice(fitting)
        return True

    async def on_request(self, exchange: Exchange) -> Answer | None:
        return await self._drawn[exchange].on_request(exchange)

    async def deliver(self, exchange: Exchange) -> Answer:
        return await self._drawn[exchange].deliver(exchange)

    async def on_response(self, exchange: Exchange, answer: Answer) -> None:
        await self._drawn[exchange].on_response(exchange, answer)

    def up(self, exchange: Exchange, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        return self._drawn[exchange].up(exchange, pieces)

    def down(self, exchange: Exchange, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        return self._drawn[exchange].down(exchange, pieces)
