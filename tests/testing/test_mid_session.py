"""What happens to a connection in the middle of a session, and is not noticed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import anyio
import pytest

from emulation.testing import TRANSPORTS, Closed, Refused, WebSocket, carrier, connect
from emulation_server.lab import Lab
from tests.support.servers import running
from tests.testing.conftest import Site

pytestmark = pytest.mark.integration

every_transport = pytest.mark.parametrize("transport", TRANSPORTS)

COUNT = 300
PATIENCE = 20.0


async def echoes_through(ws: WebSocket, trouble: Callable[[int], Awaitable[None]]) -> None:
    """Exchange numbered messages while `trouble` comes after every tenth."""

    async def send() -> None:
        for number in range(COUNT):
            await ws.send(str(number) if number % 2 else b"%d" % number)
            if number % 10 == 9:
                await ws.drain(PATIENCE)

    sending = asyncio.create_task(send())
    try:
        for number in range(COUNT):
            message = await ws.receive(PATIENCE)
            assert message == (str(number) if number % 2 else b"%d" % number)
            if number % 100 == 50:
                await trouble(number)
    finally:
        sending.cancel()
        await asyncio.wait([sending])


@every_transport
@pytest.mark.parametrize("other", TRANSPORTS)
async def test_switch_there_and_back(site: Site, transport: str, other: str) -> None:
    async with connect(site.url, transport=transport) as ws:

        async def switch(number: int) -> None:
            chosen = transport if ws.transport == other else other
            await ws.switch(chosen)
            assert ws.transport == chosen

        await echoes_through(ws, switch)
        await ws.close(4000)
        assert ws.close_code == 4000
    assert site.starts == [""]


@every_transport
async def test_dropped_downstream(site: Site, transport: str) -> None:
    async with connect(site.url, transport=transport) as ws:

        async def drop(number: int) -> None:
            ws.drop()

        await echoes_through(ws, drop)
        await ws.close(4000)
        assert ws.close_code == 4000
    assert site.starts == [""]


@pytest.mark.parametrize("transport", TRANSPORTS[1:])
async def test_dropped_upload(site: Site, transport: str) -> None:
    async with carrier(site.url, transport=transport) as page, page.connect() as ws:
        await ws.send(b"\0" * 300_000)
        page.drop_upload()
        for number in range(COUNT):
            await ws.send(str(number))
            await asyncio.sleep(0)
            page.drop_upload()
        assert await ws.receive() == b"\0" * 300_000
        for number in range(COUNT):
            assert await ws.receive() == str(number)
    assert site.starts == [""]


@every_transport
async def test_sockets_share_a_carrier(site: Site, transport: str) -> None:
    async with (
        carrier(site.url, transport=transport) as page,
        page.connect("/a?n=1") as first,
        page.connect("/a?n=2") as second,
        page.connect("/a?n=3", transport="websocket") as third,
    ):
        sockets = (first, second, third)
        for number in range(20):
            for socket in sockets:
                await socket.send(f"{number} of {sockets.index(socket)}")
        for socket in reversed(sockets):
            for number in range(20):
                assert await socket.receive() == f"{number} of {sockets.index(socket)}"
        await first.close(4000)
        await second.switch("poll")
        await third.switch("poll")
        for socket in (second, third):
            await socket.send("still here")
            assert await socket.receive() == "still here"
    assert site.starts == ["n=1", "n=2", "n=3"]


@every_transport
async def test_sockets_open_at_once_on_one_carrier(site: Site, transport: str) -> None:
    async def talk(number: int) -> None:
        async with page.connect(f"/?n={number}") as ws:
            await ws.send(str(number))
            assert await ws.receive() == str(number)

    async with carrier(site.url, transport=transport) as page:
        await asyncio.gather(*(talk(number) for number in range(10)))
    assert len(site.starts) == 10


@every_transport
async def test_refused_socket_leaves_the_others_alone(site: Site, transport: str) -> None:
    async with carrier(site.url, transport=transport) as page:
        with pytest.raises(Refused):
            async with page.connect("/?refuse=first"):
                pass
        async with page.connect() as ws:
            with pytest.raises(Refused):
                async with page.connect("/?refuse=another"):
                    pass
            await ws.send("still here")
            assert await ws.receive() == "still here"


@every_transport
async def test_server_that_goes_down_says_so(transport: str) -> None:
    with running("tests.apps.emulated.raw_app:app") as server:
        async with connect(server.url + "/echo", transport=transport) as ws:
            await ws.send("are you there?")
            assert await ws.receive() == "are you there?"
            server.process.terminate()
            with pytest.raises(Closed) as closed:
                await ws.receive(PATIENCE)
    assert closed.value.code == 1012, server.log()


@every_transport
@pytest.mark.parametrize("status", [200, 302, 400, 403, 404, 502])
async def test_whoever_answers_on_the_way_ends_no_session(
    site: Site, transport: str, status: int
) -> None:
    port = int(site.url.rpartition(":")[2])
    async with (
        Lab(("127.0.0.1", port)) as lab,
        connect(lab.url + "/echo", transport=transport) as ws,
    ):
        await ws.send("before")
        assert await ws.receive() == "before"
        lab.set_mode("portal", status=status)
        await lab.drop_connections()
        await ws.send("meanwhile")
        with anyio.fail_after(PATIENCE):
            while not lab.counts["answered"]:  # noqa: ASYNC110 (the laboratory sets no event)
                await anyio.sleep(0.01)
        lab.set_mode("plain")
        assert await ws.receive(PATIENCE) == "meanwhile"
    assert len(site.starts) == 1


@every_transport
async def test_server_that_is_lost_is_given_up(transport: str) -> None:
    with running("tests.apps.emulated.raw_app:app") as server:
        async with connect(server.url + "/echo", transport=transport, resume=0.5) as ws:
            server.kill()
            await ws.send("into the void")
            with pytest.raises(Closed, match="not cleanly with 1006"):
                await ws.receive(PATIENCE)


@every_transport
async def test_server_that_is_killed_and_starts_anew_says_so_at_once(transport: str) -> None:
    """The next one does not know the session; its page need not wait for the resume time."""
    application = "tests.apps.emulated.raw_app:app"
    with running(application) as server:
        async with connect(server.url + "/echo", transport=transport) as ws:
            await ws.send("before")
            assert await ws.receive() == "before"
            server.kill()
            with running(application, arguments=["--port", str(server.port)]) as anew:
                with pytest.raises(Closed, match="not cleanly with 1006"):
                    await ws.receive(PATIENCE)
                async with connect(anew.url + "/echo", transport=transport) as after:
                    await after.send("behind")
                    assert await after.receive() == "behind"
