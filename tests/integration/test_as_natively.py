"""What an application does that no tutorial tells it to: the answer is a native WebSocket's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import quote, unquote

import pytest

from emulation import WebSocketEmulation
from emulation.testing import NATIVE, Closed, Refused, connect, serve

pytestmark = pytest.mark.integration

# Seconds.
PATIENCE = 10

Event = dict[str, Any]
Log = list[str]
Do = Callable[[Event], Awaitable[None]]
Misdeed = Callable[[Do, Log], Awaitable[None]]


class Outlandish(BaseException):
    """Be no Exception, as asyncio's own and trio's are not."""


def event(kind: str, **members: Any) -> Event:
    return {"type": f"websocket.{kind}", **members}


HELLO = event("send", text="hello")
END = event("close", code=4000, reason="done")


def says(*events: Event) -> Misdeed:
    """Send the events one after another; what one raises does not keep the next from being sent."""

    async def misdeed(do: Do, log: Log) -> None:
        for said in events:
            await do(said)

    return misdeed


def raises(error: BaseException, *events: Event) -> Misdeed:
    async def misdeed(do: Do, log: Log) -> None:
        for said in events:
            await do(said)
        raise error

    return misdeed


def accepts(**members: Any) -> Misdeed:
    return says(event("accept", **members), HELLO, END)


def sends(**members: Any) -> Misdeed:
    return says(event("accept"), event("send", **members), HELLO, END)


def denies(status: int, *more: Event) -> Misdeed:
    start = event("http.response.start", status=status, headers=[(b"x-why", b"no")])
    return says(start, *more)


def body(content: bytes, **members: Any) -> Event:
    return event("http.response.body", body=content, **members)


async def sends_at_once(do: Do, log: Log) -> None:
    await do(event("accept"))
    await asyncio.gather(*(do(event("send", text=str(number))) for number in range(20)))
    await do(END)


MISDEEDS: dict[str, Misdeed] = {
    "accept twice": says(event("accept"), event("accept"), HELLO, END),
    "send before the accept": says(HELLO, event("accept"), HELLO, END),
    "send after the close": says(event("accept"), END, HELLO, END),
    "close after the refusal": says(event("close"), event("close"), event("accept")),
    "an unknown event first": says(event("bogus"), event("accept"), END),
    "an unknown event": says(event("accept"), event("bogus"), HELLO, END),
    "an event without a type": says(event("accept"), {"text": "x"}, END),
    "a denial after the accept": says(event("accept"), event("http.response.start"), END),
    "text and bytes": sends(text="text", bytes=b"bytes"),
    "text and no bytes": sends(text="text", bytes=b""),
    "a bytearray": sends(bytes=bytearray(b"array")),
    "a memoryview": sends(bytes=memoryview(b"view")),
    "bytes that are text": sends(bytes="text"),
    "text that is bytes": sends(text=b"bytes"),
    "neither text nor bytes": sends(),
    "text that is None": sends(text=None),
    "a number": sends(text=5),
    "a dict": sends(text={"a": 1}),
    "a subprotocol among the headers": accepts(headers=[(b"Sec-WebSocket-Protocol", b"b")]),
    "an empty subprotocol": accepts(subprotocol=""),
    "headers that are lists": accepts(headers=[[b"x-one", b"1"]]),
    "headers of framing": accepts(headers=[(b"content-length", b"5")]),
    "headers of text": accepts(headers=[("x-one", "1")]),
    "a denial in pieces": denies(402, body(b"a", more_body=True), body(b"b")),
    "a denial and then an accept": denies(404, event("accept"), body(b"")),
    "a denial with a success": denies(200, body(b"")),
    "a denial with no status of HTTP": denies(9999, END),
    "return before the accept": says(),
    "return after the accept": says(event("accept"), HELLO),
    "CancelledError": raises(asyncio.CancelledError(), event("accept"), HELLO),
    "CancelledError before the accept": raises(asyncio.CancelledError()),
    "a BaseException": raises(Outlandish(), event("accept"), HELLO),
    "a BaseException before the accept": raises(Outlandish()),
    "SystemExit": raises(SystemExit(3), event("accept"), HELLO),
    "SystemExit before the accept": raises(SystemExit(3)),
    "an OSError of its own": raises(OSError("mine"), event("accept"), HELLO),
    "many tasks that send": sends_at_once,
    **{
        f"close code {code!r}": says(event("accept"), HELLO, event("close", code=code), END)
        for code in (1004, 1006, 1012, 1015, 999, 3000, 4999, 5000, -1, True, "1000", 1000.0)
    },
    "a reason that is too long": says(event("accept"), event("close", reason="x" * 124), END),
    "a reason with a surrogate": says(event("accept"), event("close", reason="\ud800"), END),
    "a reason without a code": says(event("accept"), event("close", code=None, reason="x"), END),
}


class Misbehaving:
    """Run the misdeed that the query names, and remember what came of each event."""

    def __init__(self) -> None:
        self.log: Log = []
        self.is_over = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        self.log.append((await receive())["type"])

        async def do(said: Event) -> None:
            try:
                await send(said)
                self.log.append("taken")
            except Exception as error:
                # Which exception it is differs between servers, but for that of a lost peer.
                self.log.append("gone" if isinstance(error, OSError) else "raised")

        try:
            await MISDEEDS[unquote(scope["query_string"].decode())](do, self.log)
        finally:
            self.is_over.set()


@pytest.fixture(scope="module")
async def misbehaving() -> Misbehaving:
    return Misbehaving()


@pytest.fixture(scope="module")
async def native(misbehaving: Misbehaving) -> AsyncIterator[str]:
    async with serve(misbehaving) as url:
        yield url


@pytest.fixture(scope="module")
async def emulated(misbehaving: Misbehaving) -> AsyncIterator[str]:
    async with serve(WebSocketEmulation(misbehaving)) as url:
        yield url


async def outcome(url: str, transport: str, app: Misbehaving, misdeed: str) -> tuple[Log, Log]:
    """Return what the page and what the application saw."""
    app.log, app.is_over = [], asyncio.Event()
    page: Log = []
    try:
        async with connect(
            f"{url}/?{quote(misdeed)}", transport=transport, subprotocols=["a", "b"]
        ) as socket:
            page.append(f"opened {socket.subprotocol!r}")
            while True:
                page.append(repr(await socket.receive(timeout=PATIENCE)))
    except Closed as closed:
        page.append(f"closed {closed.code} {closed.reason!r}")
    except Refused as refused:
        page.append(f"refused {refused.status}")
    await asyncio.wait_for(app.is_over.wait(), PATIENCE)
    return page, app.log


@pytest.mark.parametrize("misdeed", MISDEEDS)
async def test_answer_is_the_native_one(
    misbehaving: Misbehaving, native: str, emulated: str, misdeed: str
) -> None:
    expected = await outcome(native, NATIVE, misbehaving, misdeed)
    for transport in ("stream", "websocket"):
        page, application = await outcome(emulated, transport, misbehaving, misdeed)
        if page[-1] == "closed 1011 ''":
            page[-1] = "closed 1006 ''"  # uvicorn cuts the connection of what has failed
        assert (page, application) == expected, transport
