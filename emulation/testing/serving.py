"""A private server for an ASGI application object."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import AsyncIterator, Generator
from typing import Any

import uvicorn

__all__ = ["serve"]

_GRACE = 2


class _Server(uvicorn.Server):
    """uvicorn as a task of somebody else's program, whose signals are its own."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        handlers = {number: signal.getsignal(number) for number in uvicorn.server.HANDLED_SIGNALS}
        yield
        # The middleware listens for signals too: what it has set goes with its server.
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)

    async def startup(self, sockets: Any = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit as error:
            raise RuntimeError("the application did not start; its log says why") from error
        self.ready.set_result(self.servers[0].sockets[0].getsockname()[1])


@contextlib.asynccontextmanager
async def serve(app: Any) -> AsyncIterator[str]:
    """Run an ASGI application on a free port of 127.0.0.1, in this event loop; yield its URL.

    Raises RuntimeError when the application's lifespan does not start.
    """
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_GRACE,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve())
    starting: list[asyncio.Future[Any]] = [task, server.ready]
    await asyncio.wait(starting, return_when=asyncio.FIRST_COMPLETED)
    try:
        if task.done():
            task.result()
        yield f"http://127.0.0.1:{server.ready.result()}"
    finally:
        server.should_exit = True
        await asyncio.wait([task])
    task.result()
