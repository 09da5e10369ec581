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
from typing import Any, Final

__all__ = ["on_going_down"]


# Of the loop, from the call to the last write that it leads to.
_TURNS: Final = 5


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
        self._is_deferring = False

    def add(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        """Call back in this loop, as long as it lives."""
        self._callbacks = [kept for kept in self._callbacks if not kept[0].is_closed()]
        self._callbacks.append((loop, callback))

    def __call__(self, number: int, frame: FrameType | None) -> None:
        running = None
        for loop, callback in self._callbacks:
            if not loop.is_closed():
                loop.call_soon_threadsafe(callback)
            if loop.is_running():
                running = loop
        if running is None or self._is_deferring:
            self._previous(number, frame)
            return
        # The server closes native sockets as soon as it sees the signal, perhaps in this very turn
        # of its loop: what is to be said on them goes first. A second signal does not wait.
        self._is_deferring = True
        running.call_soon_threadsafe(self._pass_on, running, number, frame, _TURNS)

    def _pass_on(
        self, loop: asyncio.AbstractEventLoop, number: int, frame: FrameType | None, turns: int
    ) -> None:
        if turns:
            loop.call_soon(self._pass_on, loop, number, frame, turns - 1)
            return
        self._is_deferring = False
        self._previous(number, frame)
