"""What a log tells of a session: when it opened, what served it, how it ended."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from emulation import WebSocketEmulation
from emulation.protocol.frames import DOCUMENT
from emulation.testing import connect
from tests.session.native import dial, opened, resumed
from tests.session.stage import Served, serving
from tests.session.wire import drawn, section, text
from tests.test_observing import echo


def said(caplog: pytest.LogCaptureFixture) -> list[Any]:
    return [record for record in caplog.records if record.name == "emulation.diary"]


async def test_a_log_tells_what_served_a_session(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="emulation.diary")
    app = WebSocketEmulation(echo)
    with anyio.fail_after(20):
        async with connect("/", transport="stream", app=app) as socket:
            await socket.send("one")
            assert await socket.receive() == "one"
            await socket.switch("poll")
            await socket.send("three")
            assert await socket.receive() == "three"
        while len(said(caplog)) < 3:  # noqa: ASYNC110 (the log is told, the test is not)
            await anyio.sleep(0.01)
    opened, moved, ended = said(caplog)
    assert [record.event for record in said(caplog)] == ["opened", "moved", "ended"]
    assert opened.session == moved.session == ended.session
    assert opened.session in opened.getMessage()
    assert (moved.before, moved.transport) == ("stream", "poll")
    assert moved.reason.startswith("its page attached anew, number ")
    assert "; stream " in moved.reason or "its page gave stream up" in moved.reason
    assert (ended.code, ended.transport, ended.reason) == (1005, "poll", "its page closed it")
    # Two messages and a close each way; the close has no payload that counts.
    assert (ended.frames_up, ended.bytes_up, ended.bytes_down) == (3, 8, 8)
    assert ended.moves == 1 and ended.attaches >= 2
    assert ended.seconds >= moved.seconds >= opened.seconds >= 0


async def test_without_a_reader_nothing_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="emulation.diary")
    with anyio.fail_after(20):
        async with connect("/", transport="poll", app=WebSocketEmulation(echo)) as socket:
            await socket.send("one")
            assert await socket.receive() == "one"
    assert not said(caplog)


async def reasons(served: Served, caplog: pytest.LogCaptureFixture, count: int = 1) -> list[str]:
    """Return why the session moved, so many times; figures of time are left out."""
    moves: list[Any] = []

    def have_come() -> bool:
        moves[:] = [record for record in said(caplog) if record.event == "moved"]
        return len(moves) >= count

    await served.eventually(have_come, f"{count} moves")
    assert all(record.reason in record.getMessage() for record in moves)
    return [re.sub(r"[0-9]+\.[0-9] s", "… s", record.reason) for record in moves]


@pytest.fixture
async def served(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Served]:
    caplog.set_level(logging.INFO, logger="emulation.diary")
    async with serving(open_answer_time=0.2, text_stream_renew=2000, poll_time=0.1) as running:
        yield running


async def test_a_stream_that_was_cut(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    page = served.page()
    await page.opened()
    async with page.stream() as downstream:
        await page.upload(section(1, 0, 1), text("one"))
        await downstream.until_text("one")
    [carrier] = served.registry.carriers.values()
    await served.eventually(lambda: carrier.downstream is None, "the stream's end")
    await page.poll(section(1))
    assert await reasons(served, caplog) == [
        "its page attached anew, number 2; stream was cut, by its page or on the way, after … s,"
        " with 1 frame unacknowledged"
    ]


async def test_a_stream_that_is_given_up(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    """What a page does when a stream is held back: nothing of it has come."""
    page = served.page()
    await page.opened()
    async with page.stream() as downstream:
        await page.upload(section(1, 0, 1), text("one"), text("two"))
        await downstream.until_text("two")
        await page.poll(section(1))
    assert await reasons(served, caplog) == [
        "its page attached anew, number 2; its page gave stream up, which was open here for … s,"
        " with 2 frames unacknowledged"
    ]


async def test_a_stream_that_was_to_be_renewed(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    page = served.page(form="json")
    await page.opened(transport="xhr-stream")
    async with page.stream() as downstream:
        await page.upload(section(1, 0, 1), text("x" * 2000))
        await downstream.until_end()
    await page.poll(section(1, 1))
    assert await reasons(served, caplog) == [
        "its page attached anew, number 2; xhr-stream was ended here, to be renewed, after … s"
    ]


@pytest.mark.parametrize("name", ["stream", "sse"])
async def test_a_better_transport(caplog: pytest.LogCaptureFixture, name: str) -> None:
    caplog.set_level(logging.INFO, logger="emulation.diary")
    async with serving() as served:
        page = served.page()
        await page.opened(transport="poll")
        async with served.parked(page):
            down = page.stream() if name == "stream" else page.events(await page.ticket())
            async with down as downstream:
                await downstream.until(DOCUMENT, "credit")
        assert await reasons(served, caplog) == [
            "its page attached anew, number 2, by a better transport; poll was still open"
        ]


async def test_another_transport_than_was_announced(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    page = served.page()
    await page.opened(transport="stream")
    await page.poll(section(1))
    assert await reasons(served, caplog) == [
        "its page attached anew, number 1; stream never served it"
    ]


async def test_another_socket_of_a_page_that_polls(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    page = served.page()
    await page.opened(transport="poll")
    await page.poll(section(1))
    await page.opened(2, transport="stream")
    assert await reasons(served, caplog) == [
        "its page's other requests are served by poll; stream never served it"
    ]


async def test_a_native_socket_that_ended(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    page = served.page()
    async with opened(page) as native:
        await native.until("opened")
        await native.send("one")
        await native.message()
        native.connection.transport.abort()
    await served.eventually(lambda: not served.registry.natives, "the native socket's end")
    await page.poll(section(1))
    [reason] = await reasons(served, caplog)
    # uvicorn makes 1005 of it, or 1006.
    assert reason.replace("1006", "1005") == (
        "its page attached anew, number 1; websocket ended with close code 1005 after … s,"
        " with 1 frame unacknowledged"
    )


async def test_a_native_socket_that_its_page_closed(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    page = served.page()
    await page.opened(2, transport="poll")
    await page.poll(section(2))
    async with opened(page) as native:
        await native.until("opened")
        await native.connection.close(3000)
    assert await reasons(served, caplog) == [
        "its page's other requests are served by poll; websocket ended with close code 3000"
        " after … s"
    ]


async def test_a_page_that_changes_for_ever_does_not_flood_the_log(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    page = served.page()
    await page.opened()
    for _ in range(60):
        async with page.stream() as downstream:
            await downstream.until(DOCUMENT, "credit")
            await page.poll(section(1))
    moves = [record for record in said(caplog) if record.event == "moved"]
    assert len(moves) == 100
    assert moves[-1].getMessage().endswith("; of its further moves nothing is said")
    assert "further" not in moves[-2].getMessage()
    [session] = served.registry.sessions
    assert session.moves == 119


async def test_an_upgrade_behind_which_nothing_came(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    """A black hole: 101, and then nothing passes in either direction."""
    page, nonce = served.page(), drawn()
    async with dial(page, nonce):
        await served.eventually(lambda: served.stage.scopes, "the application's start")
        assert (await page.open(nonce=nonce)).status == 200
        async with page.stream():
            assert await reasons(served, caplog) == [
                "its page attached anew, number 1; its page gave websocket up, which was open here"
                " for … s, and nothing had come on it"
            ]


async def test_an_upgrade_that_ended_before_it_was_up(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    page, nonce = served.page("/puppet"), drawn()
    async with dial(page, nonce) as native:
        await native.until("hello")
    await served.eventually(lambda: not served.registry.natives, "the native socket's end")
    endpoint = await served.stage.endpoint()
    await endpoint.accept()
    assert (await page.open(nonce=nonce)).status == 200
    await page.poll(section(1))
    assert await reasons(served, caplog) == [
        "its page attached anew, number 1; websocket ended with close code 1000 after … s,"
        " and nothing had come on it"
    ]
    endpoint.leave()


async def test_a_native_socket_beside_a_stream(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    page = served.page()
    await page.opened()
    async with page.stream() as downstream:
        await downstream.until(DOCUMENT, "credit")
        async with resumed(page) as native:
            await native.until("resumed")
        # The native socket is at its end: the stream goes on.
        assert await reasons(served, caplog, 2) == [
            "its page has a native WebSocket now, by a better transport; stream was still open",
            "its page's other requests are served by stream; websocket ended with close code 1000"
            " after … s",
        ]


async def test_a_native_socket_that_broke_the_wire(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    page = served.page()
    await page.opened(transport="poll")
    await page.poll(section(1))
    async with resumed(page) as native:
        await native.until("resumed")
        await native.say("head", 1, page.secret, 1, page.node)
        await native.until_closed()
    assert await reasons(served, caplog, 2) == [
        "its page has a native WebSocket now, by a better transport; poll was answered, after … s",
        "its page's other requests are served by poll; websocket was ended here (a second head)"
        " after … s",
    ]
