"""The client's face, the same over every transport."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from emulation import WebSocketEmulation
from emulation.exceptions import LocalProtocolError
from emulation.testing import NATIVE, TRANSPORTS, Closed, Refused, WebSocket, connect
from tests.testing.conftest import Site

pytestmark = pytest.mark.integration

every_transport = pytest.mark.parametrize("transport", [*TRANSPORTS, NATIVE])


@every_transport
async def test_messages_come_back_and_the_close_is_clean(site: Site, transport: str) -> None:
    async with connect(site.url + "/echo", transport=transport) as ws:
        assert ws.transport == transport
        assert ws.closed is None
        for message in ("text", b"bytes", "", b"", "\0", "é" * 70_000, b"\0" * 70_000):
            await ws.send(message)
            assert await ws.receive() == message
        await ws.drain()
        assert ws.buffered_amount == 0
        await ws.close(4000, "bye ✋")
        assert (ws.close_code, ws.close_reason) == (4000, "bye ✋")
        with pytest.raises(Closed, match="closed cleanly with 4000 'bye ✋'"):
            await ws.receive()
        with pytest.raises(Closed):
            await ws.send("too late")
    assert site.starts == [""]


@every_transport
async def test_server_closes(site: Site, transport: str) -> None:
    async with connect(site.url, transport=transport) as ws:
        await ws.send("last words")
        await ws.send("close")
        assert await ws.receive() == "last words"
        with pytest.raises(Closed, match="closed cleanly with 4321 'as you wish'"):
            await ws.receive()


@every_transport
async def test_application_refuses(site: Site, transport: str) -> None:
    with pytest.raises(Refused, match="refused with status 403"):
        async with connect(site.url + "/?refuse=1", transport=transport):
            pass
    assert site.starts == ["refuse=1"]


@every_transport
async def test_nobody_listens(transport: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emulation.testing.opening._PATIENCE", 0.2)
    with pytest.raises(Closed, match="not cleanly with 1006"):
        async with connect("ws://127.0.0.1:9/", transport=transport):
            pass


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_application_without_the_middleware_is_told(
    transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def bare(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 404})
            await send({"type": "http.response.body"})
        else:
            await send({"type": "websocket.accept"})

    monkeypatch.setattr("emulation.testing.opening._PATIENCE", 0.2)
    with pytest.raises(Closed, match=r"1006 '': .*not ours"):
        async with connect("/", app=bare, transport=transport):
            pass


@every_transport
async def test_subprotocol_and_headers_of_the_accept(site: Site, transport: str) -> None:
    url, offered = site.url + "/?choose=chat.v2", ["chat.v1", "chat.v2"]
    async with connect(url, transport=transport, subprotocols=offered) as ws:
        assert ws.subprotocol == "chat.v2"
        assert ("x-flavour", "vanilla") in ws.response_headers


@every_transport
async def test_headers_go_as_latin_1(transport: str) -> None:
    seen: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            seen.extend(value for name, value in scope["headers"] if name == b"x-name")
            await send({"type": "websocket.accept"})
            await receive()
            await receive()

    headers = [("X-Name", " Zoë ")]
    async with connect("/", app=WebSocketEmulation(app), transport=transport, headers=headers):
        pass
    assert seen == [b"Zo\xeb"]


@pytest.mark.parametrize("transport", ["websocket", "poll", NATIVE])
@pytest.mark.parametrize(
    ("header", "words"),
    [
        (("a b", "c"), "'a b' is no name of a header"),
        (("é", "c"), "'é' is no name of a header"),
        (("", "c"), "'' is no name of a header"),
        (("x", "a\r\nb: c"), "value of the header 'x' holds a line break"),
        (("x", "€"), "value of the header 'x' holds .* Latin-1"),
    ],
)
async def test_headers_that_are_none_are_refused(
    transport: str, header: tuple[str, str], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        async with connect("ws://127.0.0.1:9/", transport=transport, headers=[header]):
            pass


@every_transport
async def test_silence_is_a_timeout(site: Site, transport: str) -> None:
    async with connect(site.url, transport=transport) as ws:
        with pytest.raises(TimeoutError, match=f"nothing within 0.01 s on {transport}"):
            await ws.receive(timeout=0.01)
        await ws.send("still there")
        assert await ws.receive() == "still there"


@every_transport
async def test_a_wrong_close_changes_nothing(site: Site, transport: str) -> None:
    async with connect(site.url, transport=transport) as ws:
        with pytest.raises(LocalProtocolError, match="1006 may not be sent"):
            await ws.close(1006)
        await ws.send("still there")
        assert await ws.receive() == "still there"


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_block_that_raises_leaves_the_page(site: Site, transport: str) -> None:
    with pytest.raises(KeyError):
        async with connect(site.url, transport=transport) as ws:
            await ws.send("hello")
            await ws.receive()
            raise KeyError
    assert await site.end() == 1001


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_aborted_socket_is_missed_by_the_server_alone(site: Site, transport: str) -> None:
    async with connect(site.url, transport=transport) as ws:
        await ws.send("hello")
        await ws.receive()
        ws.abort()
        with pytest.raises(Closed, match="not cleanly with 1006"):
            await ws.receive()
    assert site.ends.empty()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_given_up_while_connecting(site: Site, transport: str) -> None:
    opening = asyncio.create_task(connect(site.url + "/?wait=1", transport=transport).__aenter__())
    await asyncio.wait_for(site.started.wait(), 20)
    opening.cancel()
    assert await site.end() == 1006
    await asyncio.wait([opening])
    assert opening.cancelled()
    assert site.starts == ["wait=1"]


async def test_json_form_of_a_poll(site: Site) -> None:
    async with connect(site.url, transport="poll", json=True) as ws:
        for message in ("téxt\n", b"\xff\0", "é" * 70_000):
            await ws.send(message)
            assert await ws.receive() == message


async def test_unknown_transport_is_named() -> None:
    with pytest.raises(ValueError, match="no transport is called 'pigeon'"):
        async with connect("ws://127.0.0.1:9/", transport="pigeon"):
            pass


async def test_application_object_is_served_for_the_block(
    emulated_websocket: Callable[..., AbstractAsyncContextManager[WebSocket]],
) -> None:
    app = WebSocketEmulation(Site().app)
    async with emulated_websocket("/echo?x=1", app=app) as ws:
        await ws.send("hello")
        assert await ws.receive() == "hello"


async def test_application_that_does_not_start() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no"})

    with pytest.raises(RuntimeError, match="the application did not start"):
        async with connect("/", transport="poll", app=app):
            pass
