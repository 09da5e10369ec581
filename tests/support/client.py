"""One way to open a socket over any transport, plain WebSocket included."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from emulation import testing
from emulation.testing import NATIVE, Closed, Refused
from emulation.testing import WebSocket as Socket

__all__ = ["NATIVE", "TRANSPORTS", "Closed", "Refused", "Socket", "connect"]

TRANSPORTS: tuple[str, ...] = (NATIVE, *testing.TRANSPORTS)


def connect(
    url: str,
    transport: str,
    *,
    subprotocols: Sequence[str] = (),
    headers: Sequence[tuple[str, str]] = (),
    origin: str | None = None,
) -> AbstractAsyncContextManager[Socket]:
    """Open a socket at `url` over `transport`. Raises `Refused` or `Closed`."""
    return testing.connect(
        url, transport=transport, subprotocols=subprotocols, headers=headers, origin=origin
    )
