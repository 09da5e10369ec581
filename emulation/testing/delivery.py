"""From the frames of an answer to the sockets they belong to (docs/protocol.md section 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from emulation.exceptions import RemoteProtocolError
from emulation.protocol.connection import Credit
from emulation.protocol.frames import LAST_NUMBERED, Frame
from emulation.protocol.handshake import is_count, parse_section
from emulation.testing.exceptions import Failure, gone
from emulation.testing.socket import EmulatedWebSocket

__all__ = ["Delivery"]


class Delivery:
    """Hand what comes, in any cutting, to the sockets of a carrier.

    `on_ping` and `on_written` are called for what concerns the carrier itself. `is_empty` says that
    nothing but acks and credit has come.
    """

    def __init__(
        self,
        sockets: Mapping[int, EmulatedWebSocket],
        on_ping: Callable[[], None],
        on_written: Callable[[int, int], None],
    ) -> None:
        self._sockets = sockets
        self._on_ping = on_ping
        self._on_written = on_written
        self._socket: EmulatedWebSocket | None = None
        self._next = 0
        self.is_empty = True

    def take(self, frames: Iterable[Frame]) -> None:
        """Take the next frames of the body; raises Failure where they make no sense."""
        run: list[Frame] = []
        for frame in frames:
            if frame[0] <= LAST_NUMBERED:
                run.append(frame)
                continue
            self._take_run(run)
            run = []
            self._take_document(frame[1])
        self._take_run(run)

    def _take_run(self, run: list[Frame]) -> None:
        if not run:
            return
        if not self._next:
            raise Failure("a numbered frame without a number")
        first, self._next = self._next, self._next + len(run)
        self.is_empty = False
        if self._socket:
            self._socket.take(first, run)

    def _take_document(self, document: list[Any]) -> None:
        name = document[0]
        if name == "section":
            self._begin_section(document)
        elif name == "credit" and len(document) > 2 and all(map(is_count, document[1:3])):
            if self._socket:
                self._socket.take_credit(Credit(document[1], document[2]))
        elif name == "gone" and len(document) > 1:
            self.is_empty = False
            socket = self._sockets.get(document[1])
            if socket:
                socket.fail(gone(document))
        elif name == "written" and len(document) > 2:
            self._on_written(document[1], document[2])
        elif name == "ping":
            self.is_empty = False
            self._on_ping()

    def _begin_section(self, document: list[Any]) -> None:
        try:
            section = parse_section(document)
        except RemoteProtocolError as error:
            raise Failure(str(error)) from error
        self._socket = self._sockets.get(section.socket)
        self._next = section.first
        if self._socket:
            self._socket.take_ack(section.ack)
