"""Lines of a log that a flood would write for each request: said once in a while for each kind."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

__all__ = ["SILENCE", "Seldom"]

# Between two lines of one kind (seconds).
SILENCE: Final = 60.0
# How many clients are told apart in that time.
_MAX_CLIENTS: Final = 100


class Seldom:
    """Tells which lines are to be said; their kinds must be few, whatever the clients send."""

    def __init__(self) -> None:
        self._kinds: dict[Hashable, _Kind] = {}

    def note(self, kind: Hashable, client: str, now: float) -> tuple[int, int] | None:
        """Note one of this kind; None where a line about the kind was said just before.

        Else a line is due: return of how many before it nothing was said, and of how many clients.
        """
        known = self._kinds.get(kind)
        if known is not None and now < known.silent_until:
            known.count += 1
            if len(known.clients) < _MAX_CLIENTS:
                known.clients.add(client)
            return None
        self._kinds[kind] = _Kind(now + SILENCE)
        return (known.count, len(known.clients)) if known is not None else (0, 0)


class _Kind:
    """What has not been said of one kind."""

    __slots__ = ("clients", "count", "silent_until")

    def __init__(self, silent_until: float) -> None:
        self.silent_until = silent_until
        self.count = 0
        self.clients: set[str] = set()
