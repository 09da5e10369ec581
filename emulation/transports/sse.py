"""`ticket` and `sse`: a downstream for EventSource (docs/protocol.md section 8.3).

The only module that imports sse_starlette, which patches `uvicorn.Server` when it is imported:
this module is imported at the first `sse` request.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from sse_starlette import EventSourceResponse

from emulation.carrier import Ticket
from emulation.diary import CANCELLED, CUT, RENEWED, UNWRITTEN
from emulation.protocol.codec import JSONEncoder
from emulation.protocol.frames import Frame, document
from emulation.transports.attach import begin, read_attach
from emulation.transports.headers import answer

if TYPE_CHECKING:
    from emulation.carrier import Carrier
    from emulation.transports.exchange import Exchange

__all__ = ["serve_events", "serve_ticket"]

_WRITE_BYTES = 256 * 1024


async def serve_ticket(exchange: Exchange) -> None:
    """Give out the ticket of this attach."""
    carrier = await read_attach(exchange)
    registry = exchange.registry
    ticket = Ticket(
        secrets.token_urlsafe(16),  # 128 bits
        exchange.number,
        registry.loop.time() + registry.config.ticket_time,
    )
    if ticket.attach >= max(carrier.attach, carrier.ticket.attach if carrier.ticket else 0):
        carrier.ticket = ticket  # else it is dead already
    await exchange.respond([document("ticket", ticket.ticket)])


async def serve_events(exchange: Exchange) -> None:
    """Serve the carrier with this event stream, if its ticket is good; else 204 stops it."""
    carrier = exchange.registry.carriers.get(exchange.marker.key)
    ticket = carrier.ticket if carrier is not None else None
    if (
        carrier is None
        or ticket is None
        or not secrets.compare_digest(ticket.ticket, exchange.marker.ticket)
        or ticket.attach < carrier.attach
        or ticket.expires < exchange.registry.loop.time()
        or (exchange.origin is not None and carrier.origin and exchange.origin != carrier.origin)
        or exchange.principal() != carrier.principal
    ):
        await exchange.respond_empty()
        return
    carrier.ticket = ticket._replace(expires=math.inf)  # repeats of the GET are good
    carrier.hear()
    exchange.number = ticket.attach
    stream = EventStream(exchange, carrier)
    begin(exchange, carrier, stream)
    headers = {
        name.decode(): value.decode() for name, value in answer(None, origin=exchange.named_origin)
    }
    response = EventSourceResponse(stream.events(), headers=headers, ping=0)
    how = CANCELLED
    try:
        await response(exchange.scope, exchange.receive, exchange.send)
        how = CUT
    except OSError:
        how = UNWRITTEN
        raise
    finally:
        stream.lose(how)


class EventStream:
    """A downstream whose lines go out as events."""

    __slots__ = (
        "_carrier",
        "_encoder",
        "_exchange",
        "_is_ending",
        "_is_over",
        "_wake",
        "attach",
        "deadline",
        "transport",
    )

    def __init__(self, exchange: Exchange, carrier: Carrier) -> None:
        self._exchange = exchange
        self._carrier = carrier
        self._encoder = JSONEncoder()
        self._is_ending = False
        self._is_over = False
        self._wake = asyncio.Event()
        self.attach = exchange.number
        self.transport = "sse"
        self.deadline: float | None = None

    @property
    def written(self) -> int:
        """The number of frames written so far."""
        return self._encoder.frames

    def push(self) -> None:
        """Let the response go on: see Downstream."""
        self._wake.set()

    def flush(self) -> None:
        """Let the response go on: see Downstream."""
        self.push()

    def finish(self) -> None:
        """Write `end` and nothing more: see Downstream."""
        self._is_ending = True
        self._wake.set()

    def lose(self, how: str) -> None:
        """Note that nothing more is written, and how it came to that."""
        self._is_over = True
        self._carrier.detach(self, how)

    async def events(self) -> AsyncIterator[bytes]:
        """Yield the events; the last one is `end`."""
        renew_bytes = self._exchange.registry.config.text_stream_renew
        yield self._events([self._exchange.answer_head()])
        while not self._is_over:
            frames = self._carrier.pack(self, _WRITE_BYTES)
            if frames:
                yield self._events(frames)
                if self._encoder.size < renew_bytes:
                    continue
            if self._is_ending or self._encoder.size >= renew_bytes:
                self.lose(RENEWED)
                yield b"data: " + self._encoder.end() + b"\n"
                return
            self._wake.clear()
            await self._wake.wait()

    def _events(self, frames: list[Frame]) -> bytes:
        lines = self._encoder.encode(frames).splitlines()
        return b"".join(b"data: %s\n\n" % line for line in lines)
