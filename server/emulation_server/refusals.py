"""Who is refused, and why: said once in a while for each kind, not for each handshake."""

from __future__ import annotations

import logging
import time
from collections.abc import Hashable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from emulation.bridge import Scope

__all__ = ["Refusals"]

logger = logging.getLogger("emulation_server.gateway")

# Between two lines about one kind (seconds).
_SILENCE: Final = 60.0
# How many clients are told apart in that time.
_MAX_CLIENTS: Final = 100


class Refusals:
    """Log handshakes that are refused; kinds are few, whatever the clients send."""

    def __init__(self) -> None:
        self._kinds: dict[Hashable, _Kind] = {}

    def note(self, scope: Scope, level: int, kind: Hashable, text: str, *values: object) -> None:
        """Note a refusal, and log it unless one of its kind was logged just before."""
        now = time.monotonic()
        client = scope["client"][0] if scope.get("client") else "an unknown address"
        known = self._kinds.get(kind)
        if known is not None and now < known.silent_until:
            known.count += 1
            if len(known.clients) < _MAX_CLIENTS:
                known.clients.add(client)
            return
        end = " (to %s; said once in %d s; %d more before, of %d clients)"
        before = (known.count, len(known.clients)) if known else (0, 0)
        logger.log(level, text + end, *values, client, _SILENCE, *before)
        self._kinds[kind] = _Kind(now + _SILENCE)


class _Kind:
    """What has not been said of one kind."""

    __slots__ = ("clients", "count", "silent_until")

    def __init__(self, silent_until: float) -> None:
        self.silent_until = silent_until
        self.count = 0
        self.clients: set[str] = set()
