"""An application that relays an end: `answers_close` in its scope, and `websocket.fail`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from emulation import Config, WebSocketEmulation
from emulation.testing import TRANSPORTS, Closed, connect

TIMEOUT = 10.0

Send = Callable[[dict[str, Any]], Awaitable[None]]
Answer = Callable[[dict[str, Any], Send], Awaitable[None]]


def application(answer: Answer, **config: Any) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        scope["extensions"]["emulation"]["answers_close"] = True
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] != "websocket.disconnect":
            pass
        await answer(event, send)

    return WebSocketEmulation(app, config=Config(**config))


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


async def test_page_is_closed_with_the_answer_when_it_comes(transport: str) -> None:
    disconnected, decided = asyncio.Event(), asyncio.Event()
    seen: dict[str, Any] = {}

    async def answer(event: dict[str, Any], send: Send) -> None:
        seen.update(event)
        disconnected.set()
        await decided.wait()
        await send({"type": "websocket.close", "code": 4002, "reason": "from afar"})

    with anyio.fail_after(TIMEOUT):
        async with connect("/", transport=transport, app=application(answer)) as socket:
            closing = asyncio.create_task(socket.close(4001, "bye"))
            await disconnected.wait()
            assert (seen["code"], seen["reason"]) == (4001, "bye")
            assert not closing.done()
            decided.set()
            await closing
            assert (socket.close_code, socket.close_reason) == (4002, "from afar")
            assert socket.closed is not None and socket.closed.was_clean


async def test_answer_without_a_code(transport: str) -> None:
    async def answer(event: dict[str, Any], send: Send) -> None:
        assert event["code"] == 1005
        await send({"type": "websocket.close", "code": None})

    with anyio.fail_after(TIMEOUT):
        async with connect("/", transport=transport, app=application(answer)) as socket:
            await socket.close()
            assert socket.close_code == 1005
            assert socket.closed is not None and socket.closed.was_clean


async def test_return_without_an_answer_is_1006(transport: str) -> None:
    async def answer(event: dict[str, Any], send: Send) -> None:
        pass

    with anyio.fail_after(TIMEOUT):
        async with connect("/", transport=transport, app=application(answer)) as socket:
            await socket.close(1000)
            assert socket.close_code == 1006


async def test_answer_that_does_not_come_in_time_is_1006(transport: str) -> None:
    async def answer(event: dict[str, Any], send: Send) -> None:
        with pytest.raises(OSError, match="closed"):
            await anyio.sleep(1)
            await send({"type": "websocket.close"})

    app = application(answer, close_timeout=0.2)
    with anyio.fail_after(TIMEOUT):
        async with connect("/", transport=transport, app=app) as socket:
            await socket.close(1000)
            assert socket.close_code == 1006


async def test_failed_connection(transport: str) -> None:
    """It comes behind the data, and is told from one that was lost."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "first"})
        await send({"type": "websocket.fail"})

    with anyio.fail_after(TIMEOUT):
        async with connect("/", transport=transport, app=WebSocketEmulation(app)) as socket:
            assert await socket.receive() == "first"
            with pytest.raises(Closed) as closed:
                await socket.receive()
            assert closed.value.code == 1006
            assert "failed" in str(closed.value.__cause__)
