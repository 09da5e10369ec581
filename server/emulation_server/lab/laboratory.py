"""The laboratory: a relay that listens on a port, inside a loop or in a thread of its own."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import ExitStack
from types import TracebackType

import h11
from anyio.from_thread import BlockingPortal, start_blocking_portal

from .modes import make_mode
from .relay import Entry, Mode, Relay
from .wire import Peer

ACCEPTING = 3  # turns of asyncio's loop from accept() until a connection is told
CUTS = ("reset", "truncated", "stalled", "lost", "expired", "forgotten")


class Lab:
    """Stand in front of the server at `to` and misbehave as the mode says.

    Use it as an asynchronous context manager: it listens from the entry on and ends every
    connection at the exit, which raises what went wrong inside the laboratory itself.
    """

    def __init__(
        self,
        to: tuple[str, int],
        mode: str | Mode = "plain",
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        **options: object,
    ) -> None:
        self._relay = Relay(to, _make(mode, options))
        self._host = host
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []

    async def __aenter__(self) -> Lab:
        self._server = await asyncio.start_server(self._connected, self._host, self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await stop_listening(self._server)
        await self.drop_connections()
        if self._failures:
            raise RuntimeError("the laboratory itself failed") from self._failures[0]

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        """Return the base URL, without a slash at the end."""
        return f"http://{self._host}:{self._port}"

    @property
    def mode(self) -> Mode:
        return self._relay.mode

    def set_mode(self, mode: str | Mode, **options: object) -> None:
        """Change what happens to requests that come from now on."""
        self._relay.mode = _make(mode, options)

    async def drop_connections(self) -> None:
        """Reset every open connection and wait until all of them are closed."""
        peers, tasks = set(self._relay.peers), set(self._tasks)
        for peer in peers:
            peer.reset()
        for task in tasks:
            task.cancel()
        if over := tasks | {peer.gone for peer in peers}:
            await asyncio.wait(over)

    @property
    def log(self) -> list[Entry]:
        """Return one entry for each request, oldest first (the last 10 000)."""
        return list(self._relay.log)

    @property
    def counts(self) -> Counter[str]:
        """Return how often each thing was done ("reset", "truncated", "duplicated", ...)."""
        return self._relay.counts

    @property
    def cuts(self) -> int:
        """Return how often something was cut: a body, a tunnel or an answer that did not pass."""
        return sum(self._relay.counts[what] for what in CUTS)

    @property
    def deliveries(self) -> int:
        """Return how many requests were sent to the server, repetitions included."""
        return self._relay.deliveries

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Peer(reader, writer, h11.SERVER)  # here: a task may be cancelled before it begins
        self._relay.keep(client)
        task = asyncio.get_running_loop().create_task(self._relay.serve(client))
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._failures.append(failure)


class LabThread:
    """Run a laboratory in a thread, for code that is not asynchronous: a plain context manager."""

    def __init__(self, to: tuple[str, int], mode: str | Mode = "plain", **options: object) -> None:
        self._lab = Lab(to, mode, **options)  # type: ignore[arg-type]  # host and port included

    def __enter__(self) -> LabThread:
        with ExitStack() as stack:
            self._portal: BlockingPortal = stack.enter_context(start_blocking_portal())
            stack.enter_context(self._portal.wrap_async_context_manager(self._lab))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def port(self) -> int:
        return self._lab.port

    @property
    def url(self) -> str:
        return self._lab.url

    @property
    def mode(self) -> Mode:
        return self._lab.mode

    def set_mode(self, mode: str | Mode, **options: object) -> None:
        """Change what happens to requests that come from now on."""
        self._portal.call(lambda: self._lab.set_mode(mode, **options))

    def drop_connections(self) -> None:
        """Reset every open connection."""
        self._portal.call(self._lab.drop_connections)

    @property
    def log(self) -> list[Entry]:
        return self._lab.log

    @property
    def counts(self) -> Counter[str]:
        return self._lab.counts

    @property
    def cuts(self) -> int:
        return self._lab.cuts

    @property
    def deliveries(self) -> int:
        return self._lab.deliveries


async def stop_listening(server: asyncio.Server) -> None:
    """Close a server without losing, unclosed, what it has accepted and not yet told of."""
    for listener in server.sockets:
        asyncio.get_running_loop().remove_reader(listener)
    for _ in range(ACCEPTING):
        await asyncio.sleep(0)
    server.close()


def _make(mode: str | Mode, options: dict[str, object]) -> Mode:
    if isinstance(mode, str):
        return make_mode(mode, **options)
    if options:
        raise TypeError("options belong to a mode given by its name")
    return mode
