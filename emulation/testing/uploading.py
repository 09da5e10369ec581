"""One upload after another (docs/protocol.md section 6)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from emulation.protocol.frames import WIRE_VERSION
from emulation.testing.exceptions import Failure, GivenUp, TooLarge
from emulation.testing.http import Exchange
from emulation.testing.patience import EmptyPause, Patience
from emulation.testing.upload import SMALLEST_BODY, Upload, build
from emulation.testing.waiting import within

if TYPE_CHECKING:
    from emulation.testing.shared import Carrier

__all__ = ["Uploading"]


class Uploading:
    """Send what the sockets at home on a carrier have to say, one upload at a time."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._number = 0
        self._limit = 0
        self._wake = asyncio.Event()
        self._exchange: Exchange | None = None
        self._is_answer_due = False
        self.is_idle = asyncio.Event()
        self.is_idle.set()

    def wake(self) -> None:
        """Say that a socket has something to send."""
        self._wake.set()

    def answer(self) -> None:
        """Answer a ping, at once."""
        self._is_answer_due = True
        self.wake()

    def drop(self) -> None:
        """Break the connection of the upload in flight; it is sent again."""
        if self._exchange:
            self._exchange.abort()

    def limit_to(self, size: int) -> None:
        """Keep to the largest body that the server reads, or to less where that was too much."""
        self._limit = min(self._limit or size, size)

    async def run(self) -> None:
        """Upload whenever there is something to say, for ever."""
        patience = Patience(self._carrier.resume)
        pause = EmptyPause()
        while True:
            await self._wake.wait()
            self._wake.clear()
            while (upload := self._next()) is not None:
                self.is_idle.clear()
                patience.limit = self._carrier.resume
                before = self._acknowledged(upload)
                if not await self._deliver(upload, patience):
                    continue
                if upload.last and self._acknowledged(upload) == before:
                    await pause.sleep()
                else:
                    pause.renew()
            self.is_idle.set()

    def _acknowledged(self, upload: Upload) -> int:
        sockets = self._carrier.sockets
        return sum(sockets[n].connection.acknowledged for n in upload.last if n in sockets)

    def _next(self) -> Upload | None:
        carrier = self._carrier
        sockets = carrier.at_home()
        # Each upload begins with another socket, so that none waits behind a large message.
        turn = self._number % len(sockets) if sockets else 0
        number = self._number + 1
        upload = build(
            carrier.head(number),
            number,
            sockets[turn:] + sockets[:turn],
            is_binary=carrier.is_binary,
            limit=self._limit,
            is_due=self._is_answer_due,
        )
        if upload is not None:
            self._number = number
            self._is_answer_due = False
        return upload

    async def _deliver(self, upload: Upload, patience: Patience) -> bool:
        """Send an upload until it is answered; False says that it was abandoned."""
        while True:
            try:
                await within(upload.deadline, self._send(upload))
                patience.renew()
                return True
            except TimeoutError:
                failure, is_abandoned = Failure("an upload without an answer"), True
            except TooLarge as error:
                failure, is_abandoned = error, True
                if self._limit > SMALLEST_BODY:
                    self._limit = max(self._limit // 2, SMALLEST_BODY)
                    patience.renew()
            except Failure as error:
                failure = error
                is_abandoned = upload.is_binary and not self._carrier.is_binary
            try:
                await patience.pause(failure)
            except GivenUp as final:
                self._carrier.give_up(final)
                patience.renew()
                is_abandoned = True
            if is_abandoned:
                # Its acknowledgements are lost too; the next one says them all.
                self._is_answer_due = bool(self._carrier.at_home())
                return False

    async def _send(self, upload: Upload) -> None:
        carrier = self._carrier
        async with carrier.post("send", upload.body, is_binary=upload.is_binary) as exchange:
            self._exchange = exchange
            try:
                await exchange.read_head(upload.deadline)
                if exchange.status == 204:
                    await exchange.read(upload.deadline)
                    self._take_short_answer(exchange, upload)
                    return
                answer = await carrier.deliver_answer(exchange, upload.number, carrier.delivery())
            finally:
                self._exchange = None
        if not answer.is_whole:
            raise Failure("an answer that was cut")

    def _take_short_answer(self, exchange: Exchange, upload: Upload) -> None:
        """Read the header of a 204: all was taken."""
        carrier = self._carrier
        said = (exchange.header("emulation") or "").split(" ")
        ours = [str(WIRE_VERSION), carrier.key, str(upload.number)]
        if said[:3] != ours or len(said) < 5 or not all(map(str.isdigit, said[3:5])):
            carrier.use_json()
            raise Failure("a 204 that is not ours")
        for number, last in upload.last.items():
            if number in carrier.sockets:
                carrier.sockets[number].take_ack(last)
        carrier.attaching.on_written(int(said[3]), int(said[4]))
