"""The last words of a page (docs/protocol.md section 11)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from emulation.protocol.frames import Frame, document
from emulation.testing.exceptions import Failure
from emulation.testing.socket import EmulatedWebSocket
from emulation.testing.upload import encoder
from emulation.testing.waiting import within

if TYPE_CHECKING:
    from emulation.testing.shared import Carrier

__all__ = ["bye_body", "say_bye"]

_SIZE: Final = 60_000
_TIMEOUT: Final = 2.0


def bye_body(head: Frame, sockets: Sequence[EmulatedWebSocket]) -> bytes:
    """Make the body of `bye`: what is unacknowledged, as far as it fits, and the last numbers."""
    writer = encoder(is_binary=True)
    room = _SIZE
    frames = [head]
    for socket in sockets:
        connection = socket.connection
        kept: list[Frame] = []
        for frame in connection.frames_after(connection.acknowledged, room):
            if len(frame[1]) > room:
                break
            room -= len(frame[1]) + 6
            kept.append(frame)
        first = connection.acknowledged + 1 if kept else 0
        frames.append(document("section", socket.number, connection.tell_ack(), first))
        frames += [*kept, document("last", connection.numbered)]
    return writer.encode(frames) + writer.end()


async def say_bye(carrier: Carrier, body: bytes) -> None:
    """Send it, once; whether it arrives is not known."""

    async def send() -> None:
        async with carrier.post("bye", body, is_binary=True) as exchange:
            await exchange.read_head(_TIMEOUT)
            await exchange.read(_TIMEOUT)

    with suppress(Failure, TimeoutError):
        await within(_TIMEOUT, send())
