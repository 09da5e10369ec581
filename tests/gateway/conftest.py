from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.gateway import processes
from tests.support.fixtures import pytest_runtest_makereport, pytest_runtest_setup, servers

__all__ = ["pytest_runtest_makereport", "pytest_runtest_setup", "servers"]

Backend = Callable[[str], tuple[str, str]]


@pytest.fixture(scope="session")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """Return a function that starts a backend by its language, with a gateway in front, once.

    It returns the base URLs of the gateway and of the backend.
    """
    started: dict[str, tuple[str, str]] = {}
    with ExitStack() as stack:

        def start(kind: str) -> str:
            if kind == "python":
                return stack.enter_context(processes.python("tests.gateway.websockets_backend"))
            if kind == "node":
                return stack.enter_context(
                    processes.node(Path(__file__).parent / "node_backend.js")
                )
            if kind == "go":
                return stack.enter_context(processes.nats(tmp_path_factory.mktemp("nats")))
            return stack.enter_context(processes.libwebsockets())

        def get(kind: str) -> tuple[str, str]:
            if kind not in started:
                url = start(kind)
                front, _ = stack.enter_context(
                    processes.gateway(url.replace("http:", "ws:"), "--pass-host", "--origin", "*")
                )
                started[kind] = front, url
            return started[kind]

        yield get
