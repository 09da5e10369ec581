"""The deadlines of all sessions, carriers and starts: one heap and one timer of the loop."""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
from itertools import count
from typing import Any, Protocol

__all__ = ["Deadlines", "Guarded", "Look", "Patience"]

logger = logging.getLogger("emulation")

# Deadlines are seconds; those that fall together within this time share one wake-up.
_GRAIN = 0.05


# When to look at what, and its place among those of one time; at nothing once that was given up. A
# list, which a heap compares faster than anything with a method for it.
Look = list[Any]


class Guarded(Protocol):
    """Something that wants to be looked at; `look` is the next one that is planned."""

    look: Look | None

    def check(self, now: float) -> float | None:
        """Do what is due at `now`; return when to look again, None for never."""


class Deadlines:
    """Look at each guarded object when its time has come; nothing runs while there is none.

    A planned look keeps its object alive, until the time has come or `forget`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # For who is watched, too: until 3.12 to ask for the running loop is a system call.
        self.loop = loop
        self._heap: list[Look] = []
        self._order = count()
        self._timer: asyncio.TimerHandle | None = None
        # When the timer fires; uvloop's handle of a time that has passed does not tell.
        self._fires_at = 0.0
        self._is_firing = False

    def watch(self, guarded: Guarded, when: float) -> None:
        """Look at the object at this time of the loop's clock, or earlier if that was planned."""
        if self._is_firing:
            # Later than what is looked at now: an object that always names a time that has passed
            # must not stop the clock of all others.
            when = max(when, self._fires_at + _GRAIN)
        look = guarded.look
        if look is not None:
            if look[0] <= when:
                return
            look[2] = None
        guarded.look = look = [when, next(self._order), guarded]
        heapq.heappush(self._heap, look)
        if self._is_firing:
            return  # the earliest of all is armed when it ends
        if self._timer is None or when + _GRAIN < self._fires_at:
            self._arm(when)

    def forget(self, guarded: Guarded) -> None:
        """Look at the object no more: it has ended."""
        if guarded.look is not None:
            guarded.look[2] = None
            guarded.look = None

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._fires_at = when + _GRAIN
        self._timer = self.loop.call_at(self._fires_at, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._is_firing = True
        self._fires_at = now = self.loop.time()
        while self._heap and self._heap[0][0] <= now:
            guarded: Guarded | None = heapq.heappop(self._heap)[2]
            if guarded is None:
                continue  # it has ended, or an earlier look was planned
            guarded.look = None
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
        for _, _, guarded in self._heap:
            if guarded is not None:
                guarded.look = None  # it may be watched again: requests still come
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Patience:
    """Cancels tasks that have waited for longer than all may wait: `seconds`.

    All have the same time, so they stand in the order of their ends, and one look serves them all.
    """

    __slots__ = ("_deadlines", "_ends", "_loop", "_seconds", "look")

    def __init__(self, deadlines: Deadlines, seconds: float) -> None:
        self._deadlines = deadlines
        self._loop = deadlines.loop
        self._seconds = seconds
        self._ends: dict[asyncio.Task[Any], float] = {}
        self.look: Look | None = None

    def begin(self, task: asyncio.Task[Any]) -> None:
        """Begin the task's time."""
        self._ends[task] = end = self._loop.time() + self._seconds
        if self.look is None:
            self._deadlines.watch(self, end)

    def end(self, task: asyncio.Task[Any]) -> None:
        """Let the task do as it likes."""
        self._ends.pop(task, None)

    def give_up(self) -> None:
        """Cancel all who still have time, and give none to who comes later: the server goes down.

        What has come whole is read without any.
        """
        self._seconds = 0.0
        self.check(math.inf)

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
