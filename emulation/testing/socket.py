"""The WebSocket that a test holds, and the emulated one."""

from __future__ import annotations

import asyncio
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from emulation.exceptions import RemoteProtocolError
from emulation.protocol.connection import Connection, Credit, Limits, State
from emulation.protocol.frames import Frame
from emulation.testing.address import Address
from emulation.testing.exceptions import Closed, Failure, GivenUp
from emulation.testing.waiting import within

__all__ = ["EmulatedWebSocket", "Home", "Parameters", "WebSocket", "draw"]

# Section 3: what a proxy that allows little lets through, in the JSON form of control characters
# too; a native socket takes larger ones, but a frame may have to move from there to HTTP.
_PART_SIZE = 16_384
# Section 11.
_CLOSE_TIMEOUT = 10.0
# A close that is not answered by then is asked for on another connection (section 11).
_CLOSE_AGAIN = 3.0


def draw() -> str:
    """Draw a key or a nonce: 128 bits in base64url."""
    return secrets.token_urlsafe(16)


class WebSocket(ABC):
    """An open WebSocket, seen as a page sees it. Made by `connect`."""

    subprotocol: str = ""
    """What the application chose of the subprotocols offered, "" for none."""

    response_headers: Sequence[tuple[str, str]] = ()
    """The headers of the answer that said "open"; names are in lower case."""

    @property
    @abstractmethod
    def transport(self) -> str:
        """The name of the transport in use."""

    @property
    @abstractmethod
    def buffered_amount(self) -> int:
        """The bytes of payload that the server has not acknowledged."""

    @property
    @abstractmethod
    def closed(self) -> Closed | None:
        """How the socket was closed, None while it is not."""

    @property
    def close_code(self) -> int | None:
        """The code of the close, 1005 where it had none, 1006 where there was no handshake."""
        return self.closed.code if self.closed else None

    @property
    def close_reason(self) -> str | None:
        """The reason of the close."""
        return self.closed.reason if self.closed else None

    async def send(self, message: str | bytes) -> None:
        """Queue a message, without waiting; raises Closed when the socket is closing or closed."""
        if isinstance(message, str):
            # Lone surrogates become U+FFFD (WHATWG WebSockets, `send(data)`: a USVString).
            message = message.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        await self._send(message)

    @abstractmethod
    async def _send(self, message: str | bytes) -> None: ...

    @abstractmethod
    async def drain(self, timeout: float | None = 10) -> None:
        """Wait until the server has all that was sent; raises Closed and TimeoutError."""

    @abstractmethod
    async def receive(self, timeout: float | None = 10) -> str | bytes:
        """Return the next message; raises Closed, and TimeoutError after `timeout` seconds."""

    @abstractmethod
    async def close(self, code: int | None = None, reason: str = "") -> None:
        """Perform the close handshake and return when it is over, well or badly.

        Raises LocalProtocolError for a code or reason that may not be sent. A socket that is closed
        stays as it is.
        """

    @abstractmethod
    async def switch(self, transport: str) -> None:
        """Go on over another transport and return when it is up; raises Closed.

        The HTTP transports are the carrier's: all its sockets that use it switch.
        """

    @abstractmethod
    def drop(self) -> None:
        """Break the connection that messages come down on, as a network does."""

    @abstractmethod
    def abort(self) -> None:
        """Vanish without a word, as a page does whose machine fails: 1006 here.

        The other sockets of its carrier vanish with it.
        """


class Home(Protocol):
    """Where the frames of a socket go: its carrier, or a native WebSocket of its own."""

    @property
    def transport(self) -> str: ...

    def wake(self) -> None:
        """Say that there is something to send."""

    def drop(self) -> None: ...


class Page(Protocol):
    """What a socket may ask of the carrier that made it."""

    async def switch(self, socket: EmulatedWebSocket, transport: str) -> None: ...

    def abort(self) -> None: ...


