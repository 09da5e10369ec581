"""What is written past uvicorn's own `send` is what it would have written itself.

Each talk is held with one protocol of uvicorn's as it is, and with one around whose application
stands a middleware, so that ASGI's way is taken; both have to end alike, to the byte.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import re
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from emulation import WebSocketEmulation
from emulation.protocol.frames import Frame, document
from emulation.transports import direct
from tests.session.wire import encoded, section, text

KEY, NONCE, SECRET = "K" * 22, "N" * 22, "S" * 32
TYPE = b"Content-Type: application/octet-stream\r\n"
SAME = b"Sec-Fetch-Site: same-origin\r\n"
CROSS = b"Origin: http://127.0.0.1\r\n"

# Of uvicorn's own, which a profiler sees.
CODES = {RequestResponseCycle.receive.__code__, RequestResponseCycle.send.__code__}


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Accept with a cookie where there is a query, and echo."""
    assert scope["type"] == "websocket"
    await receive()
    headers = [(b"set-cookie", scope["query_string"])] if scope["query_string"] else []
    await send({"type": "websocket.accept", "headers": headers})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event["text"]})


def between(app: Any) -> Any:
    """A middleware as there are many."""

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        async def receiving() -> Any:
            return await receive()

        async def sending(event: Any) -> None:
            await send(event)

        await app(scope, receiving, sending)

    return wrapped


class Transport(asyncio.Transport):
    """A connection of which the other end is here."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"sockname": ("127.0.0.1", 80), "peername": ("127.0.0.1", 5)}.get(name, default)

    def write(self, data: Any) -> None:
        assert not self.is_closed
        self.written += data

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        """All that was fed has been parsed."""

    def resume_reading(self) -> None:
        """See `pause_reading`."""


class Connection:
    """A connection to a server, of which uvicorn's methods that were called are counted."""

    def __init__(self, config: uvicorn.Config, state: ServerState) -> None:
        self.state = state
        self.protocol = HttpToolsProtocol(config, state, app_state={})
        self.protocol.access_log = False  # pytest has a handler for it
        self.transport = Transport()
        self.protocol.connection_made(self.transport)
        self.calls = 0

    async def feed(self, *pieces: bytes) -> None:
        """Let these bytes come, and all that follows from them."""
        for piece in pieces:
            if piece:
                self.protocol.data_received(piece)
            await self.settle()

    async def settle(self) -> None:
        sys.setprofile(self._note)
        try:
            for _ in range(20):
                await asyncio.sleep(0)
        finally:
            sys.setprofile(None)

    def _note(self, frame: Any, event: str, argument: object) -> None:
        # Other tests have left some, which may end meanwhile.
        self.calls += (
            event == "call"
            and frame.f_code in CODES
            and frame.f_locals["self"].transport is self.transport
        )

    @property
    def end(self) -> tuple[object, ...]:
        """All that can be seen from outside, and what further requests meet."""
        written = re.sub(rb'"(secret|ticket)","[^"]*"', b"", self.transport.written)
        protocol, cycle = self.protocol, self.protocol.cycle
        return (
            written,
            self.transport.is_closed,
            self.state.total_requests,
            protocol.timeout_keep_alive_task is not None,
            protocol.flow.read_paused,
            # What whoever receives next would get.
            len(cycle.body),
            cycle.message_event.is_set(),
        )


