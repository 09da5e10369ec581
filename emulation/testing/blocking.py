"""The client for tests that are plain functions; its event loop runs in a thread of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal

from emulation import testing
from emulation.testing.exceptions import Closed
from emulation.testing.socket import WebSocket

__all__ = ["BlockingWebSocket", "connect"]


class BlockingWebSocket:
    """A WebSocket whose methods block; see WebSocket for what they do."""

    def __init__(self, portal: BlockingPortal, socket: WebSocket) -> None:
        self._portal = portal
        self._socket = socket
        self.subprotocol = socket.subprotocol
        self.response_headers = socket.response_headers

    @property
    def transport(self) -> str:
        """The name of the transport in use."""
        return self._socket.transport

    @property
    def buffered_amount(self) -> int:
        """The bytes of payload that the server has not acknowledged."""
        return self._socket.buffered_amount

    @property
    def closed(self) -> Closed | None:
        """How the socket was closed, None while it is not."""
        return self._socket.closed

    @property
    def close_code(self) -> int | None:
        """The code of the close."""
        return self._socket.close_code

    @property
    def close_reason(self) -> str | None:
        """The reason of the close."""
        return self._socket.close_reason

    def send(self, message: str | bytes) -> None:
        """Queue a message; raises Closed."""
        self._portal.call(self._socket.send, message)

    def receive(self, timeout: float | None = 10) -> str | bytes:
        """Return the next message; raises Closed, and TimeoutError after `timeout` seconds."""
        return self._portal.call(self._socket.receive, timeout)

    def drain(self, timeout: float | None = 10) -> None:
        """Wait until the server has all that was sent; raises Closed and TimeoutError."""
        self._portal.call(self._socket.drain, timeout)

    def close(self, code: int | None = None, reason: str = "") -> None:
        """Perform the close handshake, to its end."""
        self._portal.call(self._socket.close, code, reason)

    def switch(self, transport: str) -> None:
        """Go on over another transport; raises Closed."""
        self._portal.call(self._socket.switch, transport)

    def drop(self) -> None:
        """Break the connection that messages come down on."""
        self._portal.call(self._socket.drop)

    def abort(self) -> None:
        """Vanish without a word."""
        self._portal.call(self._socket.abort)


@contextmanager
def connect(url: str, **options: Any) -> Iterator[BlockingWebSocket]:
    """Open a WebSocket; the arguments are those of `emulation.testing.connect`."""
    opening = testing.connect(url, **options)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(opening) as socket:
        yield BlockingWebSocket(portal, socket)
