"""How long the client keeps trying, and how it pauses between its tries."""

from __future__ import annotations

import asyncio
from typing import Final

from emulation.testing.exceptions import Failure, GivenUp
from emulation.testing.waiting import sleep

__all__ = ["EmptyPause", "Patience"]

# The first try again goes at once: most cuts are those of an intermediary that is still there.
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0
_EMPTY_PAUSE: Final = 0.25
_LONGEST_EMPTY_PAUSE: Final = 5.0
# Section 10: after so many answers that find fault with a request it is not sent again.
_FAULTS: Final = 3


class Patience:
    """Count failures between two answers of the server, for `limit` seconds at most."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.renew()

    def renew(self) -> None:
        """Begin anew: the server has answered."""
        self._since = asyncio.get_running_loop().time()
        self._tries = 0
        self._faults = 0

    async def pause(self, failure: Failure, wake: asyncio.Event | None = None) -> None:
        """Wait before the next try, or until `wake` is set; raises GivenUp in place of the last."""
        self._faults += failure.counts
        now = asyncio.get_running_loop().time()
        if isinstance(failure, GivenUp):
            raise failure
        if self._faults >= _FAULTS or now - self._since >= self.limit:
            since = f"{self._tries + 1} tries in {now - self._since:.0f} s"
            raise GivenUp(f"given up after {since}, the last with: {failure}") from failure
        pause = min(_FIRST_PAUSE * 2.0 ** (self._tries - 1), _LONGEST_PAUSE) if self._tries else 0.0
        self._tries += 1
        await sleep(max(pause, failure.wait), wake)


class EmptyPause:
    """Pause after an answer that came early and brought nothing, longer each time (section 7.1)."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin anew: an answer has brought something."""
        self._pause = _EMPTY_PAUSE

    async def sleep(self, wake: asyncio.Event | None = None) -> None:
        """Pause, or until `wake` is set."""
        pause, self._pause = self._pause, min(2 * self._pause, _LONGEST_EMPTY_PAUSE)
        await sleep(pause, wake)
