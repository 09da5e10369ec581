"""`send` and `bye`: what the page has to say (docs/protocol.md sections 6 and 11)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from emulation.diary import CANCELLED
from emulation.exceptions import RemoteProtocolError
from emulation.protocol.frames import WIRE_VERSION, Frame, counts, credit, section
from emulation.transports.headers import empty_answer

if TYPE_CHECKING:
    from emulation.carrier import Carrier
    from emulation.protocol.requests import Request
    from emulation.transports.exchange import Answer, Exchange

__all__ = ["Upload", "bye", "upload"]


async def upload(exchange: Exchange) -> None:
    """Take an upload in one step and answer at once with what was taken."""
    await exchange.read()
    taken = Upload(exchange)
    if taken.has_frames:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            taken.lose(CANCELLED)
            raise
    await exchange.answer(*taken.answer())


class Upload:
    """What has come in an upload, taken, and the answer to it.

    Raises RemoteProtocolError as Registry.find_carrier does.
    """

    __slots__ = ("_carrier", "_exchange", "_unknown", "has_frames")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._carrier = carrier = exchange.find_carrier()
        request = exchange.request
        unknown = carrier.take_sections(request.sections)
        if unknown and exchange.registry.awaits_number(carrier):
            unknown = []  # it may be that one: the attach that names it by its nonce is on its way
        self._unknown = unknown
        if not request.is_ended:
            carrier.ask()
        # Then the answer is to wait for the next turn of the loop: what applications say in it goes
        # out together with the answer, or in it. The client, or the proxy in front, is woken once.
        self.has_frames = any([one.frames for one in request.sections])
        if self.has_frames:
            carrier.hold()

    def lose(self, how: str) -> None:
        """Note that there will be no answer: what has waited for it goes out without."""
        self._carrier.release()

    def answer(self) -> Answer:
        """Make the answer."""
        exchange, carrier = self._exchange, self._carrier
        request = exchange.request
        if self.has_frames:
            try:
                reply = carrier.reply(request.sections[0]) if _is_of_one(request) else []
            finally:
                carrier.release()
            if reply:
                return exchange.compose(reply)
        downstream = carrier.downstream
        attach, written = (downstream.attach, downstream.written) if downstream else (0, 0)
        if exchange.is_binary and not self._unknown and _took_all(request, carrier):
            envelope = b"%d %s %d %d %d" % (
                WIRE_VERSION,
                exchange.marker.key.encode(),
                exchange.number,
                attach,
                written,
            )
            return 204, empty_answer(exchange.named_origin, (b"emulation", envelope)), b""
        frames = [counts("written", attach, written)]
        frames += [counts("gone", number) for number in self._unknown]
        frames += _acknowledge(exchange, carrier)
        return exchange.compose(frames)


def _is_of_one(request: Request) -> bool:
    return request.is_ended and len(request.sections) == 1


def _took_all(request: Request, carrier: Carrier) -> bool:
    """Tell whether an ack of everything is all there is to say; it then counts as told."""
    if not request.is_ended:
        return False  # what was cut off the body is not taken
    connections = []
    for one in request.sections:
        session = carrier.sessions.get(one.socket)
        if session is None or not session.has_all_of(one):
            return False
        connections.append(session.connection)
    for connection in connections:
        connection.tell_ack()
    return True


def _acknowledge(exchange: Exchange, carrier: Carrier) -> list[Frame]:
    frames = []
    for number in dict.fromkeys(one.socket for one in exchange.request.sections):
        session = carrier.sessions.get(number)
        if session is None:
            continue
        connection = session.connection
        frames.append(section(number, connection.tell_ack(), 0))
        if not connection.is_over:
            # Still owed: a proxy that sent the upload twice throws one of the answers away.
            frames.append(credit(connection.granted))
        if session.ended_badly and connection.numbered == connection.acknowledged:
            frames.append(session.gone)
    return frames


async def bye(exchange: Exchange) -> None:
    """Take the page's last words; without the secret they are nobody's."""
    await exchange.read()
    try:
        carrier = exchange.find_carrier()
    except RemoteProtocolError:
        await exchange.respond_empty()
        return
    carrier.take_sections(exchange.request.sections)
    await exchange.respond_empty()
