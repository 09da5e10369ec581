"""A certificate for the servers of pages that need one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.proxies import authority
from tests.support.fixtures import (
    browser,
    pytest_runtest_makereport,
    pytest_runtest_setup,
    servers,
)

__all__ = ["browser", "pytest_runtest_makereport", "pytest_runtest_setup", "servers"]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a certificate of 127.0.0.1, beside its key."""
    return authority.found(tmp_path_factory.mktemp("authority")).certificate
