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
from typing import Any

__all__ = ["on_going_down"]


def on_going_down(callback: Callable[[], None]) -> None:
    """Call back in the running loop when a signal or the server's own word ends the server.

    The handler that the server has set goes on to be called, after ours.
    """
    loop = asyncio.get_running_loop()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            _listen(number, loop, callback)
    # Hypercorn's workers get no signal: their main process sets an event, which this task of the
    # worker's waits for.
    for task in asyncio.all_tasks(loop):
        if getattr(task.get_coro(), "__name__", "") == "raise_shutdown":
            task.add_done_callback(lambda _: callback())


def _listen(
    number: signal.Signals, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]
) -> None:
    handler = signal.getsignal(number)
    if not callable(handler):
        return  # nobody ends gracefully on this signal
    if not isinstance(handler, _Handler):
        # One for all loops of a process: suites of tests make thousands.
        handler = _Handler(handler)
        signal.signal(number, handler)
    handler.add(loop, callback)


class _Handler:
    """A signal handler that tells us before it goes on to the server's own."""

    def __init__(self, previous: Callable[[int, FrameType | None], Any]) -> None:
        self._previous = previous
        if hasattr(previous, "__self__"):
            # sse_starlette finds uvicorn's server so, to end the event streams of the application.
            self.__self__ = previous.__self__
        self._callbacks: list[tuple[asyncio.AbstractEventLoop, Callable[[], None]]] = []

    def add(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        """Call back in this loop, as long as it lives."""
        self._callbacks = [kept for kept in self._callbacks if not kept[0].is_closed()]
        self._callbacks.append((loop, callback))

    def __call__(self, number: int, frame: FrameType | None) -> None:
        for loop, callback in self._callbacks:
            if not loop.is_closed():
                loop.call_soon_threadsafe(callback)
        self._previous(number, frame)
