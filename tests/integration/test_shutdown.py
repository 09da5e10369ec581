"""A server that is told to end does so at once, and its pages hear of it, whatever they wait in."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

from emulation.protocol.frames import BINARY, CLOSE, DOCUMENT, Frame
from tests.session.wire import (
    TIMEOUT,
    Answer,
    Downstream,
    Page,
    by_socket,
    close,
    drawn,
    encoded,
    read_answer,
    section,
)
from tests.support.servers import TRACEBACK, Server, running
from tests.support.streams import connection_to

pytestmark = pytest.mark.integration

APPLICATION = "tests.session.parting:app"
GOING_DOWN = 1012
DISCONNECTED = f"disconnected with {GOING_DOWN}"

# The server's own patience is longer than ours with it, so that it is not what ends the requests.
PATIENT = {
    "uvicorn": ("--timeout-graceful-shutdown", "30"),
    "uvicorn-h11": ("--timeout-graceful-shutdown", "30"),
    "hypercorn": ("--graceful-timeout", "30"),
    "granian": ("--workers-kill-timeout", "30"),
    "daphne": (),
}
# What is promised is 2 s; a machine that does something else meanwhile may take longer.
PATIENCE = 5.0


class Parked:
    """One page for each transport, with an open socket each."""

    def __init__(self) -> None:
        self.streams: dict[str, Downstream] = {}
        self.polled: list[Answer] = []
        self.native: ClientConnection | None = None

    async def assert_told(self, *, is_granian: bool = False) -> None:
        """Check that each page heard of the close, and that its request was ended in order."""
        for name, downstream in self.streams.items():
            frames = await downstream.until_end()
            assert told(frames) == [close(GOING_DOWN)], (name, frames)
        with anyio.fail_after(TIMEOUT):
            while not self.polled:  # noqa: ASYNC110 (a list)
                await anyio.sleep(0.01)
        [answer] = self.polled
        assert answer.ended and told(answer.frames) == [close(GOING_DOWN)], answer.frames
        assert self.native is not None
        said = []
        with anyio.fail_after(TIMEOUT):
            try:
                while True:
                    said.append(await self.native.recv())
            except ConnectionClosed:
                pass
        # granian drops native sockets when the signal comes: what was written then may be lost.
        assert is_granian or f'\0["c",{GOING_DOWN}]' in said


def told(frames: list[Frame]) -> list[Frame]:
    return [frame for frame in frames if frame[0] == CLOSE]


@asynccontextmanager
async def parked(url: str) -> AsyncIterator[Parked]:
    """Park a page in every transport."""
    pages = Parked()
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(anyio.create_task_group())
        client = await stack.enter_async_context(
            httpx.AsyncClient(trust_env=False, timeout=TIMEOUT)
        )
        for name in ("stream", "xhr-stream", "sse"):
            page = Page(client, url, form="json" if name == "xhr-stream" else "binary")
            await page.opened()
            down = page.events(await page.ticket()) if name == "sse" else page.stream()
            pages.streams[name] = await stack.enter_async_context(down)
            await pages.streams[name].until(DOCUMENT, "credit")
        poller = Page(client, url)
        await poller.opened()

        async def poll() -> None:
            pages.polled.append(await poller.poll(section(1)))

        tasks.start_soon(poll)
        pages.native = await stack.enter_async_context(native_page(client, url))
        await wait_until_parked(client, poller)
        yield pages


@asynccontextmanager
async def native_page(client: httpx.AsyncClient, url: str) -> AsyncIterator[ClientConnection]:
    """Open a socket over a native one."""
    async with connect(
        Page(client, url).url("ws").replace("http", "ws", 1),
        subprotocols=[Subprotocol(f"emulation.{drawn()}")],
        origin=Origin(url),
        proxy=None,
    ) as native:
        assert json.loads(str(await native.recv())[1:])[0] == "secret"
        await native.send('\0["head",1,"",1,""]')
        await native.send('\0["ping"]')
        with anyio.fail_after(TIMEOUT):
            while json.loads(str(await native.recv())[1:])[0] != "ack":
                pass
        yield native


async def wait_until_parked(client: httpx.AsyncClient, poller: Page) -> None:
    """Wait until an answer says that the poll is the downstream."""
    with anyio.fail_after(TIMEOUT):
        while True:
            answer = await poller.upload(section(1))
            if answer.headers["emulation"].split()[3] != "0":
                return


async def stop(server: Server, sent: signal.Signals) -> None:
    await anyio.to_thread.run_sync(lambda: server.stop(sent, PATIENCE))


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=lambda sent: sent.name)
@pytest.mark.parametrize("kind", PATIENT)
async def test_signals(kind: str, sent: signal.Signals) -> None:
    with running(APPLICATION, kind, arguments=PATIENT[kind]) as server:
        async with parked(server.url) as pages:
            await stop(server, sent)
            await pages.assert_told(is_granian=kind == "granian")
        server.assert_ended_well(TRACEBACK)
        assert server.log().count(DISCONNECTED) == 5, server.log()


async def test_a_worker_of_gunicorn() -> None:
    """It listens for SIGQUIT, which its arbiter sends when it has SIGINT itself."""
    with running("tests.session.parting:worker", arguments=PATIENT["uvicorn"]) as server:
        async with parked(server.url) as pages:
            server.process.send_signal(signal.SIGQUIT)
            await pages.assert_told()
        await stop(server, signal.SIGTERM)
        server.assert_ended_well(TRACEBACK)


async def test_hypercorn_without_workers() -> None:
    arguments = ("--workers", "0", *PATIENT["hypercorn"])
    with running(APPLICATION, "hypercorn", arguments=arguments) as server:
        async with parked(server.url) as pages:
            await stop(server, signal.SIGTERM)
            await pages.assert_told()
        server.assert_ended_well(TRACEBACK)
        assert server.log().count(DISCONNECTED) == 5, server.log()


async def change(module: Path, server: Server) -> None:
    """Change the file until the reloader sees it: what comes before its first look it misses."""
    with anyio.fail_after(TIMEOUT):
        while "Reloading" not in server.log():
            with module.open("a") as file:
                file.write("# changed\n")
            with anyio.move_on_after(2):
                while "Reloading" not in server.log():  # noqa: ASYNC110 (a file)
                    await anyio.sleep(0.02)


async def test_reload(tmp_path: Path) -> None:
    module = tmp_path / "reloaded.py"
    module.write_text("from tests.session.parting import app\n")
    arguments = ("--reload", "--reload-dir", str(tmp_path), "--app-dir", str(tmp_path))
    with running("reloaded:app", arguments=(*arguments, *PATIENT["uvicorn"])) as server:
        async with parked(server.url) as pages:
            await change(module, server)
            await pages.assert_told()
        # The next process serves on the same port, and knows nothing of the sessions.
        with anyio.fail_after(TIMEOUT):
            while server.log().count("Application startup complete") < 2:  # noqa: ASYNC110 (a file)
                await anyio.sleep(0.02)
        async with parked(server.url) as pages:
            await stop(server, signal.SIGTERM)
            await pages.assert_told()
        server.assert_ended_well(TRACEBACK)
        assert server.log().count(DISCONNECTED) == 10, server.log()


async def test_two_workers() -> None:
    """Without a balancer that knows the key a request goes astray; each is told 421, both end."""
    arguments = ("--workers", "2", *PATIENT["uvicorn"])
    with running(APPLICATION, arguments=arguments) as server:
        async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT) as client:
            page = Page(client, server.url)
            await page.opened()
            statuses: set[int] = set()
            with anyio.fail_after(TIMEOUT):
                while statuses != {204, 421}:
                    async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT) as other:
                        page.client = other
                        answer = await page.upload(section(1))
                        statuses.add(answer.status)
        await stop(server, signal.SIGTERM)
        server.assert_ended_well(TRACEBACK)
        assert server.log().count("Said once.") == 1, server.log()
        assert server.log().count(DISCONNECTED) == 1, server.log()


async def test_an_application_that_does_not_end() -> None:
    """Who neither receives nor ends is cancelled, and does not keep the server."""
    with running(APPLICATION, arguments=PATIENT["uvicorn"]) as server:
        async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT) as client:
            page = Page(client, server.url, "/deaf")
            await page.opened()
            async with page.stream() as downstream:
                await downstream.until(DOCUMENT, "credit")
                await stop(server, signal.SIGTERM)
                assert told(await downstream.until_end()) == [close(GOING_DOWN)]
        server.assert_ended_well(TRACEBACK)


@pytest.mark.parametrize("kind", PATIENT)
async def test_bodies_that_do_not_come(kind: str) -> None:
    """A page on a slow or dead network has begun to send, and does not keep the server."""
    with running(APPLICATION, kind, arguments=PATIENT[kind]) as server:
        async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT) as client:
            page = Page(client, server.url)
            await page.opened()
            async with AsyncExitStack() as stack:
                readers = []
                for verb in ("send", "open", "stream", "poll", "bye"):
                    begun = page.raw(verb, encoded(page.head(1), section(1)))[:-5]
                    reader, writer = await stack.enter_async_context(
                        connection_to("127.0.0.1", server.port)
                    )
                    writer.write(begun)
                    await writer.drain()
                    readers.append(reader)
                await page.upload(section(1))  # by now the others have been read
                await stop(server, signal.SIGTERM)
                if kind.startswith("uvicorn"):  # the others cut their connections
                    for reader in readers:
                        assert (await read_answer(reader)).status == 408
        server.assert_ended_well(TRACEBACK)


async def test_event_streams_of_the_applications_own() -> None:
    """Its library looks for the server behind the signal's handler, which is ours by then."""
    with running(APPLICATION, arguments=PATIENT["uvicorn"]) as server:
        async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT) as client:
            page = Page(client, server.url)
            await page.opened()
            async with client.stream("GET", f"{server.url}/ticks") as ticks, page.stream():
                chunks = ticks.aiter_raw()
                await anext(chunks)
                await stop(server, signal.SIGTERM)
        server.assert_ended_well(TRACEBACK)


