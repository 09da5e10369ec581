"""A pytest plugin: `pytest_plugins = ["emulation.testing.plugin"]` in the topmost conftest.py."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager

import pytest

from emulation.testing import TRANSPORTS, WebSocket, blocking, connect

__all__ = ["blocking_websocket", "emulated_websocket"]


@pytest.fixture(params=TRANSPORTS)
def emulated_websocket(
    request: pytest.FixtureRequest,
) -> Callable[..., AbstractAsyncContextManager[WebSocket]]:
    """Run the test once over each transport: this is `connect` with its transport chosen."""
    return functools.partial(connect, transport=request.param)


@pytest.fixture(params=TRANSPORTS)
def blocking_websocket(
    request: pytest.FixtureRequest,
) -> Callable[..., AbstractContextManager[blocking.BlockingWebSocket]]:
    """Do the same for a test that is a plain function: this is `blocking.connect`."""
    return functools.partial(blocking.connect, transport=request.param)
