from tests.support.fixtures import (
    browser,
    pytest_runtest_makereport,
    pytest_runtest_setup,
    servers,
)

__all__ = ["browser", "pytest_runtest_makereport", "pytest_runtest_setup", "servers"]
