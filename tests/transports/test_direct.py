"""What is written past uvicorn's own `send` is what it would have written itself.

Each talk is held with one protocol of uvicorn's as it is, and with one around whose application
stands a middleware, so that ASGI's way is taken; both have to end alike, to the byte.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from emulation import WebSocketEmulation
from emulation.protocol.frames import Frame, document
from emulation.transports import direct
from tests.session.wire import section
from tests.transports.talking import CROSS, SAME, Connection, Site, application, between, say

Talk = Callable[[Site], Awaitable[Connection]]
TALKS: dict[str, Talk] = {}


def talk(held: Talk) -> Talk:
    TALKS[held.__name__] = held
    return held


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
    connection.transport.protocol.pause_writing()
    await connection.feed(site.request("send", *say(1)))
    assert not connection.transport.written
    connection.transport.protocol.resume_writing()
    await connection.settle()
    return connection


@talk
async def a_client_that_leaves(site: Site) -> Connection:
    connection = await site.opened()
    await connection.feed(site.request("poll", section(1)))
    connection.transport.protocol.connection_lost(OSError())
    await site.connect().feed(site.request("send", *say(1)))
    await connection.settle()
    assert not connection.transport.written
    return connection


@talk
async def a_client_that_leaves_at_once(site: Site) -> Connection:
    connection = await site.opened()
    connection.transport.protocol.data_received(site.request("send", *say(1)))
    connection.transport.protocol.connection_lost(OSError())
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
    connection.transport.protocol.connection_lost(OSError())
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
        ends.append((connection.end, connection.left))
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
