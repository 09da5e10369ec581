"""Run a coroutine beside whoever has something to write, who must neither wait nor be hurt by it.

Where asyncio can start a task at once (Python 3.12), a message is written to a parked request
without a turn of the loop. Always it is a task: middlewares put deadlines around `send`, which
belong to the task that runs, and that of an application is not ours to lend.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any

__all__ = ["run_eagerly"]

# Tasks are held weakly by their loop; these are held until they are done.
_tasks: set[asyncio.Task[None]] = set()


def run_eagerly(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Run the coroutine as a task, up to where it first waits before this returns if possible.

    It should handle its own exceptions: what it raises reaches the loop's exception handler.
    """
    loop = asyncio.get_running_loop()
    if sys.version_info >= (3, 12):
        task = asyncio.Task(coroutine, loop=loop, eager_start=True)
        if task.done():
            return task
    else:
        task = loop.create_task(coroutine)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return task
