from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.gateway import processes
from tests.npm.conftest import (
    archive,
    browser,
    installed,
    pytest_runtest_makereport,
    pytest_runtest_setup,
    servers,
)
from tests.support.package import run

__all__ = [
    "archive",
    "browser",
    "installed",
    "pytest_runtest_makereport",
    "pytest_runtest_setup",
    "servers",
]

NPM = Path(__file__).parents[1] / "npm"


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a script for a page with the libraries as they are published."""
    output = tmp_path_factory.mktemp("libraries") / "libraries.js"
    entry = Path(__file__).parent / "scenarios.js"
    run(["node", NPM / "bundle.mjs", "esbuild", entry, output], NPM)
    return output


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URL of a gateway before an MQTT broker."""
    with ExitStack() as stack:
        backend = stack.enter_context(processes.nats(tmp_path_factory.mktemp("nats")))
        front, _ = stack.enter_context(processes.gateway("--route", f"/mqtt={backend}"))
        yield front
