"""Write to a parked request for whoever has something to say, who must neither wait nor be hurt.

Each parked request has one task that writes. It is of the request and not of the application:
middlewares put deadlines around `send`, which belong to the task that runs. It stays, for making
one costs more than waking one; and it is woken once for all that is said in a turn of the loop,
which then goes out in one write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

__all__ = ["Writer", "run_beside"]

# Tasks are held weakly by their loop; these are held until they are done.
_tasks: set[asyncio.Task[None]] = set()


def run_beside(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Run the coroutine as a task that nobody needs to hold.

    It should handle its own exceptions: what it raises reaches the loop's exception handler.
    """
    task = asyncio.get_running_loop().create_task(coroutine)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return task


class Writer:
    """Calls `write` whenever something was to be said, in a task of its own, until it is stopped.

    `write` should say all there is, and handle its own exceptions.
    """

    __slots__ = ("_is_due", "_is_stopped", "_loop", "_waiter", "_write")

    def __init__(self, write: Callable[[], Awaitable[None]]) -> None:
        self._write = write
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._is_due = False
        self._is_stopped = False
        run_beside(self._run())

    def push(self) -> None:
        """Note that there is something to say; never waits."""
        self._is_due = True
        self._wake()

    def stop(self) -> None:
        """Write no more than what is under way, or was pushed."""
        self._is_stopped = True
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def _run(self) -> None:
        while True:
            if self._is_due:
                self._is_due = False
                await self._write()
            elif self._is_stopped:
                return
            else:
                self._waiter = self._loop.create_future()
                await self._waiter
