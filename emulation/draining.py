"""Learn that the server goes down, early enough to end what is parked.

A server waits for its running responses before it tells an application of the shutdown (uvicorn for
ever, hypercorn for 3 s), so the lifespan event comes too late for those who are parked.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType

__all__ = ["on_going_down"]


def on_going_down(callback: Callable[[], None]) -> None:
    """Call back in the running loop when a signal or the server's own word ends the server.

    The handler that the server has set goes on to be called, after ours.
    """
    loop = asyncio.get_running_loop()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            _wrap_handler(number, loop, callback)
    # Hypercorn's workers get no signal: their main process sets an event, which this task of the
    # worker's waits for.
    for task in asyncio.all_tasks(loop):
        if getattr(task.get_coro(), "__name__", "") == "raise_shutdown":
            task.add_done_callback(lambda _: callback())


def _wrap_handler(
    number: signal.Signals, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]
) -> None:
    previous = signal.getsignal(number)
    if not callable(previous):
        return  # nobody ends gracefully on this signal

    def handle(signum: int, frame: FrameType | None) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(callback)
        previous(signum, frame)

    signal.signal(number, handle)
