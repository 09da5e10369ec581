"""What a WebSocket does, once for every transport: one list of scenarios.

Each is an async function of a `Stage`, which binds `connect` to a transport and to a running
server of `tests.apps.starlette_app`.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

import anyio
import pytest

from tests.support import recorded
from tests.support.client import NATIVE, Closed, Refused, Socket, connect

MIB = 1024 * 1024


@dataclass(frozen=True)
class Manner:
    """What the WebSocket protocol leaves to the server."""

    crash: tuple[int, bool] = (1011, True)
    """The code and wasClean that a page gets when the application raises."""
    crash_before_accept: int = 500
    return_without_close: tuple[int, bool] = (1006, False)
    tells_code: bool = True
    """Whether the application learns with which code the page closed, and so on."""
    tells_reason: bool = True
    passes_headers_of_accept: bool = True


EMULATED = Manner()
NATIVE_MANNERS = {
    "uvicorn": Manner(crash=(1006, False)),
    "uvicorn-h11": Manner(crash=(1006, False)),
    "hypercorn": Manner(return_without_close=(1011, True), tells_code=False, tells_reason=False),
    "granian": Manner(
        crash=(1005, True),
        crash_before_accept=403,
        return_without_close=(1005, True),
        tells_reason=False,
        passes_headers_of_accept=False,
    ),
    # Never asked natively: see NOT_A_CONTROL.
    "daphne": Manner(passes_headers_of_accept=False),
}


@dataclass
class Stage:
    """A server and a transport, and what became of the sockets that one scenario opened."""

    url: str
    server: str
    transport: str
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    expected_starts: int = 0

    @property
    def manner(self) -> Manner:
        native = NATIVE_MANNERS[self.server]
        if self.transport == NATIVE:
            return native
        if self.transport == "websocket":
            # The headers of the accept stand on the answer to the upgrade, which is the server's.
            return replace(EMULATED, passes_headers_of_accept=native.passes_headers_of_accept)
        return EMULATED

    def connect(
        self,
        path: str,
        *,
        subprotocols: Sequence[str] = (),
        headers: Sequence[tuple[str, str]] = (),
        **query: object,
    ) -> AbstractAsyncContextManager[Socket]:
        """Open a socket at `path`; the query carries `query` and the token of this stage."""
        self.expected_starts += 1
        url = f"{self.url}{path}?{urlencode({**query, 'token': self.token})}"
        return connect(url, self.transport, subprotocols=subprotocols, headers=headers)

    async def starts(self) -> list[dict[str, Any]]:
        """Return how the application was started for this stage's sockets, in order."""
        return await recorded.starts(self.url, self.token)

    async def disconnects(self, count: int = 1) -> list[dict[str, Any]]:
        """Return the disconnects that the application saw, when there are `count`."""
        return await recorded.disconnects(self.url, self.token, count)


Run = Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True)
class Scenario:
    """One thing that every transport does alike."""

    name: str
    run: Run
    timeout: float
    is_long: bool


SCENARIOS: list[Scenario] = []


def scenario(*, timeout: float = 30, is_long: bool = False) -> Callable[[Run], Run]:
    """Add the function to the list; `timeout` in seconds, `is_long` where it moves much data."""

    def add(run: Run) -> Run:
        SCENARIOS.append(Scenario(run.__name__, run, timeout, is_long))
        return run

    return add


# Opening


@scenario()
async def opens_and_echoes(stage: Stage) -> None:
    async with stage.connect("/echo") as socket:
        assert socket.transport == stage.transport
        await socket.send("hello")
        assert await socket.receive() == "hello"
        await socket.send(b"hello")
        assert await socket.receive() == b"hello"


@scenario()
async def server_speaks_first(stage: Stage) -> None:
    async with stage.connect("/burst", n=1) as socket:
        assert await socket.receive() == "1"


@scenario()
async def refusal_before_accept(stage: Stage) -> None:
    assert await refused_status(stage, "/refuse") == 403


@scenario()
async def denial_response_with_a_status(stage: Stage) -> None:
    assert await refused_status(stage, "/deny") == 401


@scenario()
async def crash_before_accept(stage: Stage) -> None:
    assert await refused_status(stage, "/early-crash") == stage.manner.crash_before_accept


@scenario()
async def no_websocket_route(stage: Stage) -> None:
    assert await refused_status(stage, "/nowhere") == 403


@scenario()
async def application_takes_its_time_to_accept(stage: Stage) -> None:
    async with stage.connect("/slow", accept=1.5) as socket:
        await socket.send("at last")
        assert await socket.receive() == "at last"


