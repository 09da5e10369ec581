import pytest

from tests.proxies import authority as authorities
from tests.proxies.authority import Authority
from tests.support.faults import lab_before
from tests.support.fixtures import (
    browser,
    pytest_runtest_makereport,
    pytest_runtest_setup,
    servers,
)

__all__ = [
    "browser",
    "lab_before",
    "pytest_runtest_makereport",
    "pytest_runtest_setup",
    "servers",
]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Yield an authority and a server's certificate."""
    return authorities.found(tmp_path_factory.mktemp("authority"))
