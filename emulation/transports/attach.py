"""Attach: what `stream`, `poll` and `ticket` have in common (docs/protocol.md section 7.1)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emulation.carrier import Carrier, Downstream
    from emulation.transports.exchange import Exchange

__all__ = ["begin", "read_attach", "take_attach"]


async def read_attach(exchange: Exchange) -> Carrier:
    """Read an attach and take it.

    Raises as Exchange.read and `take_attach` do.
    """
    await exchange.read()
    return take_attach(exchange)


def take_attach(exchange: Exchange) -> Carrier:
    """Take the sections of an attach; the sockets it names are at home on the carrier then.

    Raises as Registry.find_carrier does.
    """
    carrier = exchange.find_carrier()
    for section in exchange.request.sections:
        if section.nonce and section.socket not in carrier.sessions:
            exchange.registry.place_by_nonce(carrier, section.socket, section.nonce)
    if exchange.number < carrier.attach:
        # Late: what it names may have moved to a native socket since.
        carrier.take_sections(exchange.request.sections)
    else:
        carrier.wait = _wait_of(exchange.request.documents)
        carrier.name(exchange.request.sections)
    return carrier


def _wait_of(documents: list[list[Any]]) -> float:
    """Return how long the page wants silence to last at most, in seconds (section 7.2)."""
    for document in documents:
        if document[0] == "wait" and len(document) > 1:
            seconds = document[1]
            if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and seconds >= 0:
                return seconds
    return math.inf


def begin(exchange: Exchange, carrier: Carrier, downstream: Downstream) -> None:
    """Let the downstream serve the carrier, or end it at once where that is not to be."""
    is_newest = carrier.take_over(downstream)
    exchange.forget_request()  # it may be parked for long
    if not is_newest:
        downstream.finish()
    elif exchange.registry.is_going_down:
        exchange.registry.take_leave(carrier)
    else:
        downstream.push()
