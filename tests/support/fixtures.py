"""Fixtures and hooks that the folders of tests with real servers share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any

import pytest
from playwright.async_api import Browser

from tests.support.browser import chromium
from tests.support.servers import Server, Servers

_SERVERS = pytest.StashKey[Servers]()
_LOG_SIZES = pytest.StashKey[dict[Server, int]]()


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    """Yield the servers that the tests of this worker share."""
    shared = request.config.stash.setdefault(_SERVERS, Servers())
    yield shared
    shared.stop()


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Yield one Chromium for all tests of this worker."""
    async with chromium() as launched:
        yield launched


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    item.stash[_LOG_SIZES] = {server: server.log_size() for server in _servers(item)}
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what each server printed during a test that failed."""
    report = yield
    if report.failed:
        sizes = item.stash.get(_LOG_SIZES, {})
        for server in _servers(item):
            log = server.log(sizes.get(server, 0))
            if log:
                report.sections.append((f"{server.kind} of {server.application}", log))
    return report


def _servers(item: pytest.Item) -> list[Server]:
    shared = item.config.stash.get(_SERVERS, None)
    return shared.all() if shared else []
