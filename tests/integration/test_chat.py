"""A chat whose broadcast awaits each member in turn, and a member that vanished."""

from __future__ import annotations

import secrets
from contextlib import AsyncExitStack, suppress

import anyio
import pytest

from tests.support import recorded
from tests.support.client import NATIVE, TRANSPORTS, Closed, Socket, connect
from tests.support.servers import Servers

pytestmark = pytest.mark.integration

PAGES = 20
BARE = "tests.apps.chat_app:app"
EMULATED = "tests.apps.emulated.chat_app:app"
SPOKEN = [f"{number} {'blah' * 1000}" for number in range(30)]
FOLLOWING = [str(number) for number in range(100)]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_chat_goes_on_without_the_page_that_vanished(
    servers: Servers, transport: str
) -> None:
    is_native = transport == NATIVE
    server = servers.get(BARE if is_native else EMULATED)
    token = secrets.token_hex(8)
    async with AsyncExitStack() as stack:
        with anyio.fail_after(60):
            pages = []
            for number in range(PAGES):
                url = f"{server.url}/chat/{number}?token={token}"
                pages.append(await stack.enter_async_context(connect(url, transport)))
            unlucky, vanished, *others = pages
            await unlucky.send("hello")
            for page in pages:
                assert await page.receive() == "0: hello"

            vanished.abort()
            # Whose broadcast finds the vanished page is dropped by the application: a failing send
            # raises WebSocketDisconnect, which the tutorial takes for the speaker's own end.
            with suppress(Closed):
                for text in SPOKEN:
                    await unlucky.send(text)
            await until_noticed(server.url, token, "/chat/1")

            for text in FOLLOWING:
                await others[0].send(text)
            for page in others:
                before = await heard_until(page, f"2: {FOLLOWING[0]}")
                spoken = [text for text in before if text.startswith("0: ")]
                assert spoken == [f"0: {text}" for text in SPOKEN[: len(spoken)]]
                following = [await page.receive() for _ in FOLLOWING[1:]]
                assert following == [f"2: {text}" for text in FOLLOWING[1:]]
        starts = await recorded.starts(server.url, token)
    assert [start["transport"] for start in starts] == [None if is_native else transport] * PAGES


async def until_noticed(url: str, token: str, path: str) -> None:
    """Wait until the application has been told that the page at `path` is gone."""
    while True:
        ends = await recorded.disconnects(url, token)
        if path in [end["path"] for end in ends]:
            return
        await anyio.sleep(0.02)


async def heard_until(page: Socket, last: str) -> list[str]:
    """Return the messages before the message `last`."""
    messages: list[str] = []
    while (message := await page.receive()) != last:
        messages.append(str(message))
    return messages
