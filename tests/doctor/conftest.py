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
