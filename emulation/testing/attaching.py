"""One downstream after another (docs/protocol.md section 7)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from emulation.testing.downstream import READERS, Attach
from emulation.testing.exceptions import Failure, GivenUp
from emulation.testing.patience import EmptyPause, Patience

if TYPE_CHECKING:
    from emulation.testing.shared import Carrier

__all__ = ["Attaching"]


class Attaching:
    """Keep a downstream for those sockets of a carrier that are at home there."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._number = 0
        self._unproved = 0
        self._current: Attach | None = None
        self._wake = asyncio.Event()
        self.is_up = False

    def wake(self) -> None:
        """Say that a socket has come, or that the transport is another: pauses are over."""
        self._wake.set()

    def drop(self) -> None:
        """Break the connection; the next one follows."""
        if self._current:
            self._current.abort()

    def renew(self) -> None:
        """Attach anew; `is_up` tells when that is done."""
        self.is_up = False
        self.wake()
        self.drop()

    def on_up(self, attach: Attach) -> None:
        """Note that a downstream works, or, for a poll, that it was asked for."""
        if attach is self._current:
            self.is_up = True

    def on_written(self, number: int, frames: int) -> None:
        """Check in a moment whether what was written down has arrived (section 8.1)."""
        current = self._current
        if current is None or current.number != number or current.transport == "poll":
            return
        if current.frames < frames:
            loop = asyncio.get_running_loop()
            loop.call_later(current.proof_time, self._check_proof, current, frames)

    def _check_proof(self, attach: Attach, frames: int) -> None:
        if attach is self._current and attach.frames < frames:
            attach.abort()

    async def run(self) -> None:
        """Attach whenever a socket wants it, for ever."""
        carrier = self._carrier
        patience = Patience(carrier.resume)
        pause = EmptyPause()
        while True:
            self._wake.clear()
            if all(socket.closed for socket in carrier.at_home()):
                await self._wake.wait()
                patience.renew()
                continue
            patience.limit = carrier.resume
            started = asyncio.get_running_loop().time()
            try:
                attach = await self._attach(patience)
            except Failure as failure:
                await self._pause(patience, failure)
                continue
            took = asyncio.get_running_loop().time() - started
            if attach.is_aborted or not attach.delivery.is_empty or took >= carrier.poll_time:
                pause.renew()
            else:
                await pause.sleep(self._wake)

    async def _attach(self, patience: Patience) -> Attach:
        self._number += 1
        attach = Attach(self._number, self._carrier.transport, self._carrier, self._unproved)
        self._current = attach
        try:
            await READERS[attach.transport](self._carrier, attach)
            if not attach.is_proved:
                raise Failure("a downstream that ended before its head")
        finally:
            self._unproved += 1
            if attach.is_proved:
                self._unproved = 0
                patience.renew()
        return attach

    async def _pause(self, patience: Patience, failure: Failure) -> None:
        try:
            await patience.pause(failure, self._wake)
        except GivenUp as final:
            self._carrier.give_up(final)
            patience.renew()