# Subprotocols


@scenario()
async def no_subprotocol(stage: Stage) -> None:
    async with stage.connect("/subprotocol") as socket:
        assert not socket.subprotocol


@scenario()
async def subprotocol_offered_and_not_chosen(stage: Stage) -> None:
    async with stage.connect("/subprotocol", subprotocols=["chat.v1"]) as socket:
        assert not socket.subprotocol


@scenario()
async def first_subprotocol(stage: Stage) -> None:
    offered = ["chat.v1", "chat.v2"]
    async with stage.connect("/subprotocol", subprotocols=offered, choose="chat.v1") as socket:
        assert socket.subprotocol == "chat.v1"


@scenario()
async def second_subprotocol(stage: Stage) -> None:
    offered = ["chat.v1", "chat.v2"]
    async with stage.connect("/subprotocol", subprotocols=offered, choose="chat.v2") as socket:
        assert socket.subprotocol == "chat.v2"


@scenario()
async def subprotocol_that_was_not_offered(stage: Stage) -> None:
    with pytest.raises((Closed, Refused)):
        async with stage.connect("/subprotocol", subprotocols=["chat.v1"], choose="chat.v3"):
            pass


# Messages

TEXTS = {
    "ASCII": "hello",
    "control characters": "".join(map(chr, range(32))) + "\x7f",
    "a leading U+0000": "\x00hello",
    "two leading U+0000": "\x00\x00hello",
    "U+0000 before a bracket": '\x00["close",1000]',
    "U+0000 alone": "\x00",
    "an inner U+0000": "hel\x00lo",
    "line ends": "one\r\ntwo\nthree\rfour\r\n",
    "line separators": "one\u2028two\u2029three\x85four",
    "a byte order mark": "\ufeffhello\ufeff",
    "accents": "déjà vu, žluťoučký kůň",
    "beyond the basic plane": "😀𝒳\U0010ffff",
    "the ends of every length in UTF-8": "\x7f\x80\u07ff\u0800\ud7ff\ue000\uffff\U00010000",
    "noncharacters": "\ufdd0\ufffe\uffff",
    "JSON": '{"a": ["b", null]}',
    "JSON of our own form": '["b","AAEC"]',
    "an event stream": "data: one\n\nevent: two\ndata: three\n\n",
    "white space": " \t hello \t ",
}

LONE_SURROGATES = [
    ("\ud800", "\ufffd"),
    ("a\udfffb", "a\ufffdb"),
    ("\udc00\ud800", "\ufffd\ufffd"),
    ("\ud83d" + "\ude00", "😀"),
]


@scenario()
async def text_of_every_kind(stage: Stage) -> None:
    async with stage.connect("/echo") as socket:
        for kind, text in TEXTS.items():
            await socket.send(text)
            assert await socket.receive() == text, kind


@scenario()
async def text_in_one_go(stage: Stage) -> None:
    async with stage.connect("/echo") as socket:
        for text in TEXTS.values():
            await socket.send(text)
        assert [await socket.receive() for _ in TEXTS] == list(TEXTS.values())


@scenario()
async def lone_surrogates_become_replacement_characters(stage: Stage) -> None:
    async with stage.connect("/echo") as socket:
        for sent, received in LONE_SURROGATES:
            await socket.send(sent)
            assert await socket.receive() == received


@scenario()
async def binary_of_all_byte_values(stage: Stage) -> None:
    every = bytes(range(256))
    async with stage.connect("/echo") as socket:
        for message in (every, every[::-1], b"\x00", b"\xff", b"\r\n", b"\xef\xbb\xbf"):
            await socket.send(message)
            assert await socket.receive() == message


@scenario()
async def empty_messages(stage: Stage) -> None:
    async with stage.connect("/echo") as socket:
        for message in ("", b"", "", "end"):
            await socket.send(message)
        assert [await socket.receive() for _ in range(4)] == ["", b"", "", "end"]


@scenario()
async def text_and_binary_keep_their_order(stage: Stage) -> None:
    messages: list[str | bytes] = [
        str(number) if number % 2 else b"%d" % number for number in range(100)
    ]
    async with stage.connect("/echo") as socket:
        for message in messages:
            await socket.send(message)
        assert [await socket.receive() for _ in messages] == messages


