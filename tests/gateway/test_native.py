"""A native client's close, frame by frame."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
import uvicorn

from emulation_server.native import AnsweringProtocol
from tests.support.streams import connection_to

pytestmark = pytest.mark.integration

TIMEOUT = 10.0

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
MASK = b"\x00\x00\x00\x00"
PING = b"\x89\x80" + MASK
CLOSE_4001 = b"\x88\x82" + MASK + b"\x0f\xa1"


class Application:
    """Answer closes as `answer` says: None for never, () for a return without an answer."""

    def __init__(self) -> None:
        self.answer: tuple[Any, ...] | None = ()
        self.answers_close = True
        self.disconnected: dict[str, Any] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        scope["extensions"]["native"]["answers_close"] = self.answers_close
        await send({"type": "websocket.accept"})
        self.disconnected = await receive()
        if self.answer is None:
            await asyncio.Event().wait()
        elif self.answer:
            with pytest.raises(OSError):
                await send({"type": "websocket.send", "text": "too late"})
            code, reason = self.answer
            await send({"type": "websocket.close", "code": code, "reason": reason})


class Served:
    def __init__(self, application: Application, server: uvicorn.Server) -> None:
        self.application = application
        self.server = server

    async def ends_with(self, *frames: bytes) -> bytes:
        """Open, send the frames in one go, and return all that comes until the end."""
        [listener] = self.server.servers[0].sockets
        async with connection_to(*listener.getsockname()) as (reader, writer):
            writer.write(REQUEST)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"".join(frames))
            return await reader.read()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    application = Application()
    config = uvicorn.Config(
        application, port=0, ws=AnsweringProtocol, lifespan="off", log_config=None
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    with anyio.fail_after(TIMEOUT):
        yield Served(application, server)
        server.force_exit = True
        await server.shutdown()


async def test_close_is_answered_by_the_application(served: Served) -> None:
    served.application.answer = (4002, "so")
    assert await served.ends_with(CLOSE_4001) == b"\x88\x04\x0f\xa2so"
    assert served.application.disconnected["code"] == 4001


async def test_answer_without_a_code(served: Served) -> None:
    served.application.answer = (None, "")
    assert await served.ends_with(CLOSE_4001) == b"\x88\x00"


async def test_return_without_an_answer_is_no_close(served: Served) -> None:
    assert await served.ends_with(CLOSE_4001) == b""


async def test_application_that_did_not_ask_for_it(served: Served) -> None:
    served.application.answers_close = False
    assert await served.ends_with(CLOSE_4001) == b"\x88\x02\x0f\xa1"


async def test_close_behind_a_ping(served: Served) -> None:
    """The answers to both leave the library together: the close is then not held back."""
    assert await served.ends_with(PING, CLOSE_4001) == b"\x8a\x00\x88\x02\x0f\xa1"


async def test_server_that_goes_down_does_not_wait(served: Served) -> None:
    served.application.answer = None
    ending = asyncio.create_task(served.ends_with(CLOSE_4001))
    while not served.application.disconnected:  # noqa: ASYNC110 (of the server)
        await anyio.sleep(0.01)
    for connection in list(served.server.server_state.connections):
        connection.shutdown()
    assert await ending == b""
    for task in list(served.server.server_state.tasks):
        task.cancel()
