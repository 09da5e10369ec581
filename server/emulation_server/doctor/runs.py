"""The bounds of examinations: one at a time for a client, and each with a budget."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

__all__ = ["MAX_BYTES", "MAX_SECONDS", "Run", "RunRefused", "Runs"]

MAX_SECONDS: Final = 120.0
MAX_BYTES: Final = 16 * 1024 * 1024

# A page that was left says so, if the network lets it; otherwise it is silent. Longer than a page's
# own choice of a transport takes where nothing arrives.
_QUIET_SECONDS: Final = 20.0
# At most 64 MiB/s for all together, were each to use its budget within 8 s.
_MAX_RUNS: Final = 32

_ID = re.compile(r"[A-Za-z0-9_-]{22}")


class RunRefused(Exception):
    """Say in a sentence why something is refused, with its HTTP status."""

    def __init__(self, status: int, sentence: str, wait: float = 0.0) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.wait = wait
        """Seconds after which it makes sense to try again, 0 for never."""


class Run:
    """One examination: what is left of its time and bytes, and what has arrived of it."""

    def __init__(self, name: str, client: str, clock: Callable[[], float]) -> None:
        self.name = name
        self.client = client
        self.requests = 0
        self.native = ""
        """How the plain WebSocket's handshake arrived: "upgrade", or "plain" for a GET."""
        self._clock = clock
        self._until = clock() + MAX_SECONDS
        self._bytes = MAX_BYTES
        self._busy = 0
        self._quiet_since = clock()

    @property
    def seconds(self) -> float:
        """Return how many seconds are left, 0 when it is over."""
        now = self._clock()
        if not self._busy and now - self._quiet_since > _QUIET_SECONDS:
            return 0.0
        return max(0.0, self._until - now)

    def spend(self, size: int) -> None:
        """Take bytes off the budget. Raises RunRefused where it has no more."""
        if size > self._bytes:
            raise RunRefused(429, "This examination has had its 16 MiB.")
        self._bytes -= size

    @contextmanager
    def busy(self) -> Generator[None, None, None]:
        """Hold that a request is under way."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            self._quiet_since = self._clock()

    def end(self) -> None:
        self._until = self._clock()


class Runs:
    """Find the examinations by the names that their clients drew for them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._runs: dict[str, Run] = {}

    def start(self, name: str, client: str) -> Run:
        """Start an examination; asked twice, as by a repeated request, it is the same one.

        Raises RunRefused for a malformed name, while the client has another one under way, and
        while there are too many.
        """
        if not _ID.fullmatch(name):
            raise RunRefused(400, "A run is named by 22 characters of base64url.")
        self._forget()
        for run in self._runs.values():
            if run.name == name and run.client == client:
                return run
            if run.client == client or run.name == name:
                raise _Busy("Another examination from your address is under way", run.seconds)
        if len(self._runs) >= _MAX_RUNS:
            raise _Busy("Too many examinations are under way", min(self._lefts()))
        run = self._runs[name] = Run(name, client, self._clock)
        return run

    def get(self, name: str, client: str) -> Run:
        """Return an examination that is under way. Raises RunRefused where there is none."""
        run = self._runs.get(name)
        if run is None or run.client != client or not run.seconds:
            raise RunRefused(404, "There is no such examination, or it is over: begin anew.")
        return run

    def _forget(self) -> None:
        for run in list(self._runs.values()):
            if not run.seconds:
                del self._runs[run.name]

    def _lefts(self) -> list[float]:
        return [run.seconds for run in self._runs.values()]


class _Busy(RunRefused):
    def __init__(self, what: str, wait: float) -> None:
        seconds = int(wait) + 1
        super().__init__(429, f"{what}; try again in {seconds} s at the latest.", seconds)
