from collections.abc import AsyncIterator

import pytest

from tests.session.stage import Played, Served, neighbour, serving
from tests.support.fixtures import (
    pytest_runtest_makereport,
    pytest_runtest_setup,
    servers,
)

__all__ = ["pytest_runtest_makereport", "pytest_runtest_setup", "servers"]

pytest.register_assert_rewrite("tests.conformance.scenarios")


@pytest.fixture(scope="module")
async def served() -> AsyncIterator[Served]:
    async with serving(expected="Said once", open_answer_time=0.2) as running:
        yield running


@pytest.fixture
async def beside(served: Served) -> AsyncIterator[None]:
    """A session on the same server, which a test must not disturb."""
    async with neighbour(served):
        yield


@pytest.fixture
async def played(served: Served, form: str) -> AsyncIterator[Played]:
    """A page with an open socket at `/puppet`, in the form of the test's own, and its endpoint."""
    page = served.page("/puppet", form=form)
    endpoint = await served.play(page)
    yield page, endpoint
    endpoint.leave()