@pytest.mark.parametrize("kind", ["uvicorn", "uvicorn-h11"])
async def test_a_page_that_writes_before_it_reads(kind: str) -> None:
    """A kernel resets a connection that is closed while something comes, which such a page sees."""
    with running(APPLICATION, kind, arguments=PATIENT[kind]) as server:
        async with (
            httpx.AsyncClient(trust_env=False, timeout=TIMEOUT) as client,
            native_page(client, server.url) as native,
            anyio.create_task_group() as tasks,
        ):
            native.transport.pause_reading()
            tasks.start_soon(stop, server, signal.SIGTERM)
            with anyio.fail_after(TIMEOUT):
                while DISCONNECTED not in server.log():
                    await native.send("more")
                    await anyio.sleep(0.01)
            for _ in range(10):
                await native.send("and more")
                await anyio.sleep(0.01)
            native.transport.resume_reading()
            with anyio.fail_after(TIMEOUT):
                while await native.recv() != f'\0["c",{GOING_DOWN}]':
                    pass
            await native.send(f'\0["c",{GOING_DOWN}]')
        server.assert_ended_well(TRACEBACK)


async def test_a_page_between_two_polls() -> None:
    with running(APPLICATION, arguments=PATIENT["uvicorn"]) as server:
        async with (
            httpx.AsyncClient(trust_env=False, timeout=TIMEOUT) as client,
            anyio.create_task_group() as tasks,
        ):
            page = Page(client, server.url)
            await page.opened()
            tasks.start_soon(stop, server, signal.SIGTERM)
            with anyio.fail_after(TIMEOUT):
                while DISCONNECTED not in server.log():  # noqa: ASYNC110 (a file)
                    await anyio.sleep(0.01)
            await anyio.sleep(0.2)  # by then uvicorn, which looks ten times a second, knows
            answer = await page.poll(section(1))
            assert told(answer.frames) == [close(GOING_DOWN)], answer.frames
        server.assert_ended_well(TRACEBACK)


async def test_what_was_sent_comes_before_the_close() -> None:
    """The window may be full of what a slow page has not yet read."""
    with running(APPLICATION, arguments=PATIENT["uvicorn"]) as server:
        async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT) as client:
            page = Page(client, server.url, "/talk")
            await page.opened()
            async with page.stream() as downstream:
                await downstream.until(BINARY)
                await stop(server, signal.SIGTERM)
                frames = await downstream.until_end()
            numbered = [frame for _, frame in by_socket(frames)]
            assert numbered[-1] == close(GOING_DOWN)
            assert len(numbered) > 10
        server.assert_ended_well(TRACEBACK)
