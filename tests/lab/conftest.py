"""Put the tests of the laboratory in front of one server for each worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.origin import Origin, State
from tests.support.faults import lab_before as lab_before


@pytest.fixture(scope="session")
def _origin() -> Iterator[Origin]:
    origin = Origin()
    origin.start()
    yield origin
    origin.stop()


@pytest.fixture
def origin(_origin: Origin) -> Iterator[Origin]:
    """Return the server with nothing seen yet."""
    _origin.state = State()
    yield _origin
    print("requests that reached the server:", *_origin.state.seen, sep="\n")
