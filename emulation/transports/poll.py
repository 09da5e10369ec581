"""`poll`: one answer for each request (docs/protocol.md section 8.2)."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING

from emulation.eager import run_beside
from emulation.transports.attach import begin, read_attach, wait_for_disconnect
from emulation.transports.exchange import ClientGone

if TYPE_CHECKING:
    from emulation.carrier import Carrier
    from emulation.transports.exchange import Exchange

__all__ = ["Poll", "serve_poll"]

logger = logging.getLogger("emulation.transports")


async def serve_poll(exchange: Exchange) -> None:
    """Answer when there is something to say, at the latest after the poll time."""
    carrier = await read_attach(exchange)
    poll = Poll(exchange, carrier)
    begin(exchange, carrier, poll)
    try:
        if not poll.is_answered:
            await wait_for_disconnect(exchange)
        await poll.complete()
    finally:
        poll.lose()


class Poll:
    """A parked poll: it answers once."""

    __slots__ = (
        "_answering",
        "_carrier",
        "_exchange",
        "attach",
        "deadline",
        "transport",
        "written",
    )

    def __init__(self, exchange: Exchange, carrier: Carrier) -> None:
        registry = exchange.registry
        self._exchange = exchange
        self._carrier = carrier
        self.attach = exchange.head.number
        self.transport = "poll"
        self.deadline: float | None = registry.loop.time() + registry.config.poll_time
        self._answering: asyncio.Task[None] | None = None
        # Nobody is told how much of a poll's answer was written: it comes whole or not at all.
        self.written = 0

    @property
    def is_answered(self) -> bool:
        """Whether the answer is on its way; until it is packed it takes what else is said."""
        return self._answering is not None

    def push(self) -> None:
        """Answer if there is something to say: see Downstream."""
        if not self.is_answered and self._carrier.has_news:
            self._answer()

    def finish(self) -> None:
        """Answer with what there is, which may be nothing: see Downstream."""
        if not self.is_answered:
            self._answer()

    def lose(self) -> None:
        """Note that nobody waits any more."""
        self._carrier.detach(self)

    def _answer(self) -> None:
        self.deadline = math.inf  # it has been answered in time
        self._answering = run_beside(self._respond())

    async def complete(self) -> None:
        """Wait until the answer has been sent; an application that returns without one is at fault.

        A client who has left is answered too: some middlewares miss the answer that nobody misses.
        """
        if self._answering is None:
            self.lose()
            self._answer()
        if self._answering is not None and not self._answering.done():
            await asyncio.wait((self._answering,))

    async def _respond(self) -> None:
        frames = self._carrier.pack(self, self._exchange.registry.config.max_batch)
        self.lose()
        try:
            await self._exchange.respond(frames)
        except ClientGone:
            pass  # the client has left: nothing of the answer is acknowledged, all of it is kept
        except Exception:
            # Whoever has a message runs this: see Stream.
            logger.exception("Answering a poll failed")
