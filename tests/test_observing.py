"""What a process hears of its sessions, and uvicorn's access log without the carriers' requests."""

from __future__ import annotations

import logging

import anyio
import pytest

from emulation import Config, Observer, Statistics, WebSocketEmulation, filter_access_log
from emulation.access_log import AccessLogFilter
from emulation.testing import connect

KEY = "A" * 22


class Notes(Observer):
    def __init__(self) -> None:
        self.moves: list[tuple[str, str]] = []
        self.attaches: list[tuple[str, bool]] = []
        self.answers: list[float] = []

    def moved(self, session: str, before: str, after: str) -> None:
        self.moves.append((before, after))

    def attached(self, transport: str, is_first: bool) -> None:
        self.attaches.append((transport, is_first))

    def answered(self, transport: str, seconds: float) -> None:
        self.answers.append(seconds)


async def echo(scope: object, receive: object, send: object) -> None:
    assert callable(receive) and callable(send)
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] != "websocket.disconnect":
        await send({**event, "type": "websocket.send"})


@pytest.mark.parametrize("transport", ["websocket", "stream"])
async def test_observer_hears_of_attaches_moves_and_answers(transport: str) -> None:
    notes = Notes()
    app = WebSocketEmulation(echo, config=Config(observer=notes, heartbeat=0.1, poll_time=0.1))
    assert app.statistics == Statistics(0, 0, 0, 0)
    with anyio.fail_after(20):
        async with connect("/", transport=transport, app=app) as socket:
            await socket.send("one")
            assert await socket.receive() == "one"
            assert app.statistics.sessions == app.statistics.carriers == 1
            while not notes.answers:  # noqa: ASYNC110 (the observer is told, the test is not)
                await anyio.sleep(0.01)
            await socket.switch("poll")
            await socket.send("two")
            assert await socket.receive() == "two"
    assert notes.moves == [(transport, "poll")]
    assert notes.attaches[0] == (transport, True)
    assert ("poll", False) in notes.attaches[1:] or ("poll", True) in notes.attaches[1:]
    assert all(seconds >= 0 for seconds in notes.answers)


ACCESS = '%s - "%s %s HTTP/%s" %d'
HANDSHAKE = '%s - "WebSocket %s" [accepted]'
LINES = [
    ("uvicorn.access", ACCESS, ("a", "GET", "/x", "1.1", 200), '"GET /x HTTP'),
    ("uvicorn.access", ACCESS, ("a", "GET", "/x?token=secret", "1.1", 200), '"GET /x HTTP'),
    ("uvicorn.access", ACCESS, ("a", "POST", f"/x?emulation=send.{KEY}", "1.1", 200), None),
    ("uvicorn.access", ACCESS, ("a", "GET", "/x?emulation=mine", "1.1", 200), '"GET /x HTTP'),
    ("uvicorn.error", HANDSHAKE, ("a", "/x?token=secret"), '"WebSocket /x"'),
    ("uvicorn.error", HANDSHAKE, ("a", f"/x?token=s&emulation=ws.{KEY}"), None),
    ("uvicorn.error", "Shutting down", None, "Shutting down"),
]


@pytest.mark.parametrize(("name", "message", "arguments", "left"), LINES)
def test_access_log_has_no_queries_and_no_requests_of_carriers(
    name: str, message: str, arguments: tuple[object, ...] | None, left: str | None
) -> None:
    record = logging.LogRecord(name, logging.INFO, "", 0, message, arguments, None)
    assert AccessLogFilter().filter(record) is (left is not None)
    if left is not None:
        assert left in record.getMessage()
        assert "secret" not in record.getMessage()


def test_filter_is_added_once() -> None:
    loggers = [logging.getLogger(name) for name in ("uvicorn.access", "uvicorn.error")]
    try:
        filter_access_log()
        filter_access_log()
        assert [len(logger.filters) for logger in loggers] == [1, 1]
    finally:
        for logger in loggers:
            logger.filters.clear()
