"""The deadlines of all sessions, carriers and starts: one heap and one timer of the loop."""

from __future__ import annotations

import asyncio
import heapq
import logging
import weakref
from itertools import count
from typing import Any, Protocol

__all__ = ["Deadlines", "Guarded", "Patience"]

logger = logging.getLogger("emulation")

# Deadlines are seconds; those that fall together within this time share one wake-up.
_GRAIN = 0.05


class Guarded(Protocol):
    """Something that wants to be looked at; `check_at` is the time of the next look."""

    check_at: float | None

    def check(self, now: float) -> float | None:
        """Do what is due at `now`; return when to look again, None for never."""


class Deadlines:
    """Look at each guarded object when its time has come; nothing runs while there is none.

    A deadline keeps nothing alive: what has ended long before it goes, and all that it holds.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._heap: list[tuple[float, int, weakref.ref[Guarded]]] = []
        self._order = count()
        self._timer: asyncio.TimerHandle | None = None
        # When the timer fires; uvloop's handle of a time that has passed does not tell.
        self._fires_at = 0.0
        self._is_firing = False

    def watch(self, guarded: Guarded, when: float) -> None:
        """Look at the object at this time of the loop's clock, or earlier if that was planned."""
        if guarded.check_at is not None and guarded.check_at <= when:
            return
        guarded.check_at = when
        heapq.heappush(self._heap, (when, next(self._order), weakref.ref(guarded)))
        if self._is_firing:
            return  # the earliest of all is armed when it ends
        if self._timer is None or when + _GRAIN < self._fires_at:
            self._arm(when)

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._fires_at = when + _GRAIN
        self._timer = self._loop.call_at(self._fires_at, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._is_firing = True
        now = self._loop.time()
        while self._heap and self._heap[0][0] <= now:
            when, _, reference = heapq.heappop(self._heap)
            guarded = reference()
            if guarded is None or guarded.check_at != when:
                continue  # it has gone; or an earlier look was planned, and has been taken
            guarded.check_at = None
            try:
                again = guarded.check(now)
            except Exception:
                # One object's fault must not stop the clock of all others.
                logger.exception("A deadline failed; please report this as a bug")
                continue
            if again is not None:
                self.watch(guarded, again)
        self._is_firing = False
        if self._heap:
            self._arm(self._heap[0][0])

    def stop(self) -> None:
        """Forget everything, so that nothing keeps the loop."""
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Patience:
    """Cancels tasks that have waited for longer than all may wait: `seconds`.

    All have the same time, so they stand in the order of their ends, and one look serves them all.
    """

    __slots__ = ("__weakref__", "_deadlines", "_ends", "_loop", "_seconds", "check_at")

    def __init__(
        self, deadlines: Deadlines, loop: asyncio.AbstractEventLoop, seconds: float
    ) -> None:
        self._deadlines = deadlines
        self._loop = loop
        self._seconds = seconds
        self._ends: dict[asyncio.Task[Any], float] = {}
        self.check_at: float | None = None

    def begin(self, task: asyncio.Task[Any]) -> None:
        """Begin the task's time."""
        self._ends[task] = end = self._loop.time() + self._seconds
        if self.check_at is None:
            self._deadlines.watch(self, end)

    def end(self, task: asyncio.Task[Any]) -> None:
        """Let the task do as it likes."""
        self._ends.pop(task, None)

    def __contains__(self, task: asyncio.Task[Any]) -> bool:
        """Tell whether the task still has time: it has not been cancelled from here."""
        return task in self._ends

    def check(self, now: float) -> float | None:
        """Cancel whose time is up: see Guarded."""
        for task, end in list(self._ends.items()):
            if end > now:
                return end
            del self._ends[task]
            task.cancel()
        return None
