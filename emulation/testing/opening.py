"""How a socket opens (docs/protocol.md section 4)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from emulation.protocol.frames import document
from emulation.testing.answers import Answer, find, take_status
from emulation.testing.exceptions import Failure, GivenUp, KeyTaken, Refused
from emulation.testing.native_home import NativeHome
from emulation.testing.patience import Patience
from emulation.testing.socket import EmulatedWebSocket, draw
from emulation.testing.upload import encoder
from emulation.testing.waiting import within

if TYPE_CHECKING:
    from emulation.testing.shared import Carrier

__all__ = ["Opening"]

# How long a socket may be CONNECTING without any answer of the server.
_PATIENCE: Final = 10.0
_ANSWER_TIMEOUT: Final = 10.0
_CANCEL_TIMEOUT: Final = 2.0
_MAX_OPENS: Final = 2


class Opening:
    """Open the sockets of a carrier; the first one makes the carrier."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._opens = asyncio.Semaphore(_MAX_OPENS)
        # Set unless a socket is being opened that brings the secret.
        self._made = asyncio.Event()
        self._made.set()

    async def open(self, socket: EmulatedWebSocket, transport: str) -> None:
        """Open a socket; raises Refused, and Failure when that is given up."""
        async with self._opens:
            await self._wait_for_secret()
            try:
                if transport == "websocket":
                    home = NativeHome(self._carrier, socket)
                    socket.home = home
                    await home.open(Patience(_PATIENCE))
                    home.start()
                else:
                    await self._open_http(socket, transport)
            finally:
                self._made.set()

    async def cancel(self, socket: EmulatedWebSocket) -> None:
        """Give a socket up that is CONNECTING."""
        if isinstance(socket.home, NativeHome):
            await socket.home.stop()
        with suppress(Failure, TimeoutError):
            await within(_CANCEL_TIMEOUT, self._ask(socket, "cancel"))

    def made(self) -> None:
        """Say that the secret is known: sockets that waited for it go on."""
        self._made.set()

    async def _wait_for_secret(self) -> None:
        """Let one socket make the carrier, and others wait for its secret."""
        while not self._carrier.secret:
            if self._made.is_set():
                self._made.clear()
                return
            await self._made.wait()

    async def _open_http(self, socket: EmulatedWebSocket, transport: str) -> None:
        carrier = self._carrier
        patience = Patience(_PATIENCE)
        while not socket.is_open:
            try:
                answer = await self._ask(socket, "open", socket.offered, transport)
                carrier.take_secret(find(answer.frames, "secret"))
                self._take_decision(socket, answer)
                patience.renew()
            except KeyTaken as failure:
                if carrier.secret:
                    raise GivenUp("the key of a carrier in use is taken") from failure
                carrier.key = draw()
                await patience.pause(failure)
            except Failure as failure:
                await patience.pause(failure)

    async def _ask(self, socket: EmulatedWebSocket, name: str, *more: Any) -> Answer:
        carrier, number = self._carrier, socket.number
        is_binary = carrier.is_binary
        writer = encoder(is_binary=is_binary)
        frames = [carrier.head(number), document(name, number, socket.nonce, *more)]
        body = writer.encode(frames) + writer.end()
        asking = carrier.post("open", body, is_binary=is_binary, address=socket.address)
        async with asking as exchange:
            await exchange.read_head(_ANSWER_TIMEOUT)
            return await carrier.read_answer(exchange, number)

    def _take_decision(self, socket: EmulatedWebSocket, answer: Answer) -> None:
        opened = find(answer.frames, "opened")
        refused = find(answer.frames, "refused")
        if refused and len(refused) > 2:
            raise Refused(refused[2])
        take_status(answer)
        if opened and len(opened) > 3:
            socket.open(opened[2], self._carrier.take_parameters(opened[3]), answer.headers)
        elif find(answer.frames, "gone"):
            raise GivenUp("the application did not decide in time")
        elif not find(answer.frames, "opening"):
            raise Failure("an answer to `open` without a decision")