@scenario()
async def messages_around_the_lengths_where_forms_change(stage: Stage) -> None:
    lengths = [125, 126, 127, 128, 16383, 16384, 65535, 65536, 65537, 131072, 131073]
    async with stage.connect("/echo") as socket:
        for length in lengths:
            for message in ("x" * length, b"x" * length):
                await socket.send(message)
                assert await socket.receive() == message, length


@scenario()
async def text_of_1_mib(stage: Stage) -> None:
    await echoes_large_message(stage, text_of(MIB))


@scenario()
async def binary_of_1_mib(stage: Stage) -> None:
    await echoes_large_message(stage, binary_of(MIB))


@scenario(timeout=100, is_long=True)
async def text_of_16_mib(stage: Stage) -> None:
    await echoes_large_message(stage, text_of(16 * MIB))


@scenario(timeout=100, is_long=True)
async def binary_of_16_mib(stage: Stage) -> None:
    await echoes_large_message(stage, binary_of(16 * MIB))


@scenario()
async def burst_of_1000_messages_down(stage: Stage) -> None:
    async with stage.connect("/burst", n=1000) as socket:
        received = [await socket.receive() for _ in range(1000)]
        assert received == [str(number) for number in range(1, 1001)]
        await closes_with(socket, 4000, "that was all")


@scenario()
async def burst_of_1000_messages_up(stage: Stage) -> None:
    messages = [str(number).encode() for number in range(1000)]
    async with stage.connect("/sink") as socket:
        for message in messages:
            await socket.send(message)
        await socket.send("report")
        report = json.loads(await socket.receive())
    assert report["binaries"] == 1000
    assert report["sha256"] == hashlib.sha256(b"".join(messages)).hexdigest()


@scenario()
async def burst_of_1000_messages_each_way(stage: Stage) -> None:
    numbers = [str(number) for number in range(1, 1001)]
    async with stage.connect("/numbered", n=1000) as socket:
        for number in numbers:
            await socket.send(number)
        assert [await socket.receive() for _ in numbers] == numbers
        await closes_with(socket, 4000, "complete")


# Closing


@scenario()
async def server_closes_with_code_and_reason(stage: Stage) -> None:
    async with stage.connect("/close", code=4321, reason="gone fishing 🎣") as socket:
        await closes_with(socket, 4321, "gone fishing 🎣")


@scenario()
async def server_closes_without_a_reason(stage: Stage) -> None:
    async with stage.connect("/close", code=1001) as socket:
        await closes_with(socket, 1001, "")


@scenario()
async def server_closes_with_the_longest_reason(stage: Stage) -> None:
    async with stage.connect("/close", code=1000, reason="é" * 61 + "x") as socket:
        await closes_with(socket, 1000, "é" * 61 + "x")


@scenario()
async def client_closes_with_code_and_reason(stage: Stage) -> None:
    async with stage.connect("/echo") as socket:
        await socket.close(4005, "bye ✋")
        await closes_with(socket, 4005, "bye ✋")
    [disconnect] = await stage.disconnects()
    assert disconnect["code"] == 4005 or not stage.manner.tells_code
    assert disconnect["reason"] == "bye ✋" or not stage.manner.tells_reason


@scenario()
async def client_closes_without_a_code(stage: Stage) -> None:
    async with stage.connect("/echo") as socket:
        await socket.close()
        await closes_with(socket, 1005, "")
    [disconnect] = await stage.disconnects()
    assert disconnect["code"] == 1005 or not stage.manner.tells_code


@scenario()
async def client_closes_while_it_sends(stage: Stage) -> None:
    async with stage.connect("/sink") as socket:
        for number in range(200):
            await socket.send(str(number))
        await socket.close(1000, "enough")
        await closes_with(socket, 1000, "enough")
    [disconnect] = await stage.disconnects()
    assert disconnect["received"] == 200


@scenario()
async def client_closes_while_the_server_sends(stage: Stage) -> None:
    async with stage.connect("/never-receives") as socket:
        assert await socket.receive() == "1"
        await socket.close(1000, "enough")
        with pytest.raises(Closed):
            while True:
                await socket.receive()


@scenario()
async def application_crashes(stage: Stage) -> None:
    async with stage.connect("/crash") as socket:
        closed = await end_of(socket)
    assert (closed.code, closed.was_clean) == stage.manner.crash


@scenario()
async def application_returns_without_closing(stage: Stage) -> None:
    async with stage.connect("/return") as socket:
        closed = await end_of(socket)
    assert (closed.code, closed.was_clean) == stage.manner.return_without_close


