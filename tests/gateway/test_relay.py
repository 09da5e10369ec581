"""One WebSocket through the gateway: what is passed on, when it closes, and who waits for whom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from websockets.asyncio.client import connect as dial
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from emulation import Config, WebSocketEmulation
from emulation import testing as emulated
from emulation_server.backend import Connector
from emulation_server.gateway import Gateway
from emulation_server.lab.relay import race
from emulation_server.routing import Backend, Routes
from tests.gateway import processes
from tests.gateway.misbehaving import handshake
from tests.support.client import NATIVE, TRANSPORTS, Closed, Refused, connect
from tests.support.streams import connection_to, streams_server

pytestmark = pytest.mark.integration

TIMEOUT = 20.0
KIB = 1024
MIB = 1024 * KIB

Handler = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def backend(handler: Handler, **options: Any) -> AsyncIterator[str]:
    async with serve(handler, "127.0.0.1", 0, compression=None, **options) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"ws://127.0.0.1:{port}"


def gateway(url: str, **config: Any) -> WebSocketEmulation:
    connector = Connector(close_timeout=config.get("close_timeout", 10))
    app = Gateway(Routes({"/": Backend.parse(url)}), connector=connector)
    return WebSocketEmulation(app, config=Config(send_timeout=60, **config))


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(params=emulated.TRANSPORTS)
def emulated_transport(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


async def test_headers_of_the_page_reach_the_backend(transport: str) -> None:
    seen: list[Any] = []

    async def handler(socket: ServerConnection) -> None:
        assert socket.request is not None
        seen.append(socket.request)
        await socket.wait_closed()

    headers = [
        ("cookie", "a=b; c=d"),
        ("authorization", "Bearer token"),
        ("user-agent", "page"),
        ("x-custom", "value"),
        ("referer", "http://example.com/secret"),
        ("te", "trailers"),
        ("proxy-authorization", "Basic secret"),
        ("x-forwarded-for", "203.0.113.9"),
    ]
    with anyio.fail_after(TIMEOUT):
        async with backend(handler) as url:
            with processes.gateway(url, "--forwarded-allow-ips", "192.0.2.1") as (front, _):
                path = "/a%2Fb//c?x=%20&emulation=mine"
                async with connect(front + path, transport, headers=headers) as socket:
                    await socket.close(1000)
    [request] = seen
    assert request.path == path
    passed = request.headers
    assert passed["Host"] == url.removeprefix("ws://")
    assert passed["Origin"] == front
    assert passed["X-Forwarded-For"] == "127.0.0.1"
    assert passed["X-Forwarded-Host"] == front.removeprefix("http://")
    assert passed["Forwarded"].startswith("for=127.0.0.1;")
    for name, value in headers[:4]:
        assert passed.get_all(name) == [value]
    for name in (
        "referer",
        "te",
        "proxy-authorization",
        "content-type",
        "sec-websocket-extensions",
    ):
        assert name not in passed, name


async def test_pages_of_other_origins() -> None:
    """With cookies where they are allowed; the backend learns which origin it is."""
    origins: list[str | None] = []

    async def handler(socket: ServerConnection) -> None:
        assert socket.request is not None
        headers = socket.request.headers
        assert headers["Cookie"] == "a=b"
        origins.append(headers["Origin"])
        await socket.send("welcome")

    headers = [("cookie", "a=b"), ("sec-fetch-site", "cross-site")]
    with anyio.fail_after(TIMEOUT):
        async with backend(handler) as url:
            with processes.gateway(url, "--origin", "https://page.example") as (front, _):
                for name in TRANSPORTS:
                    allowed = "https://page.example"
                    async with connect(front, name, headers=headers, origin=allowed) as socket:
                        assert await socket.receive() == "welcome"
                    with pytest.raises((Closed, Refused)):
                        foreign = "https://other.example"
                        async with connect(front, name, headers=headers, origin=foreign):
                            pass
    assert origins == ["https://page.example"] * len(TRANSPORTS)


async def test_page_closes_when_the_backend_has_answered(transport: str) -> None:
    is_asked, may_answer = asyncio.Event(), asyncio.Event()

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(handshake(await reader.readuntil(b"\r\n\r\n")))
        frame = await reader.readexactly(2 + 4 + 5)
        assert frame[:2] == b"\x88\x85"
        is_asked.set()
        await may_answer.wait()
        writer.write(b"\x88\x08\x0f\xa2answer")

    async with streams_server(late) as (host, port):
        with anyio.fail_after(TIMEOUT), processes.gateway(f"ws://{host}:{port}") as (front, _):
            async with connect(front + "/", transport) as socket:
                closing = asyncio.create_task(socket.close(4001, "bye"))
                await is_asked.wait()
                assert socket.closed is None
                may_answer.set()
                await closing
                assert (socket.close_code, socket.close_reason) == (4002, "answer")


async def test_backend_that_does_not_answer_the_close(emulated_transport: str) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(handshake(await reader.readuntil(b"\r\n\r\n")))
        await reader.read()

    async with streams_server(silent) as (host, port):
        with anyio.fail_after(TIMEOUT):
            app = gateway(f"ws://{host}:{port}", close_timeout=0.5)
            async with emulated.connect("/", transport=emulated_transport, app=app) as socket:
                await socket.close(1000)
                assert socket.close_code == 1006


async def test_page_that_vanishes_vanishes_for_the_backend() -> None:
    ended: asyncio.Future[ConnectionClosed] = asyncio.get_running_loop().create_future()

    async def handler(socket: ServerConnection) -> None:
        try:
            await socket.recv()
        except ConnectionClosed as closed:
            ended.set_result(closed)

    with anyio.fail_after(TIMEOUT):
        async with backend(handler) as url:
            app = gateway(url, resume_time=0.2, heartbeat=0.1, poll_time=0.1)
            async with emulated.connect("/", transport="stream", app=app) as socket:
                socket.abort()
                assert (await ended).rcvd is None


async def test_page_that_gives_up_is_not_connected() -> None:
    is_asked, is_left = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        is_asked.set()
        await reader.read()
        is_left.set()

    async with streams_server(silent) as (host, port):
        async with emulated.serve(gateway(f"ws://{host}:{port}")) as url:
            with anyio.fail_after(TIMEOUT):
                opening = asyncio.create_task(_open(url))
                await is_asked.wait()
                opening.cancel()
                await is_left.wait()


async def _open(url: str) -> None:
    async with dial(url.replace("http:", "ws:"), proxy=None, open_timeout=None):
        pass


async def test_slow_page_slows_the_backend(transport: str) -> None:
    """Behind a network that stands still the backend is soon held back, and the gateway keeps
    little; all that was sent arrives when it goes on."""
    sent = 0
    total = (64 if transport == NATIVE else 32) * MIB

    async def pour(socket: ServerConnection) -> None:
        nonlocal sent
        await socket.recv()
        while sent < total:
            await socket.send(sent.to_bytes(8, "big") + bytes(64 * KIB - 8))
            sent += 64 * KIB
        await socket.wait_closed()

    with anyio.fail_after(90):
        async with backend(pour) as url:
            with processes.gateway(url) as (front, process):
                async with tap(front) as (url, flows), connect(url, transport) as page:
                    before = resident(process.popen.pid)
                    flows.clear()
                    await page.send("pour")
                    await settled(lambda: sent)
                    assert MIB <= sent < total
                    assert resident(process.popen.pid) - before < 24 * MIB
                    flows.set()
                    for expected in range(0, total, 64 * KIB):
                        message = await page.receive()
                        assert isinstance(message, bytes)
                        assert int.from_bytes(message[:8], "big") == expected


@asynccontextmanager
async def tap(to: str) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """Relay to a server; no more of what comes down is read while the event is cleared."""
    host, _, port = to.removeprefix("http://").partition(":")
    flows, up_flows = asyncio.Event(), asyncio.Event()
    flows.set()
    up_flows.set()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with connection_to(host, int(port)) as (from_server, to_server):
            await race(copy(reader, to_server, up_flows), copy(from_server, writer, flows))

    async with streams_server(relay) as (own_host, own_port):
        yield f"http://{own_host}:{own_port}", flows


async def copy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flows: asyncio.Event
) -> None:
    while data := await reader.read(64 * KIB):
        await flows.wait()
        writer.write(data)
        await writer.drain()


async def test_slow_backend_slows_the_page(emulated_transport: str) -> None:
    reads = asyncio.Event()
    total = 16 * MIB

    async def slow(socket: ServerConnection) -> None:
        await reads.wait()
        size = 0
        while size < total:
            size += len(await socket.recv())
        await socket.send(str(size))

    with anyio.fail_after(60):
        async with backend(slow, max_queue=1) as url:
            app = gateway(url)
            async with emulated.connect("/", transport=emulated_transport, app=app) as socket:
                for _ in range(total // (64 * KIB)):
                    await socket.send(b"x" * 64 * KIB)
                await settled(lambda: total - socket.buffered_amount)
                assert socket.buffered_amount > MIB
                assert app.statistics.unreceived <= 2 * MIB
                reads.set()
                assert await socket.receive(timeout=30) == str(total)


async def settled(value: Callable[[], int]) -> None:
    """Wait until a number has not grown for a while."""
    before, since = value(), 0
    while since < 10:
        await anyio.sleep(0.05)
        now = value()
        since = since + 1 if now == before and now > 0 else 0
        before = now


def resident(pid: int) -> int:
    """Return the bytes of memory that a process has."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * 4096
