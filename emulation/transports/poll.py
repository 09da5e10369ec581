"""`poll`: one answer for each request (docs/protocol.md section 8.2)."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from emulation.diary import ANSWERED, CANCELLED
from emulation.transports.attach import begin, read_attach

if TYPE_CHECKING:
    from emulation.carrier import Carrier
    from emulation.transports.exchange import Exchange

__all__ = ["Poll", "serve_poll"]


async def serve_poll(exchange: Exchange) -> None:
    """Answer when there is something to say, at the latest after the poll time.

    Nobody watches for a client who leaves: its next attach, or the poll time, ends this one.
    """
    carrier = await read_attach(exchange)
    poll = Poll(exchange, carrier)
    begin(exchange, carrier, poll)
    how = CANCELLED
    try:
        await poll.answered
        frames = carrier.batch(poll)
        how = ANSWERED
    finally:
        carrier.detach(poll, how)
    await exchange.respond(frames)


class Poll:
    """A parked poll: it answers once."""

    __slots__ = ("_carrier", "answered", "attach", "deadline", "transport", "written")

    def __init__(self, exchange: Exchange, carrier: Carrier) -> None:
        registry = exchange.registry
        self._carrier = carrier
        self.attach = exchange.number
        self.transport = "poll"
        seconds = min(registry.config.poll_time, carrier.wait)
        self.deadline: float | None = registry.loop.time() + seconds
        # Until the request's task goes on, the answer takes what else is said.
        self.answered: asyncio.Future[None] = registry.loop.create_future()
        # Nobody is told how much of a poll's answer was written: it comes whole or not at all.
        self.written = 0

    def push(self) -> None:
        """Answer if there is something to say: see Downstream."""
        if self._carrier.has_news:
            self.finish()

    def flush(self) -> None:
        """Answer if there is something to say: see Downstream."""
        self.push()

    def finish(self) -> None:
        """Answer with what there is, which may be nothing: see Downstream."""
        if not self.answered.done():
            self.deadline = math.inf  # it has been answered in time
            self.answered.set_result(None)