class Site:
    """A server with an open socket; `connect` makes further connections to it."""

    def __init__(self, app: Any) -> None:
        self.config = uvicorn.Config(app, http="httptools", ws="none", log_config=None)
        self.config.load()
        self.state = ServerState()
        self.state.default_headers = [(b"date", b"today"), (b"server", b"uvicorn")]
        self.secret = ""

    def connect(self) -> Connection:
        return Connection(self.config, self.state)

    def request(
        self, verb: str, *frames: Frame, more: bytes = SAME, line: bytes = b"POST", query: str = ""
    ) -> bytes:
        """Make a request of a page; the head is added."""
        head = document("head", 1, self.secret, 1, "")
        body = encoded(head, *frames)
        return (
            b"%s /?%semulation=%s.%s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n%s%s\r\n"
            % (line, query.encode(), verb.encode(), KEY.encode(), len(body), TYPE, more)
        ) + body

    def open(self, more: bytes = SAME, query: str = "") -> bytes:
        return self.request("open", document("open", 1, NONCE, []), more=more, query=query)

    async def opened(self) -> Connection:
        """Open the socket; return a connection to go on with."""
        connection = self.connect()
        await connection.feed(self.open())
        found = re.search(rb'"secret","([^"]+)"', connection.transport.written)
        assert found
        self.secret = found[1].decode()
        return self.connect()


Talk = Callable[[Site], Awaitable[Connection]]
TALKS: dict[str, Talk] = {}


def talk(held: Talk) -> Talk:
    TALKS[held.__name__] = held
    return held


def say(number: int, message: str = "hello") -> tuple[Frame, ...]:
    return section(1, 0, number), text(message)


# --- Each kind of answer --------------------------------------------------------------------------


def answered(name: str, verb: str, *frames: Frame, more: bytes = SAME) -> None:
    """Add a talk of one request."""

    async def held(site: Site) -> Connection:
        connection = await site.opened()
        await connection.feed(site.request(verb, *frames, more=more))
        return connection

    TALKS[name] = held


def parked(name: str, verb: str, other: str, *frames: Frame) -> None:
    """Add a talk of one request that waits, and of another one that gives it an answer."""

    async def held(site: Site) -> Connection:
        connection = await site.opened()
        await connection.feed(site.request(verb, section(1)))
        await site.connect().feed(site.request(other, *frames))
        await connection.settle()
        return connection

    TALKS[name] = held


answered("an_upload", "send", *say(1))
answered("an_upload_across_origins", "send", *say(1), more=CROSS)
answered("an_upload_that_is_answered_with_frames", "send", section(7))
answered("a_ticket", "ticket", section(1))
answered("last_words", "bye", section(1), document("last", 0))
parked("a_parked_poll", "poll", "send", *say(1))
parked("a_stream", "stream", "send", *say(1), *say(2))
parked("a_stream_that_is_displaced", "stream", "stream", section(1))


@talk
async def an_open(site: Site) -> Connection:
    connection = site.connect()
    await connection.feed(site.open())
    return connection


@talk
async def an_open_across_origins(site: Site) -> Connection:
    connection = site.connect()
    await connection.feed(site.open(more=CROSS))
    return connection


@talk
async def an_upload_in_pieces(site: Site) -> Connection:
    connection = await site.opened()
    sent = site.request("send", *say(1, "x" * 1000))
    await connection.feed(sent[:-600], sent[-600:-1], sent[-1:])
    return connection


@talk
async def a_poll(site: Site) -> Connection:
    connection = await site.opened()
    await connection.feed(site.request("send", *say(1, "x" * 100_000)))
    await connection.feed(site.request("poll", section(1)))
    return connection


@talk
async def a_parked_poll_with_a_long_body(site: Site) -> Connection:
    connection = await site.opened()
    await connection.feed(site.request("poll", section(1), document("unknown", "x" * 70_000)))
    assert not connection.transport.written
    return connection


# --- Connections ----------------------------------------------------------------------------------


@talk
async def requests_one_after_another(site: Site) -> Connection:
    connection = await site.opened()
    for number in (1, 2, 3):
        await connection.feed(site.request("send", *say(number)))
    return connection


@talk
async def requests_at_once(site: Site) -> Connection:
    connection = await site.opened()
    sent = [site.request("send", *say(number)) for number in (1, 2, 3)]
    await connection.feed(b"".join(sent))
    return connection


@talk
async def a_request_behind_a_parked_one(site: Site) -> Connection:
    connection = await site.opened()
    parked = site.request("poll", section(1))
    await connection.feed(parked + site.request("send", *say(2)), b"")
    await site.connect().feed(site.request("send", *say(1)))
    await connection.settle()
    return connection


