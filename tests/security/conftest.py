from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser

from tests.support.browser import chromium
from tests.support.fixtures import pytest_runtest_makereport, pytest_runtest_setup

__all__ = ["pytest_runtest_makereport", "pytest_runtest_setup"]


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Yield a Chromium to which every name under .test is this machine's."""
    async with chromium("--host-resolver-rules=MAP *.test 127.0.0.1") as launched:
        yield launched
