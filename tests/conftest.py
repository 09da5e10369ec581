"""Options, marks and order that hold for every test."""

import fcntl
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

# Before any folder's own conftest.py imports them.
pytest.register_assert_rewrite("tests.hostile.talks", "tests.proxies.talks")

_LOCK = pytest.StashKey[Path]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run the tests marked `full` too")
    parser.addoption(
        "--second-attempt",
        action="store_true",
        help="try a failed test that drives a real browser once more, and report both",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Agree with the other workers of this run on one lock."""
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        config.stash[_LOCK] = Path(worker["lock"])
        return
    directory = tempfile.TemporaryDirectory(prefix="emulation-tests-")
    config.add_cleanup(directory.cleanup)
    config.stash[_LOCK] = Path(directory.name, "lock")
    config.stash[_LOCK].touch()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["lock"] = str(node.config.stash[_LOCK])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--full"):
        full = [item for item in items if item.get_closest_marker("full")]
        items[:] = [item for item in items if not item.get_closest_marker("full")]
        config.hook.pytest_deselected(items=full)
    if config.getoption("--second-attempt"):
        for item in items:
            if item.get_closest_marker("browser"):
                item.add_marker(pytest.mark.flaky(reruns=1))
    items.sort(key=_is_alone)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let a test marked `alone` wait for those of the other workers, and hold them up.

    The wait comes before the test's own time limit begins.
    """
    with item.config.stash[_LOCK].open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if _is_alone(item) else fcntl.LOCK_SH)
        return (yield)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show what went wrong in a first attempt: it is no less a defect for the second's success."""
    for report in terminalreporter.stats.get("rerun", ()):
        terminalreporter.section(f"first attempt of {report.nodeid}", sep="_", red=True)
        terminalreporter.line(report.longreprtext)
        for title, content in report.sections:
            terminalreporter.section(title, sep="-")
            terminalreporter.line(content)


def _is_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run `async def` tests on asyncio, as the servers do."""
    return "asyncio"
