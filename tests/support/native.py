"""A plain WebSocket with the face of `emulation.testing.connect`: the control of every scenario."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as dial
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Origin, Subprotocol


class Refused(Exception):
    """The application refused the handshake."""

    def __init__(self, status: int) -> None:
        super().__init__(f"refused with status {status}")
        self.status = status


class Closed(Exception):
    """The socket is closed; what the close event says."""

    def __init__(self, code: int, reason: str, was_clean: bool) -> None:
        super().__init__(f"closed with {code} {reason!r}, {'' if was_clean else 'not '}cleanly")
        self.code = code
        self.reason = reason
        self.was_clean = was_clean


class NativeWebSocket:
    """One open WebSocket, seen as a page sees it."""

    transport = "native"

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    @property
    def subprotocol(self) -> str | None:
        return self._connection.subprotocol

    @property
    def response_headers(self) -> list[tuple[str, str]]:
        response = self._connection.response
        assert response is not None
        return [(name.lower(), value) for name, value in response.headers.raw_items()]

    @property
    def buffered_amount(self) -> int:
        """Bytes not yet handed to the kernel."""
        return self._connection.transport.get_write_buffer_size()

    async def send(self, message: str | bytes) -> None:
        """Send one message. Raises `Closed` after the end."""
        if isinstance(message, str):
            message = as_usv_string(message)
        try:
            await self._connection.send(message)
        except ConnectionClosed as exception:
            raise closed_by(exception) from None

    async def receive(self, timeout: float = 10) -> str | bytes:
        """Return the next message. Raises `Closed`, and `TimeoutError` after `timeout` seconds."""
        try:
            return await asyncio.wait_for(self._connection.recv(), timeout)
        except ConnectionClosed as exception:
            raise closed_by(exception) from None

    async def close(self, code: int | None = None, reason: str = "") -> None:
        """Perform the close handshake. Without a code the close frame is empty."""
        # `close` hands its code to the protocol unchanged, where None means an empty frame.
        await self._connection.close(code, reason)  # type: ignore[arg-type]

    def abort(self) -> None:
        """Vanish without a word."""
        self._connection.transport.abort()


@asynccontextmanager
async def connect(
    url: str,
    *,
    subprotocols: Sequence[str] = (),
    headers: Sequence[tuple[str, str]] = (),
    origin: str | None = None,
) -> AsyncIterator[NativeWebSocket]:
    """Open a plain WebSocket. Raises `Refused`, or `Closed` where the handshake is not valid."""
    address = "ws" + url[len("http") :] if url.startswith("http") else url
    connecting = dial(
        address,
        subprotocols=[Subprotocol(name) for name in subprotocols] or None,
        additional_headers=list(headers),
        origin=None if origin is None else Origin(origin),
        # A page reads all that comes, whatever its size, and never falls behind on purpose.
        max_size=None,
        max_queue=None,
        # granian answers a close only when the application receives.
        close_timeout=1,
        proxy=None,
    )
    try:
        connection = await connecting
    except InvalidStatus as exception:
        raise Refused(exception.response.status_code) from None
    except InvalidHandshake:
        # The Fetch Standard calls all of these a network error: the page gets 1006.
        raise Closed(1006, "", False) from None
    try:
        yield NativeWebSocket(connection)
    finally:
        await connection.close()


def closed_by(exception: ConnectionClosed) -> Closed:
    """Tell the end as a page's close event would."""
    if exception.rcvd is None:
        return Closed(1006, "", False)
    return Closed(exception.rcvd.code, exception.rcvd.reason, exception.sent is not None)


def as_usv_string(text: str) -> str:
    """Replace lone surrogates by U+FFFD, as Web IDL does where a page passes a string."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
