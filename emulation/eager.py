"""Write to a parked request for whoever has something to say, who must neither wait nor be hurt.

What is said in one turn of the loop goes out together at its end, or at once for who has waited for
that end. Where `send` is the server's own, it is run in no task at all: waking a task for each
of many requests costs more than what is written. It is different where a middleware stands between:
some put deadlines around `send`, which belong to the task that runs; a task of the request does the
writing there. So it does where `send` would wait for a slow reader.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from types import MethodType
from typing import Any, Final

__all__ = ["Event", "Writer", "release", "run_beside"]

Event = MutableMapping[str, Any]

# Whose `send` waits for a slow reader first and does then, at once, what it is called for: it can
# be given up where it waits, and belongs to no task (uvicorn 0.20 to 0.54).
_PLAIN: Final = frozenset(
    (
        "uvicorn.protocols.http.h11_impl",
        "uvicorn.protocols.http.httptools_impl",
        "uvicorn.protocols.websockets.websockets_sansio_impl",
        "uvicorn.protocols.websockets.wsproto_impl",
    )
)

# In place of what a coroutine waits for, where it does not wait.
_DONE: Final = object()

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


def release(waiter: asyncio.Future[None]) -> None:
    """Let go on who waits, unless it waits no more."""
    if not waiter.done():
        waiter.set_result(None)


def _is_plain(send: Callable[[Event], Awaitable[None]]) -> bool:
    return type(send) is MethodType and type(send.__self__).__module__ in _PLAIN


class Writer:
    """Sends the events of `next_event`, whenever something was to be said, until it has none.

    `fail` is called within the handling of what either of them has raised.
    """

    __slots__ = ("_is_plain", "_is_writing", "_loop", "_send")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, send: Callable[[Event], Awaitable[None]]
    ) -> None:
        self._loop = loop
        self._send = send
        self._is_plain = _is_plain(send)
        self._is_writing = False

    def next_event(self) -> Event | None:
        """Return what is to be sent next; None where there is nothing to say."""
        raise NotImplementedError

    def fail(self, error: Exception) -> None:
        """Note that nothing more can be sent."""
        raise NotImplementedError

    def write_soon(self) -> None:
        """Send all that is said in this turn of the loop together, at its end; never waits."""
        if self._is_writing:
            return
        self._is_writing = True
        if self._is_plain:
            self._loop.call_soon(self._write)
        else:
            run_beside(self._run(None))

    def write_now(self) -> None:
        """Send all that is said, at once where the server's own `send` allows it; never waits."""
        if self._is_plain and not self._is_writing:
            self._is_writing = True
            self._write()
        else:
            self.write_soon()

    def _write(self) -> None:
        """Send all there is, as far as nothing waits."""
        try:
            while (event := self.next_event()) is not None:
                sending = self._send(event)
                # Not by `send`, which says by an exception, with its traceback, that it is done.
                if next(sending.__await__(), _DONE) is not _DONE:
                    sending.close()  # type: ignore[attr-defined]  # a coroutine: see _PLAIN
                    run_beside(self._run(event))  # nothing of it has been sent
                    return
        except Exception as error:
            self.fail(error)
        self._is_writing = False

    async def _run(self, event: Event | None) -> None:
        try:
            while event is not None or (event := self.next_event()) is not None:
                await self._send(event)
                event = None
        except Exception as error:
            self.fail(error)
        finally:
            self._is_writing = False
