"""A pytest plugin: `pytest_plugins = ["emulation.testing.plugin"]` in the topmost conftest.py."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from emulation.testing import TRANSPORTS, WebSocket, connect

__all__ = ["emulated_websocket"]


@pytest.fixture(params=TRANSPORTS)
def emulated_websocket(
    request: pytest.FixtureRequest,
) -> Callable[..., AbstractAsyncContextManager[WebSocket]]:
    """Run the test once over each transport: this is `connect` with its transport chosen."""
    return functools.partial(connect, transport=request.param)
