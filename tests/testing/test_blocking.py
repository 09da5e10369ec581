"""The client in tests that are plain functions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from emulation import WebSocketEmulation
from emulation.testing import Closed, Refused
from emulation.testing.blocking import BlockingWebSocket
from tests.testing.conftest import Site

pytestmark = pytest.mark.integration

Connect = Callable[..., AbstractContextManager[BlockingWebSocket]]


def test_messages_come_back_and_the_close_is_clean(blocking_websocket: Connect) -> None:
    app = WebSocketEmulation(Site().app)
    with blocking_websocket("/?choose=chat", app=app, subprotocols=["chat"]) as ws:
        ws.send("hello")
        assert ws.receive() == "hello"
        ws.drain()
        assert (ws.subprotocol, ws.buffered_amount) == ("chat", 0)
        assert ("x-flavour", "vanilla") in ws.response_headers
        ws.drop()
        ws.switch("poll")
        ws.send(b"hello")
        assert (ws.receive(), ws.transport) == (b"hello", "poll")
        ws.close(4000, "bye")
        assert (ws.close_code, ws.close_reason) == (4000, "bye")
        with pytest.raises(Closed, match="closed cleanly with 4000 'bye'"):
            ws.receive()


def test_application_refuses(blocking_websocket: Connect) -> None:
    with pytest.raises(Refused), blocking_websocket("/?refuse=1", app=site_app()):
        pass


def test_silence_and_abort(blocking_websocket: Connect) -> None:
    with blocking_websocket("/", app=site_app()) as ws:
        with pytest.raises(TimeoutError):
            ws.receive(timeout=0.01)
        assert ws.closed is None
        ws.abort()
        with pytest.raises(Closed, match="not cleanly with 1006"):
            ws.receive()


def site_app() -> WebSocketEmulation:
    return WebSocketEmulation(Site().app)
