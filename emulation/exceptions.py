"""What goes wrong, and on whose side.

EmulationError
├── LocalProtocolError      our own application did wrong: raised into it
└── RemoteProtocolError     the peer did wrong: becomes an HTTP answer or a close
    └── RefusedWith         the same, with more to say in the answer
OSError
└── ClientDisconnected      nobody is there any more: raised into an application that sends
ClientGone                  the client has left in the middle of its request
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = [
    "ClientDisconnected",
    "ClientGone",
    "EmulationError",
    "LocalProtocolError",
    "RefusedWith",
    "RemoteProtocolError",
]


class EmulationError(Exception):
    """Be the base of every exception of this package."""


class LocalProtocolError(EmulationError):
    """Say that the application on this side broke a rule: a bug to be mended there."""


class RemoteProtocolError(EmulationError):
    """Say that the peer broke a rule; never raised into the application.

    `status` is the HTTP status of the answer (docs/protocol.md section 10), `close_code` what ends
    the session where the fault is one session's own (RFC 6455 section 7.4.1). `text` goes to the
    peer and into logs: it is a constant sentence and reflects nothing of what came in.
    """

    def __init__(self, status: int, close_code: int, text: str) -> None:
        super().__init__(status, close_code, text)
        self.status = status
        self.close_code = close_code
        self.text = text

    def __str__(self) -> str:
        return f"{self.text} (HTTP {self.status}, close {self.close_code})"


class RefusedWith(RemoteProtocolError):
    """Say in the answer more than the sentence of an error: these frames."""

    def __init__(self, error: RemoteProtocolError, frames: Iterable[Any]) -> None:
        super().__init__(error.status, error.close_code, error.text)
        self.frames = tuple(frames)


class ClientDisconnected(OSError):
    """Tell an application that sends that nobody is there (ASGI: an OSError)."""


class ClientGone(Exception):
    """The client has left in the middle of its request; there is nobody to answer."""
