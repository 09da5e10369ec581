from pathlib import Path

import pytest

from tests.support import package
from tests.support.fixtures import (
    browser,
    pytest_runtest_makereport,
    pytest_runtest_setup,
    servers,
)

__all__ = ["browser", "pytest_runtest_makereport", "pytest_runtest_setup", "servers"]


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the package for npm as it is published."""
    return package.pack(tmp_path_factory.mktemp("pack"))


@pytest.fixture(scope="session")
def installed(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder into which the package is installed, and graphql-ws."""
    return package.install(archive, tmp_path_factory.mktemp("installed"), "graphql-ws", "graphql")
