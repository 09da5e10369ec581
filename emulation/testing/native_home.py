"""A native WebSocket that carries one emulated one (docs/protocol.md section 9)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from emulation.exceptions import RemoteProtocolError
from emulation.protocol.codec import frame_from_json, frame_to_json
from emulation.protocol.connection import Credit
from emulation.protocol.frames import (
    BINARY,
    BINARY_PART,
    DOCUMENT,
    TEXT,
    TEXT_PART,
    WIRE_VERSION,
    Frame,
    document,
)
from emulation.protocol.handshake import RESUME_SUBPROTOCOL, SUBPROTOCOL_PREFIX
from emulation.testing.exceptions import Failure, GivenUp, Refused, gone
from emulation.testing.native import dial
from emulation.testing.patience import Patience
from emulation.testing.socket import EmulatedWebSocket
from emulation.testing.waiting import within

if TYPE_CHECKING:
    from emulation.testing.shared import Carrier

__all__ = ["NativeHome"]

_FIRST_MESSAGE_TIMEOUT: Final = 10.0
# Section 4: the server ends a start after 30 seconds.
_DECISION_TIMEOUT: Final = 40.0
# How much is handed over at once; acknowledgements go in between.
_BATCH: Final = 65_536
_RETRIED_STATUS: Final = (408, 429, 500, 502, 503, 504)
_SPECIAL: Final = "\0"


class NativeHome:
    """Carry the frames of one socket, over one native WebSocket after another."""

    transport = "websocket"

    def __init__(self, carrier: Carrier, socket: EmulatedWebSocket) -> None:
        self.is_up = False
        self._carrier = carrier
        self._socket = socket
        self._native: ClientConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._is_ack_due = False
        # The highest number handed over, and the number of the next frame that comes.
        self._cursor = 0
        self._next = 1
        self._is_part = False

    def wake(self) -> None:
        """Say that there is something to send."""
        self._wake.set()

    def drop(self) -> None:
        """Break the TCP connection."""
        if self._native:
            self._native.transport.abort()

    def start(self) -> None:
        """Begin to carry."""
        self._task = self._carrier.spawn(self._run())

    async def stop(self) -> None:
        """End at once; the session goes on elsewhere, or has ended."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._hang_up()

    async def open(self, patience: Patience) -> None:
        """Open the socket. Raises Refused and GivenUp."""
        while not self._socket.is_open:
            try:
                await self._dial(SUBPROTOCOL_PREFIX + self._socket.nonce, *self._socket.offered)
                await self._say_head()
                await self._read_decision()
            except Failure as failure:
                await self._hang_up()
                await patience.pause(failure)
            except Refused:
                await self._hang_up()
                raise

    async def _run(self) -> None:
        patience = Patience(self._carrier.resume)
        try:
            while not self._socket.is_settled:
                try:
                    await self._carry_once(patience)
                except Failure as failure:
                    self.is_up = False
                    await self._hang_up()
                    await patience.pause(failure)
        except GivenUp as final:
            self._socket.fail(final)
        finally:
            await self._hang_up()

    async def _carry_once(self, patience: Patience) -> None:
        if self._native is None:
            await self._resume()
            patience.renew()
        self.is_up = True
        self._socket.update()
        try:
            await self._carry()
        finally:
            patience.renew()  # it was up until now

    # --- Beginnings -------------------------------------------------------------------------------

    async def _dial(self, *subprotocols: str, own_query: bool = True) -> None:
        carrier, address = self._carrier, self._socket.address
        try:
            self._native = await dial(
                address,
                address.target(f"ws.{carrier.key}", own_query=own_query),
                subprotocols=subprotocols,
                headers=carrier.headers,
                origin=carrier.origin,
                ssl=carrier.ssl,
            )
        except InvalidStatus as error:
            status = error.response.status_code
            # A session that goes on is not ended by whoever answers on the way.
            kind = Failure if status in _RETRIED_STATUS or not own_query else GivenUp
            raise kind(f"the upgrade was answered with {status}") from error
        except (InvalidHandshake, InvalidURI, OSError) as error:
            raise Failure(f"no upgrade: {error!r}") from error
        if self._native.subprotocol != subprotocols[0]:
            raise GivenUp("the WebSocket is not ours")

    async def _say_head(self, *more: Any) -> None:
        carrier = self._carrier
        number = self._socket.number
        # A server that refuses has already hung up; what it said is still to be read.
        with suppress(Failure):
            await self._send(
                document("head", WIRE_VERSION, carrier.secret, number, carrier.node, *more)
            )

    async def _read_decision(self) -> None:
        timeout = _FIRST_MESSAGE_TIMEOUT
        while not self._socket.is_open:
            kind, payload = self._parse(await self._receive(timeout))
            if kind != DOCUMENT:
                raise Failure("a message before `opened`")
            self._raise_refusal(payload)
            if payload[0] == "secret":
                self._carrier.take_secret(payload)
            elif payload[0] == "opened" and len(payload) > 3:
                assert self._native is not None and self._native.response is not None
                headers = self._native.response.headers.raw_items()
                self._socket.open(
                    payload[2],
                    self._carrier.take_parameters(payload[3]),
                    [(name.lower(), value) for name, value in headers],
                )
            elif payload[0] == "hello":
                timeout = _DECISION_TIMEOUT

    async def _resume(self) -> None:
        connection = self._socket.connection
        await self._dial(RESUME_SUBPROTOCOL, own_query=False)
        ack = connection.tell_ack()
        await self._say_head(ack, self._socket.nonce)
        kind, payload = self._parse(await self._receive(_FIRST_MESSAGE_TIMEOUT))
        if kind != DOCUMENT:
            raise Failure("a message before `resumed`")
        self._raise_refusal(payload)
        if payload[0] != "resumed" or len(payload) < 4:
            raise Failure("no answer to a resume")
        self._next = ack + 1
        self._is_part = False
        self._cursor = payload[1]
        self._socket.take_ack(payload[1])
        self._socket.take_credit(Credit(payload[2], payload[3]))
        if connection.acknowledged > payload[1]:
            # What it lacks has been let go of, and messages have no number of their own.
            raise Failure("an upload has gone further than the resume")

    def _raise_refusal(self, payload: Sequence[Any]) -> None:
        if payload[0] == "refused" and len(payload) > 2:
            raise Refused(payload[2])
        if payload[0] == "gone":
            raise gone(payload)
        if payload[0] == "error" and len(payload) > 2:
            kind = Failure if payload[1] in _RETRIED_STATUS else GivenUp
            raise kind(f"{payload[1]}: {payload[2]}")

    # --- Carrying ---------------------------------------------------------------------------------

    async def _carry(self) -> None:
        """Read and write until the native WebSocket ends, or nobody has anything to say."""
        writer = self._carrier.spawn(self._write())
        try:
            while not self._socket.is_settled:
                self._take(self._parse(await self._receive(self._carrier.silence)))
        except Failure:
            if not self._socket.is_settled:
                raise
        finally:
            writer.cancel()
            await asyncio.wait([writer])
            # A last acknowledgement may have met the server's end on its way: settled all the same.
            self._socket.update()

    def _take(self, frame: Frame) -> None:
        kind, payload = frame
        socket = self._socket
        if kind != DOCUMENT:
            number, self._next = self._next, self._next + 1
            self._is_part = False
            socket.take(number, [frame])
        elif payload[0] == "part":
            self._is_part = True
        elif payload[0] == "ack" and len(payload) > 1:
            socket.take_ack(payload[1])
        elif payload[0] == "credit" and len(payload) > 2:
            socket.take_credit(Credit(payload[1], payload[2]))
        elif payload[0] == "ping":
            self._is_ack_due = True
            self.wake()
        elif payload[0] in ("gone", "error"):
            self._raise_refusal(payload)

    def _parse(self, message: str | bytes) -> Frame:
        """Read a message; raises Failure where section 9 does not know it."""
        if isinstance(message, bytes):
            return BINARY_PART if self._is_part else BINARY, message
        if message.startswith(_SPECIAL):
            message = message[1:]
            if message.startswith("["):
                return _parse_special(message)
        return TEXT_PART if self._is_part else TEXT, message.encode()

    async def _write(self) -> None:
        connection = self._socket.connection
        while not self._socket.is_settled:
            self._wake.clear()
            start = max(self._cursor, connection.acknowledged)
            frames = connection.frames_after(start, _BATCH)
            self._cursor = start + len(frames)
            try:
                for frame in frames:
                    await self._send(frame)
                if self._is_ack_due or connection.owes_ack:
                    self._is_ack_due = False
                    await self._send(document("ack", connection.tell_ack()))
            except Failure:
                # Whoever reads finds the same end, and tells it.
                return
            self._socket.update()
            if not frames and not self._socket.is_settled:
                await self._wake.wait()
        if self._native:
            await self._native.close()

    async def _send(self, frame: Frame) -> None:
        assert self._native is not None
        kind, payload = frame
        try:
            if kind in (TEXT_PART, BINARY_PART):
                await self._native.send(_SPECIAL + '["part"]')
            if kind in (TEXT, TEXT_PART):
                text = str(payload, "utf-8")
                await self._native.send(_SPECIAL + text if text.startswith(_SPECIAL) else text)
            elif kind in (BINARY, BINARY_PART):
                await self._native.send(payload)
            else:
                await self._native.send(_SPECIAL + frame_to_json(frame).decode())
        except ConnectionClosed as error:
            raise Failure(f"the native WebSocket has ended: {error!r}") from error

    async def _receive(self, timeout: float) -> str | bytes:
        assert self._native is not None
        try:
            return await within(timeout, self._native.recv())
        except ConnectionClosed as error:
            raise Failure(f"the native WebSocket has ended: {error!r}") from error
        except TimeoutError:
            raise Failure(f"silence for {timeout:g} s") from None

    async def _hang_up(self) -> None:
        native, self._native = self._native, None
        if native:
            native.transport.abort()
            await native.wait_closed()


def _parse_special(text: str) -> Frame:
    try:
        return frame_from_json(json.loads(text))
    except (RemoteProtocolError, ValueError, RecursionError) as error:
        raise Failure(f"a special message that is none: {error}") from error
