"""What a log tells of a session: when it opened, what served it, how it ended."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import pytest

from emulation import WebSocketEmulation
from emulation.testing import connect
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
    assert moved.reason.startswith("its page attached anew")
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
