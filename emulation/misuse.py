"""Who misuses the server: said once in a while for each kind of refusal, not for each request."""

from __future__ import annotations

import logging
from typing import Final

from emulation.exceptions import RemoteProtocolError

__all__ = ["Misuse"]

logger = logging.getLogger("emulation.misuse")

# Between two lines about one status (seconds).
_SILENCE: Final = 60.0
# How many clients are told apart in that time.
_MAX_CLIENTS: Final = 100

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
        self._kinds: dict[int, _Kind] = {}

    def note(
        self, client: str, error: RemoteProtocolError, now: float, what: str = "A request"
    ) -> None:
        """Note a refusal, and log it unless one of its kind was logged just before."""
        level = _LEVELS.get(error.status)
        if level is None:
            return
        kind = self._kinds.setdefault(error.status, _Kind())
        if now < kind.silent_until:
            kind.count += 1
            if len(kind.clients) < _MAX_CLIENTS:
                kind.clients.add(client)
            return
        logger.log(
            level,
            "%s of %s was refused with %d: %s (said once in %d s; %d more before, of %d clients)",
            what,
            client or "an unknown address",
            error.status,
            error.text,
            _SILENCE,
            kind.count,
            len(kind.clients),
        )
        self._kinds[error.status] = _Kind(now + _SILENCE)


class _Kind:
    """What has not been said of one status."""

    __slots__ = ("clients", "count", "silent_until")

    def __init__(self, silent_until: float = 0.0) -> None:
        self.silent_until = silent_until
        self.count = 0
        self.clients: set[str] = set()
