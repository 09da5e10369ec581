"""What a caller sees of an end, and what the client tells itself of a try that failed.

EmulationError
├── Refused         the application refused the socket
├── Closed          the socket is closed; what a page's close event says
└── Failure         a try brought no answer of ours: another one may (never leaves this package)
    ├── TooLarge    the body was too large for somebody on the way
    ├── KeyTaken    the key is in use by another carrier
    └── GivenUp       trying again is of no use: 1006
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emulation.exceptions import EmulationError

__all__ = ["Closed", "Failure", "GivenUp", "KeyTaken", "Refused", "TooLarge", "gone"]


class Refused(EmulationError):
    """Say that the application refused the socket, with the HTTP status it gave."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status

    def __str__(self) -> str:
        return f"refused with status {self.status}"


class Closed(EmulationError):
    """Say that the socket is closed, in the words of a page's close event.

    One that never opened says why, too.
    """

    def __init__(self, code: int, reason: str, was_clean: bool) -> None:
        super().__init__(code, reason, was_clean)
        self.code = code
        self.reason = reason
        self.was_clean = was_clean

    def __str__(self) -> str:
        manner = "cleanly" if self.was_clean else "not cleanly"
        cause = f": {self.__cause__}" if isinstance(self.__cause__, Failure) else ""
        return f"closed {manner} with {self.code} {self.reason!r}{cause}"


class Failure(EmulationError):
    """Say that a try failed.

    `wait` is how long, in seconds, the server wants to be left alone; `counts` says that the server
    itself found fault with the request, so that repeating it soon stops to make sense.
    """

    def __init__(self, text: str, *, wait: float = 0.0, counts: bool = False) -> None:
        super().__init__(text)
        self.wait = wait
        self.counts = counts


class TooLarge(Failure):
    """Say that the body was too large for the server, or for somebody on the way."""


class KeyTaken(Failure):
    """Say that the carrier's key is in use by another."""


class GivenUp(Failure):
    """Say that trying again is of no use."""


def gone(document: Sequence[Any]) -> GivenUp:
    """Return what the document `gone` says (docs/protocol.md section 3.1)."""
    if len(document) > 2 and document[2] == 1:
        return GivenUp("the connection was failed")
    return GivenUp("the server has no such session")
