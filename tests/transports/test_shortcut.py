"""What goes past uvicorn's parser ends as it would have through it.

Each talk is held with one server as it is, and with one around whose application stands a
middleware, so that uvicorn sees all of it; both have to end alike, to the byte.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn

from emulation import Config, WebSocketEmulation
from emulation.protocol.frames import document
from emulation.transports import direct
from emulation.transports.shortcut import Shortcut
from tests.session.wire import section
from tests.transports.talking import (
    CROSS,
    SAME,
    Connection,
    Site,
    application,
    between,
    late,
    say,
    secret_in,
)

pytestmark = pytest.mark.skipif(
    not uvicorn.__version__.startswith(direct._VERSIONS),
    reason=f"read HttpToolsProtocol of uvicorn {uvicorn.__version__}, then let direct.py"
    " have it in _VERSIONS",
)

# What uvicorn parses of a connection's requests until their head is known.
FIRST = 1

LENGTH = re.compile(rb"(?<=Content-Length: )[0-9]+")

Talk = Callable[[Site, Connection], Awaitable[None]]
# What is said on a connection behind three messages, whose head is known therefore, and how much of
# it uvicorn is given.
TALKS: dict[str, tuple[Talk, int]] = {}


def talk(parsed: int) -> Callable[[Talk], Talk]:
    def add(held: Talk) -> Talk:
        TALKS[held.__name__] = held, parsed
        return held

    return add


async def known(site: Site, more: bytes = SAME) -> Connection:
    """Return a connection that has uploaded three messages, of which the last one was taken."""
    connection = await site.opened()
    for number in (1, 2, 3):
        await connection.feed(site.request("send", *say(number), more=more))
    connection.parsed -= FIRST
    return connection


async def heard(site: Site) -> bytes:
    """Return what a poll brings: what the application has said."""
    another = site.connect()
    await another.feed(site.request("poll"))
    return another.transport.written.replace(site.secret.encode(), b"")


@talk(0)
async def messages_of_any_length(site: Site, connection: Connection) -> None:
    for number, length in enumerate((1, 10, 1000, 30_000), 4):
        await connection.feed(site.request("send", *say(number, "x" * length)))


@talk(0)
async def one_that_came_before(site: Site, connection: Connection) -> None:
    await connection.feed(site.request("send", *say(3)))
    await connection.feed(site.request("send", *say(2)))


@talk(0)
async def one_behind_a_gap(site: Site, connection: Connection) -> None:
    await connection.feed(site.request("send", *say(9)))


@talk(0)
async def a_socket_that_there_is_not(site: Site, connection: Connection) -> None:
    await connection.feed(site.request("send", *say(4, socket=7)))


@talk(1)
async def another_verb(site: Site, connection: Connection) -> None:
    await connection.feed(site.request("ticket", section(1)))
    await connection.feed(site.request("send", *say(4)))


@talk(0)
async def polls(site: Site, connection: Connection) -> None:
    await connection.feed(site.request("poll"))
    await connection.feed(site.request("poll", section(1, 3)), site.request("send", *say(4)))
    assert connection.transport.written.count(b"HTTP/1.1 ") == 4
    assert connection.protocol.flow.read_paused
    # Too long to come in the answer to the upload.
    await site.connect().feed(site.request("send", *say(4, "x" * 20_000)))
    await connection.settle()
    assert connection.transport.written.count(b"HTTP/1.1 ") == 6
    await connection.feed(site.request("send", *say(5)))


@talk(0)
async def a_poll_that_is_displaced(site: Site, connection: Connection) -> None:
    await connection.feed(site.request("poll"), site.request("poll", section(1, 3)))
    await site.connect().feed(site.request("poll", section(1, 3)))
    await connection.settle()
    await connection.feed(site.request("send", *say(4)))


@talk(0)
async def a_poll_that_is_not_to_wait(site: Site, connection: Connection) -> None:
    await connection.feed(site.request("poll"))
    await connection.feed(site.request("poll", document("wait", 0), section(1, 3)))
    while connection.transport.written.count(b"HTTP/1.1 ") < 5:  # noqa: ASYNC110 (of a transport)
        await asyncio.sleep(0.01)


@talk(0)
async def a_long_answer(site: Site, connection: Connection) -> None:
    await connection.feed(site.request("send", *say(4, "x" * 100_000)))
    await connection.feed(site.request("poll"))


@talk(1)
async def a_stream(site: Site, connection: Connection) -> None:
    await connection.feed(site.request("stream"))
    for number in (4, 5):
        await site.connect().feed(site.request("send", *say(number)))
        await connection.settle()
    await connection.feed(site.request("ticket", section(1)))  # too early
    await site.connect().feed(site.request("stream"))
    await connection.settle()
    assert connection.transport.written.count(b"\r\n0\r\n\r\nHTTP/1.1 200 ") == 1


@talk(0)
async def two_streams(site: Site, connection: Connection) -> None:
    for _ in range(2):
        await connection.feed(site.request("stream"))
        await site.connect().feed(site.request("stream"))
        await connection.settle()


@talk(2)
async def an_attach_that_is_refused(site: Site, connection: Connection) -> None:
    secret, site.secret = site.secret, "x" * len(site.secret)
    await connection.feed(site.request("stream"), site.request("poll"))
    site.secret = secret
    assert connection.transport.written.count(b"HTTP/1.1 404 ") == 2


@talk(2)
async def another_header(site: Site, connection: Connection) -> None:
    for number in (4, 5):
        await connection.feed(site.request("send", *say(number), more=b"Cookie: a=b\r\n" + SAME))
    await connection.feed(site.request("send", *say(6)))


@talk(1)
async def a_secret_that_is_none(site: Site, connection: Connection) -> None:
    secret, site.secret = site.secret, "x" * len(site.secret)
    await connection.feed(site.request("send", *say(4)))
    site.secret = secret
    assert b"HTTP/1.1 404 " in connection.transport.written


@talk(1)
async def a_body_that_is_malformed(site: Site, connection: Connection) -> None:
    await connection.feed(site.request("send", *say(4)).replace(b"section", b"sektion"))


@talk(0)
async def a_body_without_its_end(site: Site, connection: Connection) -> None:
    sent = site.request("send", *say(4))
    cut = sent[: sent.rindex(b"@")]
    length = len(cut) - cut.index(b"\r\n\r\n") - 4
    await connection.feed(LENGTH.sub(b"%d" % length, cut, count=1))


@talk(1)
async def a_body_that_was_cut(site: Site, connection: Connection) -> None:
    sent = site.request("send", *say(4, "cut"))
    await connection.feed(sent.replace(b"cut", b"uncut"))


@talk(0)
async def a_body_in_pieces(site: Site, connection: Connection) -> None:
    sent = site.request("send", *say(4))
    await connection.feed(sent[:-39], sent[-39:-9], sent[-9:])
    await connection.feed(site.request("send", *say(5)))


@talk(0)
async def a_body_behind_its_head(site: Site, connection: Connection) -> None:
    sent = site.request("send", *say(4))
    at = sent.index(b"\r\n\r\n") + 4
    await connection.feed(sent[:at], sent[at:])


@talk(1)
async def a_malformed_body_in_pieces(site: Site, connection: Connection) -> None:
    sent = site.request("send", *say(4)).replace(b"section", b"sektion")
    await connection.feed(sent[:-9], sent[-9:])
    await connection.feed(site.request("send", *say(4)))


@talk(1)
async def a_body_in_pieces_and_the_next_one(site: Site, connection: Connection) -> None:
    first, second = (site.request("send", *say(number)) for number in (4, 5))
    await connection.feed(first[:-9], first[-9:] + second)


@talk(3)
async def a_head_in_pieces(site: Site, connection: Connection) -> None:
    sent = site.request("send", *say(4))
    await connection.feed(sent[:9], sent[9:90], sent[90:])
    await connection.feed(site.request("send", *say(5)))


@talk(0)
async def a_body_that_looks_like_a_request(site: Site, connection: Connection) -> None:
    inner = site.request("send", *say(5, "inside of another"))
    outer = site.request("send", *say(4, inner.decode()))
    at = outer.index(b"POST ", 9)
    await connection.feed(outer[:at], outer[at : at + len(inner)] + outer[at + len(inner) :])
    assert b"inside of another" not in (await heard(site)).split(b"POST ")[0]


@talk(0)
async def a_body_one_piece_of_which_looks_like_a_request(
    site: Site, connection: Connection
) -> None:
    inner = site.request("send", *say(4, "inside of another"))
    outer = site.request("send", *say(4, inner.decode()))
    at = outer.index(b"POST ", 9)
    end = at + len(inner)
    # The length of the inner one is that of its piece: nothing but its place tells what it is.
    await connection.feed(outer[:at])
    await connection.feed(outer[at:end])
    await connection.feed(outer[end:])


@talk(2)
async def a_body_that_the_application_does_not_read(site: Site, connection: Connection) -> None:
    inner = site.request("send", *say(4, "inside of another"))
    head = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(inner)
    await connection.feed(head, inner)


@talk(2)
async def a_request_that_is_answered_late(site: Site, connection: Connection) -> None:
    await connection.feed(b"GET /late HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    await connection.feed(site.request("send", *say(4)))
    assert connection.transport.written.count(b"HTTP/1.1 ") == 3
    late.pop().set_result(None)
    await connection.settle()
    assert connection.transport.written.count(b"HTTP/1.1 ") == 5
    assert not site.state.tasks


@talk(2)
async def a_header_that_looks_like_a_request(site: Site, connection: Connection) -> None:
    first = site.request("send", *say(4))
    await connection.feed(first + b"POST / HTTP/1.1\r\nX: ")
    await connection.feed(site.request("send", *say(5, "inside of another")))


@talk(3)
async def another_verb_behind_one_in_pieces(site: Site, connection: Connection) -> None:
    sent = site.request("send", *say(4))
    await connection.feed(site.request("ticket", section(1)) + sent[:20], sent[20:])
    await connection.feed(site.request("ticket", section(1)))


@talk(1)
async def two_at_once(site: Site, connection: Connection) -> None:
    sent = [site.request("send", *say(number)) for number in (4, 5)]
    await connection.feed(b"".join(sent))


@talk(1)
async def one_and_a_part_of_the_next(site: Site, connection: Connection) -> None:
    first, second = (site.request("send", *say(number)) for number in (4, 5))
    await connection.feed(first + second[:40], second[40:])
    connection.parsed -= 1


@talk(0)
async def one_behind_the_other(site: Site, connection: Connection) -> None:
    for number in (4, 5):
        connection.transport.protocol.data_received(site.request("send", *say(number)))
    await connection.settle()


@talk(1)
async def three_behind_one(site: Site, connection: Connection) -> None:
    sent = [site.request("send", *say(number)) for number in (4, 5, 6, 7)]
    connection.transport.protocol.data_received(sent[0])
    connection.transport.protocol.data_received(sent[1] + sent[2][:50])
    connection.transport.protocol.data_received(sent[2][50:] + sent[3])
    await connection.settle()


@talk(1)
async def a_reader_who_is_slow(site: Site, connection: Connection) -> None:
    connection.transport.protocol.pause_writing()
    await connection.feed(site.request("send", *say(4)))
    connection.transport.protocol.resume_writing()
    await connection.settle()
    await connection.feed(site.request("send", *say(5)))


@talk(1)
async def one_that_ends_the_connection(site: Site, connection: Connection) -> None:
    closing = b"Connection: close\r\n" + SAME
    await connection.feed(site.request("send", *say(4), more=closing))
    assert connection.transport.is_closed


@talk(0)
async def a_server_that_goes_down(site: Site, connection: Connection) -> None:
    connection.protocol.shutdown()
    assert connection.transport.is_closed


@talk(1)
async def headers_that_end_the_connection(site: Site, connection: Connection) -> None:
    site.state.default_headers.append((b"connection", b"close"))
    await connection.feed(site.request("send", *say(4)))
    assert connection.transport.is_closed


@talk(0)
async def a_server_whose_date_has_changed(site: Site, connection: Connection) -> None:
    site.state.default_headers = [(b"date", b"tomorrow"), (b"x-own", b"header")]
    await connection.feed(site.request("send", *say(4)))
    assert b"\r\ndate: tomorrow\r\nx-own: header\r\n" in connection.transport.written


async def test_a_body_over_the_limit_is_refused_alike() -> None:
    ends = []
    config = Config(max_upload=66_000)
    for app in (
        WebSocketEmulation(application, config=config),
        between(WebSocketEmulation(application, config=config)),
    ):
        site = Site(app)
        connection = await known(site)
        await connection.feed(site.request("send", *say(4, "x" * 300_000)))
        assert b"HTTP/1.1 413 " in connection.transport.written
        ends.append(connection.end)
    assert ends[0] == ends[1]


@pytest.mark.parametrize("name", TALKS)
async def test_ends_alike(name: str) -> None:
    held, parsed = TALKS[name]
    ends: list[Any] = []
    for app in (WebSocketEmulation(application), between(WebSocketEmulation(application))):
        site = Site(app)
        connection = await known(site)
        if not ends:
            assert connection.parsed == 0
        await held(site, connection)
        if not ends:
            assert connection.parsed == parsed
        ends.append((connection.end, await heard(site)))
    assert ends[0] == ends[1]


async def test_an_origin_is_named_alike() -> None:
    ends = []
    for app in (WebSocketEmulation(application), between(WebSocketEmulation(application))):
        connection = await known(Site(app), more=CROSS)
        named = b"access-control-allow-origin: http://127.0.0.1\r\n"
        assert connection.transport.written.count(named) == 3
        ends.append(connection.end)
    assert ends[0] == ends[1]


# --- Heads that are nearly the same ---------------------------------------------------------------

HEADS: dict[str, Callable[[bytes], bytes]] = {
    "no_blank": lambda sent: sent.replace(b"Host: ", b"Host:", 1),
    "two_blanks": lambda sent: sent.replace(b"Host: ", b"Host:  ", 1),
    "a_blank_behind": lambda sent: sent.replace(b"127.0.0.1", b"127.0.0.1 ", 1),
    "a_name_in_another_case": lambda sent: sent.replace(b"Host", b"hOST", 1),
    "a_tab": lambda sent: sent.replace(b"Host: ", b"Host:\t", 1),
    "another_name": lambda sent: sent.replace(b"Host", b"Hosu", 1),
    "another_host": lambda sent: sent.replace(b"127.0.0.1", b"127.0.0.2", 1),
    "a_longer_host": lambda sent: sent.replace(b"127.0.0.1", b"127.0.0.11", 1),
    "no_host": lambda sent: sent.replace(b"Host: 127.0.0.1\r\n", b"", 1),
    "one_header_more": lambda sent: sent.replace(b"Host:", b"X: y\r\nHost:", 1),
    "one_behind_all": lambda sent: sent.replace(b"\r\n\r\n", b"\r\nX: y\r\n\r\n", 1),
    "another_order": lambda sent: SAME.join(sent.replace(SAME, b"", 1).split(b"Host", 1)).replace(
        SAME, SAME + b"Host", 1
    ),
    "a_line_that_goes_on": lambda sent: sent.replace(b"\r\nHost", b"\r\n X\r\nHost", 1),
    "bare_line_feeds": lambda sent: sent.replace(b"\r\n", b"\n"),
    "a_bare_line_feed": lambda sent: sent.replace(b"\r\n\r\n", b"\r\n\n", 1),
    "an_old_version": lambda sent: sent.replace(b"HTTP/1.1", b"HTTP/1.0", 1),
    "another_method": lambda sent: sent.replace(b"POST", b"PUT", 1),
    "another_path": lambda sent: sent.replace(b"POST /", b"POST /x", 1),
    "a_path_as_long": lambda sent: sent.replace(b"POST /", b"POST *", 1),
    "an_absolute_path": lambda sent: sent.replace(b" /", b" http://127.0.0.1/", 1),
    "more_of_a_query": lambda sent: sent.replace(b" HTTP/", b"&a=b HTTP/", 1),
    "a_query_before": lambda sent: sent.replace(b"?", b"?a=b&", 1),
    "another_key": lambda sent: sent.replace(b"KKK", b"KKL", 1),
    "no_verb": lambda sent: sent.replace(b"=send.", b"=.", 1),
    "a_longer_verb": lambda sent: sent.replace(b"=send.", b"=sendend.", 1),
    "an_unknown_verb": lambda sent: sent.replace(b"=send.", b"=sent.", 1),
    "two_lengths": lambda sent: sent.replace(b"Content-", b"Content-Length: 9\r\nContent-", 1),
    "chunks": lambda sent: sent.replace(b"Host:", b"Transfer-Encoding: chunked\r\nHost:", 1),
    "an_expectation": lambda sent: sent.replace(b"Host:", b"Expect: 100-continue\r\nHost:", 1),
    "line_feeds_before": lambda sent: b"\r\n" + sent,
    "no_length": lambda sent: LENGTH.sub(b"", sent, count=1),
    "length_0": lambda sent: LENGTH.sub(b"0", sent, count=1),
    "length_1": lambda sent: LENGTH.sub(b"1", sent, count=1),
    "length_with_a_sign": lambda sent: LENGTH.sub(rb"+\g<0>", sent, count=1),
    "length_with_a_zero": lambda sent: LENGTH.sub(rb"0\g<0>", sent, count=1),
    "length_with_a_letter": lambda sent: LENGTH.sub(rb"\g<0>x", sent, count=1),
    "length_with_a_blank": lambda sent: LENGTH.sub(rb"\g<0> ", sent, count=1),
    "length_with_a_line": lambda sent: LENGTH.sub(rb"1_\g<0>", sent, count=1),
    "length_beyond_all": lambda sent: LENGTH.sub(b"9" * 30, sent, count=1),
    "another_origin": lambda sent: sent.replace(SAME, b"Sec-Fetch-Site: cross-site\r\n", 1),
    "type_of_json": lambda sent: sent.replace(b"octet-stream", b"json", 1),
}


@pytest.mark.parametrize("uploads", [1, 3])
@pytest.mark.parametrize("name", HEADS)
async def test_a_head_that_is_nearly_the_same_ends_alike(name: str, uploads: int) -> None:
    ends: list[Any] = []
    for app in (WebSocketEmulation(application), between(WebSocketEmulation(application))):
        site = Site(app)
        connection = await site.opened()
        for number in range(1, uploads + 1):
            await connection.feed(site.request("send", *say(number)))
        parsed = connection.parsed
        await connection.feed(HEADS[name](site.request("send", *say(uploads + 1))))
        if name != "length_with_a_zero" and (name, uploads) != ("a_name_in_another_case", 1):
            assert connection.parsed == parsed + 1
        if not connection.transport.is_closed:
            await connection.feed(site.request("send", *say(uploads + 2)))
        ends.append((connection.end, await heard(site)))
    assert ends[0] == ends[1]


async def test_a_body_that_is_not_of_its_type_is_refused_alike() -> None:
    ends: list[Any] = []
    for app in (WebSocketEmulation(application), between(WebSocketEmulation(application))):
        site = Site(app)
        connection = await site.opened()
        for _ in range(3):
            sent = site.request("send", *say(1))
            await connection.feed(HEADS["type_of_json"](sent))
        assert connection.transport.written.count(b"HTTP/1.1 400 ") == 3
        ends.append(connection.end)
    assert ends[0] == ends[1]


# --- Where the end cannot be alike ----------------------------------------------------------------


async def test_a_stream_on_the_connection_of_its_open_is_taken() -> None:
    site = Site(WebSocketEmulation(application))
    connection = site.connect()
    await connection.feed(site.open())
    site.secret = secret_in(connection.transport.written)
    await connection.feed(site.request("stream"))
    assert connection.parsed == 1
    assert b"transfer-encoding: chunked\r\n\r\n" in connection.transport.written


async def test_a_slow_reader_s_stream_waits() -> None:
    site = Site(WebSocketEmulation(application))
    connection = await known(site)
    await connection.feed(site.request("stream", section(1)))
    connection.transport.protocol.pause_writing()
    written = len(connection.transport.written)
    for number in (4, 5):
        await site.connect().feed(site.request("send", *say(number, f"message {number}")))
    await connection.settle()
    assert len(connection.transport.written) == written
    connection.transport.protocol.resume_writing()
    await connection.settle()
    more = connection.transport.written[written:]
    assert more.count(b"message 4") == more.count(b"message 5") == 1
    assert connection.parsed == 0


@pytest.mark.parametrize("verb", ["poll", "stream"])
async def test_a_downstream_whose_client_leaves_is_none(verb: str) -> None:
    site = Site(WebSocketEmulation(application))
    connection = await known(site)
    await connection.feed(site.request("poll"), site.request(verb, section(1, 3)))
    connection.transport.protocol.connection_lost(OSError())
    connection.transport.close()
    another = site.connect()
    await another.feed(site.request("send", *say(4, "for the next one")))
    assert another.transport.written.endswith(b" 1 0 0\r\n\r\n")  # no downstream
    assert b"for the next one" in await heard(site)
    assert b"for the next one" not in connection.transport.written


@pytest.mark.parametrize("verb", ["poll", "stream"])
async def test_pages_are_told_that_the_server_goes_down(verb: str) -> None:
    emulation = WebSocketEmulation(application)
    site = Site(emulation)
    connection = await known(site)
    await connection.feed(site.request("poll"), site.request(verb, section(1, 3)))
    emulation.go_down()
    await connection.settle()
    assert (1012).to_bytes(2, "big") in connection.transport.written
    assert connection.parsed == 0


async def test_a_fault_in_a_stream_ends_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(WebSocketEmulation(application))
    connection = await known(site)
    await connection.feed(site.request("stream", section(1)))
    monkeypatch.setattr("emulation.carrier.Carrier.pack", lambda *_: 1 / 0)
    await site.connect().feed(site.request("send", *say(4)))
    await connection.settle()
    assert "Writing a downstream failed" in caplog.text


async def test_a_body_that_does_not_come_whole_is_not_taken() -> None:
    site = Site(WebSocketEmulation(application))
    connection = await known(site)
    await connection.feed(site.request("send", *say(4, "the last"))[:-9])
    connection.transport.protocol.connection_lost(OSError())
    connection.transport.close()
    await connection.settle()
    assert b"the last" not in await heard(site)


async def test_nothing_is_waited_for_behind_a_body_in_pieces() -> None:
    site = Site(WebSocketEmulation(application))
    connection = await known(site)
    sent = site.request("send", *say(4))
    await connection.feed(sent[:-9])
    timer = connection.transport.protocol._timer
    await connection.feed(sent[-9:])
    assert timer.cancelled()


async def test_a_body_that_comes_slowly_is_uvicorn_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emulation.transports.shortcut._WAIT_SECONDS", 0)
    site = Site(WebSocketEmulation(application))
    connection = await known(site)
    sent = site.request("send", *say(4))
    await connection.feed(sent[:-39], sent[-39:-9], sent[-9:])
    assert connection.parsed == 3
    assert connection.transport.written.count(b"HTTP/1.1 204 ") == 4


async def test_what_came_is_taken_where_the_client_leaves_at_once() -> None:
    site = Site(WebSocketEmulation(application))
    connection = await known(site)
    connection.transport.protocol.data_received(site.request("send", *say(4, "the last")))
    connection.transport.protocol.connection_lost(OSError())
    connection.transport.close()
    await connection.settle()
    assert b"the last" in await heard(site)


# --- Who is passed by -----------------------------------------------------------------------------


async def parsed_of(site: Site) -> int:
    """Return how many of three uploads uvicorn was given."""
    return (await known(site)).parsed + FIRST


async def test_a_middleware_that_only_looks_sees_every_upload() -> None:
    seen = []
    emulation = WebSocketEmulation(application)

    async def looking(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["path"])
        await emulation(scope, receive, send)

    assert await parsed_of(Site(looking)) == 3
    assert len(seen) == 4


async def test_a_class_of_ones_own_sees_every_upload() -> None:
    seen = []

    class Looking(WebSocketEmulation):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            seen.append(scope["path"])
            await super().__call__(scope, receive, send)

    assert await parsed_of(Site(Looking(application))) == 3
    assert len(seen) == 4


async def test_a_hook_for_principals_is_asked_for_every_upload() -> None:
    asked = []

    def principal(scope: Any) -> str | None:
        asked.append(scope["path"])
        return "somebody"

    emulation = WebSocketEmulation(application, config=Config(principal=principal))
    assert await parsed_of(Site(emulation)) == FIRST
    assert len(asked) == 4


async def test_a_principal_who_has_gone_is_refused() -> None:
    who = ["somebody"]
    config = Config(principal=lambda scope: who[0])
    site = Site(WebSocketEmulation(application, config=config))
    connection = await known(site)
    who[0] = "somebody else"
    await connection.feed(site.request("send", *say(4)))
    assert b"HTTP/1.1 404 " in connection.transport.written


async def test_the_address_that_a_proxy_names_is_the_request_s() -> None:
    site = Site(WebSocketEmulation(application))
    connection = await known(site, more=b"X-Forwarded-For: 192.0.2.1\r\n" + SAME)
    assert connection.parsed == 0
    await connection.feed(
        site.request("send", *say(4), more=b"X-Forwarded-For: 192.0.2.2\r\n" + SAME)
    )
    assert connection.parsed == 1


async def test_a_server_with_too_many_connections_says_so() -> None:
    ends = []
    for app in (WebSocketEmulation(application), between(WebSocketEmulation(application))):
        site = Site(app)
        connection = await known(site)
        connections: list[Any] = [*site.state.connections]
        for protocol in connections:
            protocol.limit_concurrency = len(connections)
        await connection.feed(site.request("send", *say(4)))
        assert b"HTTP/1.1 503 " in connection.transport.written
        ends.append(connection.end)
    assert ends[0] == ends[1]


async def test_an_access_log_that_is_turned_on_has_its_lines() -> None:
    site = Site(WebSocketEmulation(application))
    connection = await known(site)
    connection.protocol.access_log = True
    await connection.feed(site.request("send", *say(4)))
    assert connection.parsed == 1


async def test_a_fault_of_ours_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(WebSocketEmulation(application))
    connection = await known(site)
    monkeypatch.setattr("emulation.carrier.Carrier.release", lambda self: 1 / 0)
    faults: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    await connection.feed(site.request("send", *say(4)))
    assert connection.transport.is_closed
    assert isinstance(faults[0]["exception"], ZeroDivisionError)


# --- Real connections -----------------------------------------------------------------------------


async def _talk() -> bytes:
    """Upload three messages to a server of uvicorn's in this loop; return what a poll brings."""
    app = WebSocketEmulation(application)
    config = uvicorn.Config(
        app, port=0, http="httptools", ws="none", log_config=None, access_log=False, lifespan="off"
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 (of a task)
        await asyncio.sleep(0.01)
    address = server.servers[0].sockets[0].getsockname()
    site = Site(app)

    async def ask(request: bytes) -> bytes:
        writer.write(request)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: ([0-9]+)", answer)
        return answer + await reader.readexactly(int(length[1]) if length else 0)

    reader, writer = await asyncio.open_connection(*address)
    site.secret = secret_in(await ask(site.open()))
    for number, length in enumerate((10, 1000, 100_000), 1):
        assert (await ask(site.request("send", *say(number, "x" * length))))[:12] == b"HTTP/1.1 204"
    found = await ask(site.request("poll"))
    (protocol,) = server.server_state.connections
    listening: Any = protocol.transport.get_protocol()
    assert type(listening) is Shortcut
    assert server.server_state.total_requests == 5
    writer.close()
    server.should_exit = True
    await serving
    return found


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_connections_of_each_loop_can_be_listened_to(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A server without an access log changes it for all of the process.
    monkeypatch.setattr(logging.getLogger("uvicorn.access"), "propagate", False)
    running = importlib.import_module(loop).new_event_loop()
    try:
        found: bytes = running.run_until_complete(_talk())
    finally:
        running.close()
    assert found.count(b"x") > 101_000