PLAIN = dict(TALKS)


@talk
async def a_request_that_closes(site: Site) -> Connection:
    connection = await site.opened()
    closing = b"Connection: close\r\n" + SAME
    await connection.feed(site.request("send", *say(1), more=closing))
    assert connection.transport.is_closed
    return connection


@talk
async def an_old_client(site: Site) -> Connection:
    connection = await site.opened()
    request = site.request("send", *say(1)).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    await connection.feed(request)
    assert connection.transport.is_closed
    return connection


@talk
async def a_client_that_asks_whether_to_go_on(site: Site) -> Connection:
    connection = await site.opened()
    sent = site.request("send", *say(1), more=b"Expect: 100-continue\r\n" + SAME)
    await connection.feed(sent[:-10], sent[-10:])
    assert connection.transport.written.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 ")
    return connection


@talk
async def one_that_asks_so_and_goes_on(site: Site) -> Connection:
    connection = await site.opened()
    await connection.feed(site.request("send", *say(1), more=b"Expect: 100-continue\r\n" + SAME))
    assert connection.transport.written.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 ")
    return connection


@talk
async def a_slow_reader(site: Site) -> Connection:
    connection = await site.opened()
    connection.protocol.pause_writing()
    await connection.feed(site.request("send", *say(1)))
    assert not connection.transport.written
    connection.protocol.resume_writing()
    await connection.settle()
    return connection


@talk
async def a_client_that_leaves(site: Site) -> Connection:
    connection = await site.opened()
    await connection.feed(site.request("poll", section(1)))
    connection.protocol.connection_lost(OSError())
    await site.connect().feed(site.request("send", *say(1)))
    await connection.settle()
    assert not connection.transport.written
    return connection


@talk
async def a_client_that_leaves_at_once(site: Site) -> Connection:
    connection = await site.opened()
    connection.protocol.data_received(site.request("send", *say(1)))
    connection.protocol.connection_lost(OSError())
    await connection.settle()
    another = site.connect()
    await another.feed(site.request("poll", section(1)))
    assert not another.transport.written, "the upload was not taken"
    return another


@talk
async def a_server_that_goes_down(site: Site) -> Connection:
    connection = await site.opened()
    await connection.feed(site.request("poll", section(1)))
    connection.protocol.shutdown()
    await site.connect().feed(site.request("send", *say(1)))
    await connection.settle()
    assert connection.transport.is_closed
    return connection


@talk
async def a_server_that_closes_each_connection(site: Site) -> Connection:
    connection = await site.opened()
    site.state.default_headers.append((b"connection", b"close"))
    await connection.feed(site.request("send", *say(1)))
    assert connection.transport.is_closed
    return connection


@talk
async def a_server_with_headers_of_its_own(site: Site) -> Connection:
    connection = await site.opened()
    site.state.default_headers.append((b"x-own", b"header"))
    await connection.feed(site.request("send", *say(1)))
    assert b"\r\nx-own: header\r\n" in connection.transport.written
    return connection


@talk
async def headers_of_the_application(site: Site) -> Connection:
    connection = site.connect()
    await connection.feed(site.open(query="a=b&"))
    assert b"\r\nset-cookie: a=b\r\n" in connection.transport.written
    return connection


@talk
async def a_body_that_somebody_has_taken(site: Site) -> Connection:
    app = site.config.loaded_app

    async def taking(scope: Any, receive: Any, send: Any) -> None:
        if b"send" in scope["query_string"]:
            await receive()
        await app(scope, receive, send)

    site.config.loaded_app = taking
    connection = await site.opened()
    await connection.feed(site.request("send", *say(1)))
    assert not connection.transport.written
    connection.protocol.connection_lost(OSError())
    await connection.settle()
    return connection


