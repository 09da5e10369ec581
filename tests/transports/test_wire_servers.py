"""Pages that leave in the middle of everything, on each server: nobody hears of it."""

from __future__ import annotations

import signal

import anyio
import anyio.to_thread
import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Origin, Subprotocol

from emulation.protocol.frames import BINARY, Frame
from tests.session.wire import TIMEOUT, Page, drawn, numbers, section
from tests.support.servers import TRACEBACK, Server, running

pytestmark = pytest.mark.integration

APPLICATION = "tests.session.parting:app"


async def stop(server: Server) -> None:
    await anyio.to_thread.run_sync(lambda: server.stop(signal.SIGTERM, TIMEOUT))


@pytest.mark.parametrize("kind", ["uvicorn", "uvicorn-h11", "hypercorn", "granian", "daphne"])
async def test_pages_that_leave_in_the_middle(kind: str) -> None:
    with running(APPLICATION, kind) as server:
        async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT) as client:
            page = Page(client, server.url, "/talk")
            await page.opened()
            for form in ("binary", "json", "binary"):
                page.form = form
                async with page.stream() as downstream:
                    await downstream.until(BINARY)
            async with page.events(await page.ticket()) as downstream:
                await downstream.until(BINARY)
            native = Page(client, server.url, "/talk")
            connection = await connect(
                native.url("ws").replace("http", "ws", 1),
                subprotocols=[Subprotocol(f"emulation.{drawn()}")],
                origin=Origin(server.url),
                proxy=None,
                max_size=None,
            )
            await connection.recv()
            await connection.send('\0["head",1,"",1,""]')
            connection.transport.abort()
            there: dict[int, Frame] = {}
            while len(there) <= 10:
                more = numbers((await page.poll(section(1, len(there)))).frames)
                assert list(more)[:1] == [len(there) + 1], "all of the window is still there"
                there |= more
        await stop(server)
        server.assert_ended_well(TRACEBACK)


@pytest.mark.parametrize("kind", ["uvicorn", "uvicorn-h11", "hypercorn", "granian", "daphne"])
async def test_answers_are_whole(kind: str) -> None:
    """A request that is in order, and one that is not, are answered alike by each server."""
    with running(APPLICATION, kind) as server:
        async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT) as client:
            page = Page(client, server.url)
            await page.opened()
            assert (await page.upload(section(1))).status == 204
            wrong = await page.request("POST", page.url("send"), b"\x80")
            assert wrong.status == 400 and wrong.ended
            assert wrong.headers["access-control-allow-origin"] == server.url
            assert (await page.request("DELETE", page.url("send"))).status == 405
            assert (await page.request("OPTIONS", page.url("send"))).status == 204
            assert (await client.head(page.url("send"))).status_code == 405
            assert (await page.upload(section(1), content_type="text/html")).status == 415
            large = await page.request("POST", page.url("send"), b"x" * 600_000)
            assert large.status == 413 and large.ended
            page.secret = "x" * 32
            assert (await page.upload(section(1))).status == 404
        await stop(server)
        server.assert_ended_well(TRACEBACK)
