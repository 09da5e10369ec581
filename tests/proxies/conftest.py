from tests.support.fixtures import pytest_runtest_makereport, pytest_runtest_setup, servers

__all__ = ["pytest_runtest_makereport", "pytest_runtest_setup", "servers"]
