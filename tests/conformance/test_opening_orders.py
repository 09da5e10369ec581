"""One socket that is opened in every way at once, in any order: one start, and one decision."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import anyio
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed

from emulation.protocol.frames import document
from tests.session.native import Native, dial
from tests.session.stage import Endpoint, Served, serving
from tests.session.wire import Answer, Page, drawn, encoded, section, text
from tests.support.plans import PLAYED

ACTIONS = (
    "open", "hold an open", "release", "release again", "dial", "listen", "say the head",
    "lose the native socket", "set a cookie", "accept", "refuse",
)  # fmt: skip


class Player:
    """A page with one open socket, which opens a second one; and its application."""

    def __init__(self, served: Served, page: Page, stack: AsyncExitStack, number: int) -> None:
        self.served = served
        self.page = page
        self.number = number
        self.nonce = drawn()
        self.endpoint: Endpoint | None = None
        self.has_decided = False
        self.told: list[Any] = []  # decisions, as they were told
        self._stack = stack
        self._cookie = "login=1"
        self._held: list[tuple[bytes, str]] = []
        self._released: tuple[bytes, str] | None = None
        self._native: Native | None = None
        # Whether the native socket has said that nothing is decided, or what was.
        self._is_undecided = self._is_told = False

    async def act(self, action: str) -> None:
        """Do one thing, if there is a way to do it."""
        try:
            await self._act(action)
        except ConnectionClosed:
            await self._lose()

    async def _act(self, action: str) -> None:
        if action == "open":
            await self._deliver(self._open(), self._cookie)
        elif action == "hold an open":
            self._held.append((self._open(), self._cookie))
        elif action == "release" and self._held:
            self._released = self._held.pop(0)
            await self._deliver(*self._released)
        elif action == "release again" and self._released:
            await self._deliver(*self._released)
        elif action == "dial" and self._native is None:
            headers = {"cookie": self._cookie}
            dialing = dial(self.page, self.nonce, headers=headers)
            self._native = await self._stack.enter_async_context(dialing)
            self._is_undecided = self._is_told = False
        elif action == "listen" and self._native is not None:
            await self._listen(self._native)
        elif action == "say the head" and self._native is not None and self.page.secret:
            page = self.page
            await self._native.say("head", 1, page.secret, self.number, page.node)
        elif action == "lose the native socket":
            await self._lose()
        elif action == "set a cookie" and self.page.secret:
            self._cookie += "0"  # a balancer's, on an answer
        elif action in ("accept", "refuse"):
            await self.decide(action)

    def _open(self) -> bytes:
        words = document("open", self.number, self.nonce, [], "poll")
        return encoded(self.page.head(self.number), words)

    async def _deliver(self, body: bytes, cookie: str) -> None:
        url = self.page.url("open", query=self.page.query)
        self._take(await self.page.request("POST", url, body, cookie=cookie))

    def _take(self, answer: Answer) -> None:
        for name in ("opened", "refused"):
            self.told += [answer.document(name)[:3]] if answer.document(name) else []  # type: ignore[index]
        secret = answer.document("secret")
        if secret is not None:
            assert self.page.secret in ("", secret[1]), "the secret has changed"
            _, self.page.secret, self.page.node = secret

    async def _listen(self, native: Native) -> None:
        """Read what the server says of the decision, or that it is not there yet."""
        while not self._is_told and (self.has_decided or not self._is_undecided):
            words = await native.receive()
            if words[0] == "secret":
                _, self.page.secret, self.page.node = words
            elif words[0] in ("opened", "refused"):
                self.told.append([words[0], self.number, words[2]])
                self._is_told = True
            elif words[0] in ("gone", "error"):
                self._is_told = True
            elif words[0] == "hello":
                self._is_undecided = True

    async def _lose(self) -> None:
        if self._native is not None:
            self._native.connection.transport.abort()
            await self._native.connection.wait_closed()
        self._native = None

    async def decide(self, how: str) -> None:
        """Let the application decide, once; it is started by then."""
        if self.has_decided or not self.served.stage.starts(self.page.query):
            return
        self.endpoint = await self.served.stage.endpoint()
        self.has_decided = True
        if how == "accept":
            await self.endpoint.accept()
        else:
            await self.endpoint.receive()
            await self.endpoint.send("close")


async def play(actions: list[str], number: int) -> None:
    async with serving(open_answer_time=0.02) as served, AsyncExitStack() as stack:
        page = served.page("/puppet", query="token=1")
        first = None
        if number == 2:
            first = await served.play(served_first := page)
            assert served_first.secret
        page.query = "token=2"
        player = Player(served, page, stack, number)
        with anyio.fail_after(30):
            for action in actions:
                await player.act(action)
            await player.act("open")
            await player.decide("accept")
            await player.act("open")
            assert served.stage.starts("token=2") == 1
            assert player.told and player.told == [player.told[0]] * len(player.told)
            if player.told[0][0] == "opened":
                await page.upload(section(number, 0, 1), text("it works"))
                assert player.endpoint is not None
                assert await player.endpoint.texts(1) == ["it works"]
            await player._lose()
        for endpoint in (first, player.endpoint):
            if endpoint is not None:
                endpoint.leave()


plans = st.lists(st.sampled_from(ACTIONS), max_size=14)


@pytest.mark.integration
@settings(PLAYED, max_examples=50, derandomize=True)
@example(["dial", "listen", "say the head", "lose the native socket", "accept"], 2)
@example(["open", "set a cookie", "accept"], 1)
@example(["dial", "set a cookie"], 2)
@given(plans, st.sampled_from([1, 2]))
def test_any_order(actions: list[str], number: int) -> None:
    asyncio.run(play(actions, number))


@pytest.mark.full
@pytest.mark.integration
@pytest.mark.timeout(3600)
@settings(PLAYED, max_examples=2000)
@given(plans, st.sampled_from([1, 2]))
def test_any_order_for_long(actions: list[str], number: int) -> None:
    asyncio.run(play(actions, number))
