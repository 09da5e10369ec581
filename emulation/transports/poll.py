"""`poll`: one answer for each request (docs/protocol.md section 8.2)."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from emulation.diary import ANSWERED, CANCELLED
from emulation.eager import release
from emulation.transports.attach import begin, read_attach

if TYPE_CHECKING:
    from emulation.carrier import Carrier
    from emulation.transports.exchange import Answer, Exchange

__all__ = ["Poll", "serve_poll"]


async def serve_poll(exchange: Exchange) -> None:
    """Answer when there is something to say, at the latest after the poll time.

    Nobody watches for a client who leaves: its next attach, or the poll time, ends this one.
    """
    carrier = await read_attach(exchange)
    # Until the request's task goes on, the answer takes what else is said.
    finished = exchange.registry.loop.create_future()
    poll = Poll(exchange, carrier, partial(release, finished))
    begin(exchange, carrier, poll)
    try:
        await finished
    except asyncio.CancelledError:
        poll.lose(CANCELLED)
        raise
    await exchange.answer(*poll.answer())


class Poll:
    """A parked poll: it answers once, some time after `on_finish` is called."""

    __slots__ = (
        "_carrier",
        "_exchange",
        "_on_finish",
        "attach",
        "deadline",
        "transport",
        "written",
    )

    def __init__(self, exchange: Exchange, carrier: Carrier, on_finish: Callable[[], None]) -> None:
        registry = exchange.registry
        self._exchange = exchange
        self._carrier = carrier
        self._on_finish = on_finish
        self.attach = exchange.number
        self.transport = "poll"
        seconds = min(registry.config.poll_time, carrier.wait)
        self.deadline: float | None = registry.loop.time() + seconds
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
        if self.deadline != math.inf:
            self.deadline = math.inf  # it has been answered in time
            self._on_finish()

    def answer(self) -> Answer:
        """Make the answer."""
        frames = self._carrier.batch(self)
        self._carrier.detach(self, ANSWERED)
        return self._exchange.compose(frames)

    def lose(self, how: str) -> None:
        """Note that there will be no answer, and how it came to that."""
        self._carrier.detach(self, how)
