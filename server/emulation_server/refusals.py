"""Who is refused, and why: said once in a while for each kind, not for each handshake."""

from __future__ import annotations

import logging
import time
from collections.abc import Hashable
from typing import TYPE_CHECKING

from emulation.seldom import SILENCE, Seldom

if TYPE_CHECKING:
    from emulation.bridge import Scope

__all__ = ["Refusals"]

logger = logging.getLogger("emulation_server.gateway")


class Refusals:
    """Log handshakes that are refused; kinds are few, whatever the clients send."""

    def __init__(self) -> None:
        self._lines = Seldom()

    def note(self, scope: Scope, level: int, kind: Hashable, text: str, *values: object) -> None:
        """Note a refusal, and log it unless one of its kind was logged just before."""
        client = scope["client"][0] if scope.get("client") else "an unknown address"
        before = self._lines.note(kind, client, time.monotonic())
        if before is not None:
            end = " (to %s; said once in %d s; %d more before, of %d clients)"
            logger.log(level, text + end, *values, client, SILENCE, *before)
