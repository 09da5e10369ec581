"""Peers that take, keep, repeat and invent: memory is flat, nobody else notices, the log is short.

The measure is the server's resident size at the end of a run against that after a fifth of it. The
run comes behind a warm-up, in which twice as much is done at once, for as long as it grows.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import anyio
import httpx
import pytest
from anyio.from_thread import start_blocking_portal
from websockets.asyncio.client import connect as connect_native
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

from tests.session.wire import Page, drawn, encoded, section, text
from tests.support.servers import Server, running
from tests.support.streams import connection_to

pytestmark = pytest.mark.integration

APPLICATION = "tests.apps.abused_app:app"
TIMEOUT = 100
LOG_LINES = 100

# Several times as long as what is kept of a session that has ended (5.4 seconds here).
SHORT = 20
LONG = 120

# A busy machine may not come to all that happens at once before a short run begins.
GROWTH = {SHORT: 1.1, LONG: 1.05}

# Seconds in which the resident size grows by less than a hundredth: it is what this abuse needs.
CALM = 5

# On a busy machine a session may be forgotten before the next request for it comes.
LATE = (200, 404)

Abuse: TypeAlias = Callable[[httpx.AsyncClient, str], Awaitable[None]]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running(APPLICATION) as started:
        yield started


def resident(server: Server) -> int:
    """Return the server's resident size in KiB."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


@asynccontextmanager
async def client_of() -> AsyncIterator[httpx.AsyncClient]:
    # A kept connection may be closed by the server just as the next request goes out on it.
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=0)
    async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT, limits=limits) as client:
        yield client


# --- What is done in one round --------------------------------------------------------------------


async def wrong_secrets(client: httpx.AsyncClient, url: str) -> None:
    for _ in range(100):
        page = Page(client, url)
        page.secret = secrets.token_urlsafe(24)
        answer = await page.upload(section(1, 0, 1), text("x"))
        assert answer.status == 404


async def opens(client: httpx.AsyncClient, url: str) -> None:
    """Open many sockets on as many carriers, and come back to none."""
    pages = [Page(client, url) for _ in range(60)]
    answers = await asyncio.gather(*(page.open() for page in pages))
    assert {answer.status for answer in answers} <= {200, 408, 503}, answers


async def huge_lengths(client: httpx.AsyncClient, url: str) -> None:
    """Announce frames and bodies that never come."""
    page = Page(client, url)
    await reopened(page)
    for length in (b"\x8f\xff\xff\xff\x7f", b"\x84\x80\x80\x00", b"\xff" * 30):
        body = encoded(page.head(1), section(1, 0, 1), end=False) + b"\x02" + length
        answer = await page.request("POST", page.url("send"), body)
        assert answer.status in {*LATE, 400, 413}
    to = urlsplit(page.url("send"))
    async with connection_to(to.hostname, to.port) as (reader, writer):
        writer.write(
            f"POST {to.path}?{to.query} HTTP/1.1\r\nHost: {to.netloc}\r\nOrigin: {url}\r\n"
            "Content-Type: application/octet-stream\r\n"
            f"Content-Length: {1 << 40}\r\n\r\n@".encode()
        )
        assert (await reader.readline()).split()[1] in (b"404", b"413")


async def tiny_frames(client: httpx.AsyncClient, url: str) -> None:
    """Send messages of a byte, and parts of a message that never ends."""
    page = Page(client, url, "/hoard")
    await reopened(page)
    for first in range(1, 20_000, 2_000):
        answer = await page.upload(section(1, 0, first), *([(3, b"x")] * 2_000))
        assert answer.status in (200, 204, 404)


async def repeats(client: httpx.AsyncClient, url: str) -> None:
    """Repeat and swap uploads, and acknowledge what was never sent."""
    page = Page(client, url)
    await reopened(page)
    for number in (1, 1, 3, 2, 2, 1, 500, 2**53 - 1, 3):
        await page.upload(section(1, 0, number), text("x" * 1000), number=number)
    await page.upload(section(1, 2**53 - 1, 1))


async def never_acknowledges(client: httpx.AsyncClient, url: str) -> None:
    """Read all that comes and acknowledge nothing: what is kept for replay has an end."""
    page = Page(client, url, "/flood")
    await reopened(page)
    async with page.stream(statuses=LATE) as downstream:
        with anyio.move_on_after(1.5):
            await downstream.until_end()


async def slow_readers(client: httpx.AsyncClient, url: str) -> None:
    """Ask for streams and read none of them."""
    async with AsyncExitStack() as stack:
        for _ in range(10):
            page = Page(client, url, "/flood")
            await reopened(page)
            await stack.enter_async_context(page.stream(statuses=LATE))
        await anyio.sleep(1.2)  # longer than `send_timeout`


async def trickles(client: httpx.AsyncClient, url: str) -> None:
    """Send bodies a byte at a time until the server has had enough."""

    async def trickle() -> None:
        page = Page(client, url)

        async def body() -> AsyncIterator[bytes]:
            for _ in range(100):
                yield b"@"
                await anyio.sleep(0.1)

        headers = {**page.headers, "content-type": "application/octet-stream"}
        headers["content-length"] = "100"
        try:
            answer = await client.post(page.url("open"), content=body(), headers=headers)
        except httpx.TransportError:
            return  # closed under a body that was still coming
        assert answer.status_code == 408

    await asyncio.gather(*(trickle() for _ in range(20)))


