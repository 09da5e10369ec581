"""A page whose requests overtake one another, on every way at once, in any order.

The page keeps to docs/protocol.md; its network holds what it likes, delivers it late, and again.
What is taken is judged by the numbers alone, at both ends.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import anyio
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed

from emulation.protocol.frames import TEXT, document
from tests.session.native import Native, dial
from tests.session.stage import Endpoint, Served, serving
from tests.session.wire import Answer, Downstream, Page, close, encoded, numbers, section, text
from tests.support.plans import PLAYED

ACTIONS = (
    "say", "hear", "upload", "hold an upload", "poll", "hold a poll", "release", "release again",
    "stream", "read the stream", "dial", "say the head", "go on natively", "read natively",
    "lose the native socket",
)  # fmt: skip
# How long a stream that may have nothing to say is listened to (seconds).
MOMENT = 0.05


class Player:
    """A page of one socket, and the application at the other end."""

    def __init__(self, page: Page, endpoint: Endpoint, stack: AsyncExitStack) -> None:
        self.page = page
        self.endpoint = endpoint
        self._stack = stack
        self.said = 0  # by the page; message n is its number in words
        self.acked = 0
        self.spoken = 0  # by the application
        self.taken = 0
        # Requests that the network holds, and the last that it has let go.
        self._held: list[tuple[str, bytes]] = []
        self._released: tuple[str, bytes] | None = None
        self._downstream: Downstream | None = None
        # A native socket: the ack of its head, and the number of the next frame that comes on it.
        self._native: Native | None = None
        self._head_ack = 0
        self._has_head = False
        self._next = 0
        self.is_native = False

    async def act(self, action: str) -> None:
        """Do one thing, if there is a way to do it."""
        try:
            await self._act(action)
        except ConnectionClosed:
            await self.lose()  # an attach has taken the socket home

    async def _act(self, action: str) -> None:
        if action == "say":
            self.said += 1
            if self._native and self.is_native:
                await self._native.send(f"up {self.said}")
        elif action == "hear":
            self.spoken += 1
            await self.endpoint.send("send", text=f"down {self.spoken}")
        elif action == "upload" and not self.is_native:
            await self._deliver("send", self._upload())
        elif action == "hold an upload" and not self.is_native:
            self._held.append(("send", self._upload()))
        elif action == "poll":
            await self.poll()
        elif action == "hold a poll":
            self._held.append(("poll", self._poll()))
        elif action == "release" and self._held:
            self._released = self._held.pop(0)
            await self._deliver(*self._released)
        elif action == "release again" and self._released:
            await self._deliver(*self._released)
        elif action == "stream":
            await self._stream()
        elif action == "read the stream" and self.taken < self.spoken:
            await self._read_stream()
        elif action == "dial" and self._native is None:
            await self._dial()
        elif action == "say the head" and self._native and not self._has_head:
            await self._say_head()
        elif action == "go on natively" and self._has_head and not self.is_native:
            await self.go_on()
        elif action == "read natively" and self.is_native and self.taken < self.spoken:
            await self.read()
        elif action == "lose the native socket":
            await self.lose()

    # --- Over HTTP --------------------------------------------------------------------------------

    def _upload(self) -> bytes:
        fresh = [text(f"up {number}") for number in range(self.acked + 1, self.said + 1)]
        self.page.uploads += 1
        head = self.page.head(self.page.uploads)
        return encoded(head, section(1, self.taken, self.acked + 1 if fresh else 0), *fresh)

    def _poll(self) -> bytes:
        number = self.page.next_attach(None)
        return encoded(self.page.head(number), document("wait", 0), section(1, self.taken))

    async def _deliver(self, verb: str, body: bytes) -> None:
        answer = await self.page.request("POST", self.page.url(verb), body)
        if verb == "send" and answer.status == 204:
            return  # an acknowledgement of what the body had, which is not looked up here
        assert answer.status == 200, answer.frames
        self._take(answer)

    def _take(self, answer: Answer) -> None:
        if answer.document("section") is not None:
            self.acked = max(self.acked, answer.ack())
        for number, frame in numbers(answer.frames).items():
            self._take_frame(number, frame)

    def _take_frame(self, number: int, frame: Any) -> None:
        if number == self.taken + 1:
            assert frame == text(f"down {number}"), f"number {number} is {frame}"
            self.taken = number
        else:
            assert number <= self.taken, f"number {number} came behind {self.taken}"

    async def poll(self) -> None:
        """Attach by a poll: the socket is at home on the carrier then."""
        await self.lose()
        await self._deliver("poll", self._poll())

    async def _stream(self) -> None:
        await self.lose()
        opened = self.page.stream(section(1, self.taken))
        self._downstream = await self._stack.enter_async_context(opened)

    async def _read_stream(self) -> None:
        if self._downstream is None:
            return
        with anyio.move_on_after(MOMENT):
            while self.taken < self.spoken and await self._downstream.more():
                for number, frame in numbers(self._downstream.frames).items():
                    self._take_frame(number, frame)

    # --- On a native socket -----------------------------------------------------------------------

    async def _dial(self) -> None:
        self._head_ack = self.taken
        self._native = await self._stack.enter_async_context(dial(self.page, "resume"))

    async def _say_head(self) -> None:
        assert self._native is not None
        self._has_head = True
        page = self.page
        await self._native.say("head", 1, page.secret, 1, page.node, self._head_ack)

    async def go_on(self) -> None:
        """Read `resumed`, and send what the server has not."""
        assert self._native is not None
        words = await self._native.receive()
        assert words[0] == "resumed", words
        if self.acked > words[1]:
            # An upload has gone further: what it has let go of cannot be sent again.
            await self.lose()
            return
        self._next = self._head_ack + 1
        self.acked = words[1]
        self.is_native = True
        for number in range(self.acked + 1, self.said + 1):
            await self._native.send(f"up {number}")

    async def read(self) -> None:
        assert self._native is not None
        message = await self._native.message()
        self._take_frame(self._next, (TEXT, message.encode()))
        self._next += 1

    async def lose(self) -> None:
        if self._native is not None:
            self._native.connection.transport.abort()
            await self._native.connection.wait_closed()
        self._native = None
        self._has_head = self.is_native = False


async def play(actions: list[str]) -> None:
    async with serving() as served, AsyncExitStack() as stack:
        page = served.page("/puppet")
        player = Player(page, await served.play(page), stack)
        for action in actions:
            await player.act(action)
        with anyio.fail_after(20):
            await finish(served, player)
        player.endpoint.leave()


async def finish(served: Served, player: Player) -> None:
    """Bring all that was said to its end, and see that it came in order, once."""
    while player.is_native and player.taken < player.spoken:
        await player.act("read natively")
    await player.poll()
    while player.taken < player.spoken:
        await player.poll()
    page, first = player.page, player.acked + 1
    rest = [text(f"up {number}") for number in range(first, player.said + 1)]
    # A native socket that was lost may have brought more meanwhile.
    await page.upload(section(1, player.taken, first), *rest, close(4000))
    expected = [f"up {number}" for number in range(1, player.said + 1)]
    assert await player.endpoint.texts(len(expected)) == expected
    assert await player.endpoint.disconnect() == (4000, "")


# What follows one another often, for an overtaking needs something to overtake.
PHRASES = (
    *((action,) for action in ACTIONS),
    ("say", "hold an upload"),
    ("say", "upload"),
    ("hear", "poll"),
    ("stream", "hear", "dial", "hear", "read the stream", "upload"),
    ("hear", "read the stream", "upload"),
    ("dial", "say the head", "release", "go on natively"),
    ("dial", "upload", "say the head", "go on natively"),
    ("go on natively", "say", "hear"),
    ("say", "hear", "read natively"),
)
plans = st.lists(st.sampled_from(PHRASES), max_size=14).map(
    lambda phrases: [action for phrase in phrases for action in phrase]
)


@pytest.mark.integration
@settings(PLAYED, max_examples=60, derandomize=True)
@example(["say", "hold an upload", "dial", "say the head", "release", "go on natively", "say"])
@example(
    [
        "stream",
        "dial",
        "hear",
        "read the stream",
        "upload",
        "say the head",
        "go on natively",
        "hear",
    ]
)
@given(plans)
def test_any_order(actions: list[str]) -> None:
    asyncio.run(play(actions))


@pytest.mark.full
@pytest.mark.integration
@pytest.mark.timeout(3600)
@settings(PLAYED, max_examples=2000)
@given(plans)
def test_any_order_for_long(actions: list[str]) -> None:
    asyncio.run(play(actions))