class Parameters(NamedTuple):
    """The parameters of `opened` (section 4); times in seconds."""

    heartbeat: float
    poll: float
    resume: float
    bytes: int
    frames: int
    message: int
    upload: int
    transports: tuple[str, ...]

    @classmethod
    def parse(cls, members: Any) -> Parameters:
        """Read the object; raises Failure where a member is missing or wrong."""
        try:
            return cls(
                heartbeat=float(members["heartbeat"]),
                poll=float(members["poll"]),
                resume=float(members["resume"]),
                bytes=int(members["bytes"]),
                frames=int(members["frames"]),
                message=int(members["message"]),
                upload=int(members["upload"]),
                transports=tuple(map(str, members["transports"])),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise Failure(f"parameters of `opened` that are none: {error!r}") from error

    @property
    def silence(self) -> float:
        """After how many seconds without a byte a downstream is given up (section 7.2)."""
        return 2 * self.heartbeat + 5


class EmulatedWebSocket(WebSocket):
    """A WebSocket over the wire of docs/protocol.md."""

    home: Home
    connection: Connection

    def __init__(
        self, number: int, address: Address, subprotocols: Sequence[str], page: Page
    ) -> None:
        self.number = number
        self.nonce = draw()
        self.address = address
        self.offered = list(subprotocols)
        self.is_open = False
        self.fault: BaseException | None = None
        self._page = page
        self._closed: Closed | None = None
        self._changed = asyncio.Event()
        # Frames may come down before the answer to `open` does (section 7.1: an attach serves
        # every socket of its carrier).
        self._early: list[Callable[[], None]] = []

    # --- The face of a page's WebSocket -----------------------------------------------------------

    @property
    def transport(self) -> str:
        return self.home.transport

    @property
    def buffered_amount(self) -> int:
        return self.connection.unacknowledged_bytes

    @property
    def closed(self) -> Closed | None:
        return self._closed

    async def _send(self, message: str | bytes) -> None:
        if self.connection.state is not State.OPEN:
            await self.wait(lambda: self._closed is not None, None)
            raise self._end()
        self.connection.send(message)
        self.home.wake()

    async def drain(self, timeout: float | None = 10) -> None:
        connection = self.connection
        await self.wait(
            lambda: self._closed is not None or connection.acknowledged == connection.numbered,
            timeout,
        )
        if connection.acknowledged != connection.numbered or connection.state is State.FAILED:
            raise self._end()

    async def receive(self, timeout: float | None = 10) -> str | bytes:
        connection = self.connection
        await self.wait(lambda: bool(connection.inbox) or self._closed is not None, timeout)
        message = connection.next_message()
        if message is None:
            raise self._end()
        return message

    async def close(self, code: int | None = None, reason: str = "") -> None:
        if self.connection.state is State.OPEN:
            loop = asyncio.get_running_loop()
            self.connection.send_close(loop.time(), code, reason)
            loop.call_later(_CLOSE_TIMEOUT, self._check_close)
            loop.call_later(_CLOSE_AGAIN, self._close_again)
            self.home.wake()
        await self.wait(lambda: self._closed is not None, None)

    async def switch(self, transport: str) -> None:
        if self._closed:
            raise self._end()
        await self._page.switch(self, transport)
        if self._closed:
            raise self._end()

    def drop(self) -> None:
        self.home.drop()

    def abort(self) -> None:
        self._page.abort()

    # --- What its home tells it -------------------------------------------------------------------

    def open(
        self, protocol: object, parameters: Parameters, headers: Sequence[tuple[str, str]]
    ) -> None:
        """Take the server's `opened`; raises GivenUp where it chose what was not offered."""
        # RFC 6455 section 4.1: a subprotocol that was not asked for fails the connection.
        if protocol and protocol not in self.offered:
            raise GivenUp("the server chose a subprotocol that was not offered")
        self.subprotocol = str(protocol or "")
        self.response_headers = list(headers)
        limits = Limits(
            window_bytes=parameters.bytes,
            window_frames=parameters.frames,
            max_message_size=parameters.message,
            # Half of the window: credit that has grown by less than a quarter may not be told.
            part_size=max(min(_PART_SIZE, parameters.bytes // 2), 4),
            close_timeout=_CLOSE_TIMEOUT,
        )
        self.connection = Connection(limits, Credit(parameters.bytes, parameters.frames))
        self.is_open = True
        for take in self._early:
            take()
        self._early.clear()

    def take(self, first: int, frames: Sequence[Frame]) -> None:
        """Take numbered frames, and answer a close."""
        if not self.is_open:
            self._early.append(lambda: self.take(first, frames))
            return
        try:
            self.connection.take(first, frames)
        except RemoteProtocolError as error:
            self.fail(error)
            return
        if self.connection.state is State.CLOSE_TAKEN and self.connection.close_taken:
            now = asyncio.get_running_loop().time()
            self.connection.send_close(now, *self.connection.close_taken)
        if self.connection.owes_ack or self.connection.is_over:
            self.home.wake()
        self.update()

    def take_ack(self, number: int) -> None:
        """Take the server's acknowledgement."""
        if not self.is_open:
            self._early.append(lambda: self.take_ack(number))
            return
        try:
            self.connection.take_ack(number)
        except RemoteProtocolError as error:
            self.fail(error)
        self.update()

    def take_credit(self, credit: Credit) -> None:
        """Take what the server grants."""
        if not self.is_open:
            self._early.append(lambda: self.take_credit(credit))
        elif self.connection.take_credit(credit):
            self.home.wake()

    def fail(self, fault: BaseException) -> None:
        """End without a handshake: 1006."""
        if self._closed is None:
            self.fault = fault
            self._closed = Closed(1006, "", False)
            if self.is_open:
                self.connection.fail()
        self.update()

    def update(self) -> None:
        """Look at the connection anew, and let those who wait look too."""
        connection = self.connection if self.is_open else None
        if connection and self._closed is None and connection.close_taken is not None:
            # Section 11: the close is clean when the server's is taken and our own is sent.
            if connection.state is State.CLOSED and connection.sent == connection.numbered:
                code, reason = connection.close_taken
                self._closed = Closed(1005 if code is None else code, reason, True)
        self._changed.set()

    @property
    def is_settled(self) -> bool:
        """Whether neither side has anything more to say."""
        if self._closed is None or not self.is_open:
            return self._closed is not None
        connection = self.connection
        return connection.state is State.FAILED or (
            connection.acknowledged == connection.numbered
            and connection.received == connection.ack_told
        )

    async def wait(self, condition: Callable[[], bool], timeout: float | None) -> None:
        """Wait until the condition holds; raises TimeoutError after `timeout` seconds."""
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        while not condition():
            self._changed.clear()
            left = None if deadline is None else deadline - loop.time()
            try:
                await within(left, self._changed.wait())
            except TimeoutError:
                raise TimeoutError(f"nothing within {timeout:g} s on {self.transport}") from None

    def _check_close(self) -> None:
        self.connection.check(asyncio.get_running_loop().time())
        if self.connection.state is State.FAILED:
            self.fail(Failure("the server did not answer the close"))

    def _close_again(self) -> None:
        if self._closed is None:
            self.drop()

    def _end(self) -> Closed:
        closed = self._closed or Closed(1006, "", False)
        closed.__cause__ = self.fault
        return closed
