from tests.support.fixtures import browser

__all__ = ["browser"]
