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
from typing import Any, Final, NamedTuple

__all__ = ["on_going_down"]

# By these servers are ended, where the system has them. Gunicorn ends its workers by SIGQUIT when
# it gets SIGINT itself.
_SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGQUIT", "SIGBREAK")
# Between two looks whether every page has been told (seconds).
_LOOK_SECONDS: Final = 0.01


class _Drain(NamedTuple):
    """What is to be called in a loop, and what its server waits for, at most so long (seconds)."""

    loop: asyncio.AbstractEventLoop
    callback: Callable[[], None]
    is_done: Callable[[], bool]
    seconds: float


def on_going_down(
    callback: Callable[[], None], is_done: Callable[[], bool], seconds: float
) -> None:
    """Call back in the running loop when a signal or the server's own word ends the server.

    The handler that the server has set for the signal is called when `is_done` says so, at the
    latest after so many seconds.
    """
    loop = asyncio.get_running_loop()
    if threading.current_thread() is threading.main_thread():
        drain = _Drain(loop, callback, is_done, seconds)
        for name in _SIGNALS:
            if hasattr(signal, name):
                _listen(signal.Signals[name], drain)
    # Hypercorn's workers get no signal: their main process sets an event, which this task of the
    # worker's waits for.
    for task in asyncio.all_tasks(loop):
        if getattr(task.get_coro(), "__name__", "") == "raise_shutdown":
            task.add_done_callback(lambda _: callback())


def _listen(number: signal.Signals, drain: _Drain) -> None:
    handler = signal.getsignal(number)
    if not callable(handler):
        return  # nobody ends gracefully on this signal
    if not isinstance(handler, _Handler):
        # One for all loops of a process: suites of tests make thousands.
        handler = _Handler(handler)
        signal.signal(number, handler)
    handler.add(drain)


class _Handler:
    """A signal handler that tells us before it goes on to the server's own."""

    def __init__(self, previous: Callable[[int, FrameType | None], Any]) -> None:
        self._previous = previous
        if hasattr(previous, "__self__"):
            # sse_starlette finds uvicorn's server so, to end the event streams of the application.
            self.__self__ = previous.__self__
        self._drains: list[_Drain] = []
        self._is_deferring = False

    def add(self, drain: _Drain) -> None:
        """Drain this loop's application, too, as long as the loop lives."""
        self._drains = [kept for kept in self._drains if not kept.loop.is_closed()]
        self._drains.append(drain)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        running = None
        for drain in self._drains:
            if not drain.loop.is_closed():
                drain.loop.call_soon_threadsafe(drain.callback)
            if drain.loop.is_running():
                running = drain.loop
        if running is None or self._is_deferring:
            self._previous(number, frame)
            return
        # The server closes native sockets as soon as it sees the signal, and does not read what
        # comes on them: its kernel resets such a connection, and a page that writes before it
        # reads (Chromium's network process) never sees what was said last. So pages answer first.
        # A second signal does not wait.
        self._is_deferring = True
        running.call_soon_threadsafe(self._pass_on, running, number, frame, running.time())

    def _pass_on(
        self, loop: asyncio.AbstractEventLoop, number: int, frame: FrameType | None, began: float
    ) -> None:
        waited = loop.time() - began
        if any(
            drain.loop.is_running() and waited < drain.seconds and not drain.is_done()
            for drain in self._drains
        ):
            loop.call_later(_LOOK_SECONDS, self._pass_on, loop, number, frame, began)
            return
        self._is_deferring = False
        self._previous(number, frame)