@scenario()
async def send_after_close(stage: Stage) -> None:
    async with stage.connect("/echo") as socket:
        await socket.close(1000)
        with pytest.raises(Closed):
            await socket.send("too late")
        await closes_with(socket, 1000, "")
    [disconnect] = await stage.disconnects()
    assert disconnect["received"] == 0


# What surrounds a socket


@scenario()
async def scope_is_what_was_asked(stage: Stage) -> None:
    headers = [("cookie", "a=b; c=d"), ("x-custom", "value"), ("user-agent", "scenario")]
    path = "/headers/a%2Fb/%C3%A9%20x"
    query = {"q": "a b&=%/?é", "emulation": "mine"}
    offered = ["chat.v1", "chat.v2"]
    async with stage.connect(path, subprotocols=offered, headers=headers, **query) as socket:
        scope = json.loads(await socket.receive())
    assert scope["type"] == "websocket"
    assert scope["scheme"] == "ws"
    assert scope["path"] == "/headers/a/b/é x"
    assert scope["raw_path"] == path
    assert scope["query_string"] == urlencode({**query, "token": stage.token})
    assert scope["root_path"] == ""
    assert scope["client"][0] == "127.0.0.1"
    assert scope["subprotocols"] == offered
    assert scope["cookies"] == {"a": "b", "c": "d"}
    received = [tuple(header) for header in scope["headers"]]
    assert received.count(("x-custom", "value")) == 1
    assert received.count(("user-agent", "scenario")) == 1
    assert received.count(("host", stage.url.removeprefix("http://"))) == 1


@scenario()
async def headers_of_the_accept_arrive(stage: Stage) -> None:
    async with stage.connect("/accept-headers") as socket:
        headers = socket.response_headers
    if not stage.manner.passes_headers_of_accept:
        return
    assert ("x-flavour", "vanilla") in headers
    cookies = [value for name, value in headers if name == "set-cookie"]
    assert sorted(cookies) == ["size=small; Path=/", "taste=sweet; Path=/"]


@scenario()
async def three_sockets_at_once(stage: Stage) -> None:
    async with (
        stage.connect("/echo") as first,
        stage.connect("/echo") as second,
        stage.connect("/never-receives") as third,
    ):
        for number in range(20):
            await first.send(f"first {number}")
            await second.send(f"second {number}")
        for number in range(20):
            assert await second.receive() == f"second {number}"
            assert await first.receive() == f"first {number}"
        assert [await third.receive() for _ in range(3)] == ["1", "2", "3"]
        await first.close(1000)
        await second.send("still here")
        assert await second.receive() == "still here"


@scenario()
async def ten_sockets_open_together(stage: Stage) -> None:
    async def talk(number: int) -> None:
        async with stage.connect("/echo") as socket:
            await socket.send(str(number))
            assert await socket.receive() == str(number)

    async with anyio.create_task_group() as group:
        for number in range(10):
            group.start_soon(talk, number)


# Steps that scenarios share


async def refused_status(stage: Stage, path: str) -> int:
    with pytest.raises(Refused) as refused:
        async with stage.connect(path):
            pass
    status: int = refused.value.status
    return status


async def end_of(socket: Socket) -> Closed:
    """Receive until the socket is closed and return how."""
    with pytest.raises(Closed) as closed:
        async for _ in messages_of(socket):
            pass
    return closed.value


async def messages_of(socket: Socket) -> AsyncIterator[str | bytes]:
    while True:
        yield await socket.receive()


async def closes_with(socket: Socket, code: int, reason: str) -> None:
    """Check that the next thing to come is a clean close."""
    with pytest.raises(Closed) as closed:
        await socket.receive()
    assert (closed.value.code, closed.value.reason) == (code, reason)
    assert closed.value.was_clean


async def echoes_large_message(stage: Stage, message: str | bytes) -> None:
    async with stage.connect("/echo") as socket:
        await socket.send(message)
        echo = await socket.receive(timeout=90)
        # A comparison in an assert of this size takes minutes to explain itself.
        is_equal = echo == message
        assert is_equal
        await socket.send("after")
        assert await socket.receive() == "after"


def text_of(size: int) -> str:
    """Return text of exactly `size` bytes in UTF-8, with code points of every length."""
    unit = "aé€😀"
    whole, rest = divmod(size, len(unit.encode()))
    return unit * whole + "x" * rest


def binary_of(size: int) -> bytes:
    block = bytes(range(256)) * 16 + b"shift"
    return (block * (size // len(block) + 1))[:size]
