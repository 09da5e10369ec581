"""How messages come down over HTTP: one reader for each transport (docs/protocol.md section 8)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from emulation.exceptions import RemoteProtocolError
from emulation.protocol.codec import BinaryDecoder, Decoder, JSONDecoder
from emulation.protocol.handshake import is_key
from emulation.testing.answers import check_head, find
from emulation.testing.exceptions import Failure
from emulation.testing.http import Exchange

if TYPE_CHECKING:
    from emulation.testing.shared import Carrier

__all__ = ["READERS", "Attach"]

# Section 8.1. This client has no other transport to go to: the head will do, and where the way is
# slow, it waits twice as long for the next one, and for the one after that.
PROOF_TIME: Final = 2.0
_DOUBLINGS: Final = 2


class Attach:
    """One downstream and what has come on it; `unproved` were tried in vain before it."""

    def __init__(self, number: int, transport: str, carrier: Carrier, unproved: int) -> None:
        self.number = number
        self.transport = transport
        self.proof_time = PROOF_TIME * 2 ** min(unproved, _DOUBLINGS)
        self.is_proved = False
        self.is_aborted = False
        self.delivery = carrier.delivery()
        self._carrier = carrier
        limit = carrier.frame_limit
        self._decoder: Decoder = (
            BinaryDecoder(limit) if transport == "stream" else JSONDecoder(limit)
        )
        self._exchange: Exchange | None = None

    @property
    def frames(self) -> int:
        """How many frames of the body have come."""
        return self._decoder.frames

    @property
    def is_ended(self) -> bool:
        """Whether `end` has come."""
        return self._decoder.ended

    @property
    def patience(self) -> float:
        """How many seconds may pass without a byte."""
        return self._carrier.silence if self.is_proved else self.proof_time

    def use(self, exchange: Exchange) -> None:
        """Say what `abort` breaks."""
        self._exchange = exchange
        if self.is_aborted:
            exchange.abort()

    def abort(self) -> None:
        """Break the connection."""
        self.is_aborted = True
        if self._exchange:
            self._exchange.abort()

    def feed(self, data: bytes) -> None:
        """Take bytes of a body that comes in pieces; raises Failure where they are not ours."""
        try:
            frames = self._decoder.feed(data)
        except RemoteProtocolError as error:
            raise Failure(f"a downstream that is not ours, or was altered: {error}") from error
        if frames and not self.is_proved:
            check_head(frames, self._carrier.key, self.number)
            del frames[0]
            self.prove()
        self.delivery.take(frames)

    def prove(self) -> None:
        """Say that the transport works."""
        self.is_proved = True
        self._carrier.attached(self)


async def read_stream(carrier: Carrier, attach: Attach) -> None:
    """Read the verb `stream` in either form, until it ends or is cut."""
    is_binary = attach.transport == "stream"
    body = carrier.attach_body(attach.number, is_binary=is_binary)
    async with carrier.post("stream", body, is_binary=is_binary) as exchange:
        attach.use(exchange)
        await exchange.read_head(attach.patience)
        if exchange.status != 200:
            await carrier.deliver_answer(exchange, attach.number)
        while not attach.is_ended and (data := await exchange.read(attach.patience)):
            attach.feed(data)


async def read_poll(carrier: Carrier, attach: Attach) -> None:
    """Ask once and take the answer, which is checked as a whole."""
    is_binary = carrier.is_binary
    body = carrier.attach_body(attach.number, is_binary=is_binary)
    async with carrier.post("poll", body, is_binary=is_binary) as exchange:
        attach.use(exchange)
        carrier.attached(attach)
        await exchange.read_head(carrier.silence)
        await carrier.deliver_answer(exchange, attach.number, attach.delivery)
    attach.prove()


async def read_sse(carrier: Carrier, attach: Attach) -> None:
    """Fetch a ticket and read its event stream."""
    body = carrier.attach_body(attach.number, is_binary=False)
    async with carrier.post("ticket", body, is_binary=False) as exchange:
        attach.use(exchange)
        await exchange.read_head(carrier.silence)
        answer = await carrier.deliver_answer(exchange, attach.number)
    ticket = find(answer.frames, "ticket")
    if not ticket or len(ticket) < 2 or type(ticket[1]) is not str or not is_key(ticket[1]):
        raise Failure("an answer without its ticket")
    async with carrier.get_events(ticket[1]) as exchange:
        attach.use(exchange)
        await exchange.read_head(attach.patience)
        if exchange.status == 204:
            raise Failure("the ticket is dead")
        content_type = (exchange.header("content-type") or "").partition(";")[0].strip()
        if exchange.status != 200 or content_type != "text/event-stream":
            raise Failure(f"no event stream, status {exchange.status}")
        async with aclosing(event_data(exchange, attach)) as lines:
            async for line in lines:
                attach.feed(line + b"\n")
                if attach.is_ended:
                    return


async def event_data(exchange: Exchange, attach: Attach) -> AsyncGenerator[bytes, None]:
    """Yield the data of each event (WHATWG HTML, 9.2.6: interpreting an event stream)."""
    data: list[bytes] = []
    rest = b""
    while piece := await exchange.read(attach.patience):
        # A lone CR ends a line too, but it may be the first half of CR LF.
        lines = (rest + piece).replace(b"\r\n", b"\n")
        held = b"\r" if lines.endswith(b"\r") else b""
        *whole, rest = lines[: len(lines) - len(held)].replace(b"\r", b"\n").split(b"\n")
        rest += held
        for line in whole:
            if not line:
                if data:
                    yield b"\n".join(data)
                    data = []
            elif line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))


READERS: Final[dict[str, Callable[[Carrier, Attach], Awaitable[None]]]] = {
    "stream": read_stream,
    "xhr-stream": read_stream,
    "sse": read_sse,
    "poll": read_poll,
}
