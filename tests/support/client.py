"""One way to open a socket over any transport, plain WebSocket included."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from tests.support import native
from tests.support.native import Closed, Refused

__all__ = ["NATIVE", "TRANSPORTS", "Closed", "Refused", "Socket", "connect"]

NATIVE = "native"
TRANSPORTS: tuple[str, ...] = (NATIVE,)


class Socket(Protocol):
    """What a scenario may do with an open socket."""

    @property
    def transport(self) -> str: ...
    @property
    def subprotocol(self) -> str | None: ...
    @property
    def response_headers(self) -> list[tuple[str, str]]: ...
    @property
    def buffered_amount(self) -> int: ...
    async def send(self, message: str | bytes) -> None: ...
    async def receive(self, timeout: float = 10) -> str | bytes: ...
    async def close(self, code: int | None = None, reason: str = "") -> None: ...
    def abort(self) -> None: ...


def connect(
    url: str,
    transport: str,
    *,
    subprotocols: Sequence[str] = (),
    headers: Sequence[tuple[str, str]] = (),
    origin: str | None = None,
) -> AbstractAsyncContextManager[Socket]:
    """Open a socket at `url` over `transport`. Raises `Refused` or `Closed`."""
    options: dict[str, Any] = {"subprotocols": subprotocols, "headers": headers, "origin": origin}
    return native.connect(url, **options)
