"""The backend leg: a strict WebSocket client, on whose behalf a page's words are passed on."""

from __future__ import annotations

import asyncio
import socket
import ssl as tls
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import Event
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI

from emulation_server.routing import Backend, Target

if TYPE_CHECKING:
    from emulation.bridge import Scope

__all__ = ["BackendFailed", "BackendRefused", "Connector", "Headers", "answer_headers"]

Headers = list[tuple[bytes, bytes]]

# How long a backend may leave TCP open behind the close handshake (seconds), as in Chromium.
_LINGER = 2.0

# Messages read ahead of a page that is slow: one is on its way, one waits.
_READ_AHEAD: Final = 1

# What is between two neighbours alone (RFC 9110 section 7.6.1), and a handshake's own fields.
_HOP_BY_HOP: Final = frozenset(
    (
        b"connection",
        b"content-length",
        b"expect",
        b"host",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
# Of a page's request: what it says of itself is no handshake's, and where the page is read is
# nobody's business.
_REQUEST_ONLY: Final = frozenset(
    (
        b"accept",
        b"accept-encoding",
        b"content-encoding",
        b"content-type",
        b"priority",
        b"referer",
        b"sec-fetch-dest",
        b"sec-fetch-mode",
        b"sec-fetch-user",
    )
)
# Of a backend's answer: what our own server says itself.
_ANSWER_ONLY: Final = frozenset((b"date", b"server"))


class BackendRefused(Exception):
    """Say that the backend answered the handshake with another status than 101."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"it answered {response.status_code} {response.reason_phrase}")
        self.status = response.status_code
        self.headers = answer_headers(response)
        self.body = bytes(response.body or b"")


class BackendFailed(Exception):
    """Say that there was no handshake; `reason` is one word for the metrics."""

    def __init__(self, reason: str, status: int, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.status = status


class _Connection(ClientConnection):
    def process_event(self, event: Event) -> None:
        super().process_event(event)
        if isinstance(event, Frame) and event.opcode is Opcode.CLOSE:
            # The backend closes TCP first (RFC 6455 section 7.1.1); some never do.
            self.loop.call_later(_LINGER, self.transport.abort)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    """Open WebSockets to backends; times in seconds, sizes in bytes."""

    open_timeout: float = 20.0
    close_timeout: float = 10.0
    max_message_size: int = 16 * 1024 * 1024
    passes_host: bool = False
    """Whether the backend gets the Host that the page asked for, and not its own."""
    ssl: tls.SSLContext | None = None
    """What `wss:` is verified with, None for the system's authorities."""

    async def connect(self, target: Target, scope: Scope) -> ClientConnection:
        """Connect as the page of this scope would.

        Raises BackendRefused with the backend's answer, BackendFailed where it gave none or a wrong
        one.
        """
        try:
            return await asyncio.wait_for(self._connect(target, scope), self.open_timeout)
        except asyncio.TimeoutError:
            text = f"no answer to the handshake within {self.open_timeout:g} s"
            raise BackendFailed("timeout", 504, text) from None

    async def _connect(self, target: Target, scope: Scope) -> ClientConnection:
        protocol = ClientProtocol(
            _uri(target, scope, self.passes_host),
            subprotocols=[Subprotocol(name) for name in scope["subprotocols"]] or None,
            max_size=self.max_message_size,
        )
        connection = await self._dial(target.backend, protocol)
        try:
            await connection.handshake(request_headers(scope["headers"]), user_agent_header=None)
        except InvalidStatus as error:
            connection.transport.abort()
            if error.response.status_code < 200:
                raise BackendFailed("handshake", 502, str(error)) from error
            raise BackendRefused(error.response) from error
        except (InvalidHandshake, EOFError, OSError) as error:
            connection.transport.abort()
            raise BackendFailed("handshake", 502, _told(error)) from error
        except BaseException:
            connection.transport.abort()
            raise
        return connection

    async def _dial(self, backend: Backend, protocol: ClientProtocol) -> ClientConnection:
        context = (self.ssl or tls.create_default_context()) if backend.is_secure else None
        try:
            transport, connection = await asyncio.get_running_loop().create_connection(
                # No pings: behind a slow page their answers are not read.
                lambda: _Connection(
                    protocol,
                    ping_interval=None,
                    close_timeout=self.close_timeout,
                    max_queue=_READ_AHEAD,
                ),
                backend.host,
                backend.port,
                ssl=context,
                server_hostname=backend.host if backend.is_secure else None,
            )
        except tls.SSLError as error:
            raise BackendFailed("tls", 502, f"TLS failed: {error}") from error
        except OSError as error:
            raise BackendFailed("unreachable", 502, str(error)) from error
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return connection


def request_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Return what a backend gets of a page's headers; the handshake adds its own."""
    return [
        (name.decode("ascii"), value.decode("latin-1"))
        for name, value in end_to_end(headers)
        if name not in _REQUEST_ONLY
    ]


def answer_headers(response: Response) -> Headers:
    """Return what the client gets of the headers of a backend's answer."""
    headers = [
        (name.lower().encode("ascii"), value.encode("latin-1"))
        for name, value in response.headers.raw_items()
    ]
    return [(name, value) for name, value in end_to_end(headers) if name not in _ANSWER_ONLY]


def end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return the headers that one neighbour hands on to the next."""
    fields = list(headers)
    named = {
        option.strip().lower()
        for name, value in fields
        if name == b"connection"
        for option in value.split(b",")
    }
    return [
        (name, value)
        for name, value in fields
        if name not in _HOP_BY_HOP
        and name not in named
        and not name.startswith((b"sec-websocket-", b":"))
    ]


def _uri(target: Target, scope: Scope, passes_host: bool) -> WebSocketURI:
    """Return what the handshake asks for; where it connects to does not depend on it."""
    backend = target.backend
    uri = WebSocketURI(backend.is_secure, backend.host, backend.port, target.path, target.query)
    if passes_host:
        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
        name, separator, port = host.rpartition(":")
        if separator and port.isdecimal():
            uri.host, uri.port = name, int(port)
        elif host:
            uri.host, uri.port = host, 443 if backend.is_secure else 80
    return uri


def _told(error: BaseException) -> str:
    """Return what went wrong, with its cause where the exception itself says little."""
    cause = error.__cause__
    return f"{error}: {cause}" if cause is not None and str(cause) else str(error)