@talk
async def somebody_who_has_answered(site: Site) -> Connection:
    app = site.config.loaded_app

    async def answering(scope: Any, receive: Any, send: Any) -> None:
        if b"send" in scope["query_string"]:
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})
        await app(scope, receive, send)

    site.config.loaded_app = answering
    connection = await site.opened()
    await connection.feed(site.request("send", *say(1)))
    another = site.connect()
    await another.feed(site.request("poll", section(1)))
    assert not another.transport.written, "the upload was not taken"
    return connection


@talk
async def requests_that_are_refused(site: Site) -> Connection:
    connection = await site.opened()
    await connection.feed(site.request("send", line=b"HEAD"))
    await connection.feed(site.request("send", line=b"OPTIONS"))
    await connection.feed(site.request("send", more=b"Sec-Fetch-Site: cross-site\r\n"))
    await connection.feed(site.request("send").replace(b"@", b"\x80"))
    return connection


@pytest.mark.parametrize("name", TALKS)
async def test_ends_alike(name: str) -> None:
    ends = []
    for app in (WebSocketEmulation(application), between(WebSocketEmulation(application))):
        connection = await TALKS[name](Site(app))
        ends.append(connection.end)
    assert ends[0] == ends[1]


of_a_version_that_was_read = pytest.mark.skipif(
    not uvicorn.__version__.startswith(direct._VERSIONS),
    reason=f"read the RequestResponseCycle of uvicorn {uvicorn.__version__}, then let direct.py"
    " have it in _VERSIONS",
)


@of_a_version_that_was_read
@pytest.mark.parametrize("name", PLAIN)
async def test_is_written_past_uvicorn(name: str) -> None:
    around = await TALKS[name](Site(between(WebSocketEmulation(application))))
    connection = await TALKS[name](Site(WebSocketEmulation(application)))
    assert connection.calls < around.calls
    if "stream" not in name and "pieces" not in name:
        assert connection.calls == 0


async def uploaded(site: Site) -> int:
    """Upload once; return how many calls of uvicorn's methods that took."""
    return (await TALKS["an_upload"](site)).calls


async def test_an_access_log_has_its_lines(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A test may have put ours there before (`filter_access_log`), which hides the line.
    monkeypatch.setattr(logging.getLogger("uvicorn.access"), "filters", [])
    site = Site(WebSocketEmulation(application))
    connection = await site.opened()
    connection.protocol.access_log = True
    with caplog.at_level("INFO", "uvicorn.access"):
        await connection.feed(site.request("send", *say(1)))
    assert re.search(r'"POST /\?emulation=send\.K+ HTTP/1\.1" 204', caplog.text)


@pytest.mark.parametrize("version", ["0.52.0", "0.55.0", "0.5", "1.0"])
async def test_another_uvicorn_is_called(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn, "__version__", version)
    direct._methods.clear()
    try:
        assert await uploaded(Site(WebSocketEmulation(application))) == 3
    finally:
        direct._methods.clear()


@of_a_version_that_was_read
@pytest.mark.parametrize("is_met_before", [True, False])
async def test_who_has_replaced_a_method_is_called(
    is_met_before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    own = RequestResponseCycle.send

    @functools.wraps(own)
    async def send(self: Any, event: Any) -> None:
        seen.append(event["type"])
        await own(self, event)

    direct._methods.clear()
    if is_met_before:
        assert await uploaded(Site(WebSocketEmulation(application))) == 0
    monkeypatch.setattr(RequestResponseCycle, "send", send)
    try:
        await uploaded(Site(WebSocketEmulation(application)))
    finally:
        direct._methods.clear()
    assert seen == ["http.response.start", "http.response.body"] * 2  # of the open, too


async def test_a_class_of_somebody_elses_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    class Cycle(RequestResponseCycle):
        """Wants to know, perhaps, what is sent."""

    monkeypatch.setattr(httptools_impl, "RequestResponseCycle", Cycle)
    assert await uploaded(Site(WebSocketEmulation(application))) == 3