async def native_pings(client: httpx.AsyncClient, url: str) -> None:
    """Flood a native socket of ours with pings, documents and parts, and read nothing."""
    page = Page(client, url)
    async with connect_native(
        page.url("ws").replace("http", "ws", 1),
        subprotocols=[Subprotocol(f"emulation.{drawn()}")],
        origin=Origin(url),
        proxy=None,
        max_queue=1,
        open_timeout=TIMEOUT,
        close_timeout=1,
    ) as native:
        with anyio.move_on_after(2), suppress(ConnectionClosed):
            await native.send('\0["head",1,"",1,""]')
            for _ in range(5_000):
                await native.send('\0["ping"]')
                await native.send('\0["unknown",' + "1," * 50 + "1]")


ABUSES: tuple[Abuse, ...] = (
    wrong_secrets,
    opens,
    huge_lengths,
    tiny_frames,
    repeats,
    never_acknowledges,
    slow_readers,
    trickles,
    native_pings,
)


async def reopened(page: Page) -> None:
    """Open a socket, which a server at its limit, or a slow machine, wants to be asked again."""
    with anyio.fail_after(TIMEOUT):
        while (answer := await page.open()).status in (408, 503):
            await anyio.sleep(0.2)
            page.key = drawn()
    assert answer.document("opened"), answer.frames


# --- The measure ----------------------------------------------------------------------------------


@pytest.mark.timeout(180)
async def test_all_at_once(server: Server) -> None:
    await torment(server, ABUSES, SHORT)


@pytest.mark.full
@pytest.mark.timeout(300)
@pytest.mark.parametrize("abuse", [*ABUSES, None])
async def test_for_long(server: Server, abuse: Abuse | None) -> None:
    await torment(server, ABUSES if abuse is None else [abuse], LONG)


async def torment(server: Server, abuses: Sequence[Abuse], seconds: int) -> None:
    """Do these things again and again for so long, and look at the server meanwhile."""
    before = server.log_size()
    with neighbour(server.url) as noticed:
        await inflict(server.url, [*abuses, *abuses], calm(server))
        await inflict(server.url, abuses, anyio.sleep(seconds / 5))
        early = resident(server)
        rounds = await inflict(server.url, abuses, anyio.sleep(seconds * 4 / 5))
        late = resident(server)
    print(f"{early} KiB after a fifth, {late} KiB at the end; rounds: {rounds}")
    assert noticed == []
    assert late <= GROWTH[seconds] * early
    log = server.log(before)
    ours = [line for line in log.splitlines() if not line.startswith("INFO:")]  # uvicorn's
    assert len(ours) < LOG_LINES, log
    assert "Traceback" not in log, log


async def inflict(url: str, abuses: Sequence[Abuse], meanwhile: Awaitable[None]) -> dict[str, int]:
    """Do each again and again, at least once, until `meanwhile` is over; tell how often."""
    rounds: Counter[str] = Counter()
    is_over = anyio.Event()

    async def again_and_again(abuse: Abuse) -> None:
        async with client_of() as client:
            while not (is_over.is_set() and rounds[abuse.__name__]):
                await abuse(client, url)
                rounds[abuse.__name__] += 1

    async with anyio.create_task_group() as tasks:
        for abuse in abuses:
            tasks.start_soon(again_and_again, abuse)
        await meanwhile
        is_over.set()
    return dict(rounds)


async def calm(server: Server) -> None:
    """Wait until the server's resident size has not grown for a while."""
    largest, since = 0, anyio.current_time()
    with anyio.fail_after(TIMEOUT):
        while anyio.current_time() < since + CALM:
            if (size := resident(server)) > 1.01 * largest:
                largest, since = size, anyio.current_time()
            await anyio.sleep(0.2)


@contextmanager
def neighbour(url: str) -> Iterator[list[Any]]:
    """Talk on another session all the while; tell what it notices."""
    # In a thread of its own: it must not wait for its turn among those that torment the server.
    with start_blocking_portal() as portal:
        with portal.wrap_async_context_manager(beside(url)) as noticed:
            yield noticed


@asynccontextmanager
async def beside(url: str) -> AsyncIterator[list[Any]]:
    noticed: list[Any] = []
    async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT) as client:
        page = Page(client, url)
        await reopened(page)
        async with page.stream() as downstream, anyio.create_task_group() as tasks:

            async def talk() -> None:
                number = 0
                while True:
                    number += 1
                    answer = await page.upload(section(1, number - 1, number), text(str(number)))
                    if answer.status not in (200, 204):
                        noticed.append(answer.status)
                    await downstream.until_text(str(number))
                    await anyio.sleep(0.1)

            tasks.start_soon(talk)
            yield noticed
            tasks.cancel_scope.cancel()
        if downstream.texts() != [str(n + 1) for n in range(len(downstream.texts()))]:
            noticed.append(downstream.texts())
