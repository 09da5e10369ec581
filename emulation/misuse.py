"""Who misuses the server: said once in a while for each kind of refusal, not for each request."""

from __future__ import annotations

import logging
from typing import Final

from emulation.exceptions import RemoteProtocolError
from emulation.seldom import SILENCE, Seldom

__all__ = ["Misuse"]

logger = logging.getLogger("emulation.misuse")

# The carrier of a page that comes back after a sleep is not known any more: no misuse by itself.
_LEVELS: Final = {
    400: logging.WARNING,
    404: logging.INFO,
    405: logging.WARNING,
    408: logging.WARNING,
    411: logging.WARNING,
    413: logging.WARNING,
    415: logging.WARNING,
    431: logging.WARNING,
}


class Misuse:
    """Log requests that are refused for their own fault; limits and origins have lines too."""

    def __init__(self) -> None:
        self._lines = Seldom()

    def note(
        self, client: str, error: RemoteProtocolError, now: float, what: str = "A request"
    ) -> None:
        """Note a refusal, and log it unless one of its kind was logged just before."""
        level = _LEVELS.get(error.status)
        if level is None:
            return
        before = self._lines.note(error.status, client, now)
        if before is None:
            return
        logger.log(
            level,
            "%s of %s was refused with %d: %s (said once in %d s; %d more before, of %d clients)",
            what,
            client or "an unknown address",
            error.status,
            error.text,
            SILENCE,
            *before,
        )
