"""Run a coroutine at once, up to where it first has to wait.

Whoever has a message writes it to a parked request without waking a task; only where the server
makes the writer wait (a slow reader) does a task go on with what is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any

__all__ = ["run_eagerly"]

# Tasks are held weakly by their loop; these are held until they are done.
_tasks: set[asyncio.Task[None]] = set()


def run_eagerly(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run the coroutine until it ends or first waits, and leave the rest to a task.

    What it raises before it waits is raised here; afterwards it reaches the loop's exception
    handler, so it should handle its own.
    """
    try:
        waiting_for = coroutine.send(None)
    except StopIteration:
        return
    task = asyncio.get_running_loop().create_task(_finish(coroutine, waiting_for))
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


async def _finish(coroutine: Coroutine[Any, Any, None], waiting_for: Any) -> None:
    await _Rest(coroutine, waiting_for)


class _Rest:
    """The part of a coroutine behind its first wait, to be awaited by another task."""

    __slots__ = ("_coroutine", "_waiting_for")

    def __init__(self, coroutine: Coroutine[Any, Any, None], waiting_for: Any) -> None:
        self._coroutine = coroutine
        self._waiting_for = waiting_for

    def __await__(self) -> Generator[Any, Any, None]:
        waiting_for = self._waiting_for
        while True:
            raised: BaseException | None = None
            sent = None
            try:
                sent = yield waiting_for
            except BaseException as error:  # a cancellation belongs to the coroutine
                raised = error
            try:
                if raised is None:
                    waiting_for = self._coroutine.send(sent)
                else:
                    waiting_for = self._coroutine.throw(raised)
            except StopIteration:
                return
