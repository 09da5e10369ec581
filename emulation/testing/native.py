"""A plain WebSocket behind the same face: the control of every test."""

from __future__ import annotations

import ssl as tls
from collections.abc import Sequence
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Origin, Subprotocol

from emulation.exceptions import LocalProtocolError
from emulation.protocol.close import close_payload
from emulation.testing.address import Address
from emulation.testing.exceptions import Closed, Refused
from emulation.testing.http import Headers, encoded
from emulation.testing.socket import WebSocket
from emulation.testing.waiting import within

__all__ = ["NATIVE", "NativeWebSocket", "dial", "open_native"]

NATIVE = "native"

_ABNORMAL = 1006


async def dial(
    address: Address,
    target: str,
    *,
    subprotocols: Sequence[str],
    headers: Headers,
    origin: str,
    ssl: tls.SSLContext | None,
) -> ClientConnection:
    """Upgrade to a native WebSocket, as a page would; raises what `websockets` does."""
    options: dict[str, Any] = {"ssl": ssl} if ssl else {}
    return await connect(
        address.websocket_origin + target,
        subprotocols=[Subprotocol(name) for name in subprotocols] or None,
        additional_headers=[(name, value) for name, value in headers if name.lower() != "origin"],
        origin=Origin(origin) if origin else None,
        user_agent_header=None,
        # A page reads all that comes, whatever its size, never falls behind on purpose, and sends
        # no pings.
        max_size=None,
        max_queue=None,
        ping_interval=None,
        proxy=None,
        **options,
    )


class NativeWebSocket(WebSocket):
    """One open plain WebSocket."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._closed: Closed | None = None
        self.subprotocol = connection.subprotocol or ""
        if connection.response is not None:
            headers = connection.response.headers.raw_items()
            self.response_headers = [(name.lower(), value) for name, value in headers]

    @property
    def transport(self) -> str:
        return NATIVE

    @property
    def buffered_amount(self) -> int:
        """The bytes not yet handed to the kernel; nothing tells what the server has."""
        return self._connection.transport.get_write_buffer_size()

    @property
    def closed(self) -> Closed | None:
        return self._closed

    async def _send(self, message: str | bytes) -> None:
        try:
            await self._connection.send(message)
        except ConnectionClosed as error:
            raise self._end(error) from None

    async def drain(self, timeout: float | None = 10) -> None:
        try:
            await within(timeout, await self._connection.ping())
        except ConnectionClosed as error:
            raise self._end(error) from None
        except TimeoutError:
            raise TimeoutError(f"no pong within {timeout:g} s on {NATIVE}") from None

    async def receive(self, timeout: float | None = 10) -> str | bytes:
        try:
            return await within(timeout, self._connection.recv())
        except ConnectionClosed as error:
            raise self._end(error) from None
        except TimeoutError:
            raise TimeoutError(f"nothing within {timeout:g} s on {NATIVE}") from None

    async def close(self, code: int | None = None, reason: str = "") -> None:
        close_payload(code, reason)
        # `close` hands its code to the protocol unchanged, where None means an empty frame.
        await self._connection.close(code, reason)  # type: ignore[arg-type]
        protocol = self._connection.protocol
        received = protocol.close_rcvd
        self._closed = self._closed or (
            Closed(received.code, received.reason, protocol.close_sent is not None)
            if received
            else Closed(_ABNORMAL, "", False)
        )

    async def switch(self, transport: str) -> None:
        raise LocalProtocolError("a plain WebSocket has no other transport")

    def drop(self) -> None:
        self._connection.transport.abort()

    def abort(self) -> None:
        self._closed = Closed(_ABNORMAL, "", False)
        self._connection.transport.abort()

    def _end(self, error: ConnectionClosed) -> Closed:
        """Tell the end as a page's close event would."""
        if error.rcvd is None:
            self._closed = Closed(_ABNORMAL, "", False)
        else:
            self._closed = Closed(error.rcvd.code, error.rcvd.reason, error.sent is not None)
        return self._closed


async def open_native(
    url: str,
    *,
    subprotocols: Sequence[str],
    headers: Headers,
    origin: str | None,
    ssl: tls.SSLContext | None,
) -> NativeWebSocket:
    """Open a plain WebSocket. Raises Refused, or Closed where no handshake came about."""
    address = Address.parse(url)
    encoded(headers)  # websockets would send what is no header as it is
    try:
        connection = await dial(
            address,
            address.target(),
            subprotocols=subprotocols,
            headers=headers,
            origin=address.origin if origin is None else origin,
            ssl=ssl,
        )
    except InvalidStatus as error:
        raise Refused(error.response.status_code) from None
    except (InvalidHandshake, OSError) as error:
        # The Fetch Standard calls all of these a network error: the page gets 1006.
        raise Closed(_ABNORMAL, "", False) from error
    return NativeWebSocket(connection)
