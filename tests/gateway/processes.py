"""Gateways and backends, each a process of its own on a free port of 127.0.0.1."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.support.servers import ROOT, end_with_parent

HERE = Path(__file__).parent
SEARCH = {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "server")))}
START_TIMEOUT = 30.0
STOP_TIMEOUT = 10.0

NATS = """
host: "127.0.0.1"
port: -1
server_name: gateway-tests
jetstream {{ store_dir: "{directory}" }}
mqtt {{ host: "127.0.0.1", port: -1 }}
websocket {{ host: "127.0.0.1", port: -1, no_tls: true }}
"""


class Process:
    """A running command and what it has printed."""

    def __init__(self, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.popen = popen
        self._log = log

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait until the log has the pattern. Raises `TimeoutError` or `RuntimeError`."""
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if found := re.search(pattern, self.log()):
                return found
            if self.popen.poll() is not None:
                raise RuntimeError(f"{self.popen.args!r} has ended\n{self.log()}")
            time.sleep(0.02)
        raise TimeoutError(f"{self.popen.args!r} did not print {pattern!r}\n{self.log()}")

    def end(self) -> int:
        """Ask the process to end and return its status. Raises `TimeoutExpired`."""
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(STOP_TIMEOUT)


@contextlib.contextmanager
def running(
    command: Sequence[str], environment: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """Run a command; what it printed is shown when the block fails."""
    with tempfile.NamedTemporaryFile(prefix="gateway-") as output:
        popen = subprocess.Popen(
            [*end_with_parent(), *command],
            cwd=ROOT,
            env={**os.environ, **(environment or {}), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        process = Process(popen, Path(output.name))
        try:
            yield process
        except BaseException:
            print(process.log())
            raise
        finally:
            if popen.poll() is None:
                popen.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    popen.wait(STOP_TIMEOUT)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(popen.pid, signal.SIGKILL)
            popen.wait(STOP_TIMEOUT)


def command(*arguments: str) -> list[str]:
    """Return the command `websocket-emulation` with these arguments."""
    return [sys.executable, "-m", "emulation_server", *arguments]


@contextlib.contextmanager
def gateway(
    *arguments: str, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[str, Process]]:
    """Run `websocket-emulation serve` with these arguments; yield its base URL too."""
    with running(
        command("serve", "--port", "0", *arguments), {**SEARCH, **(environment or {})}
    ) as process:
        found = process.wait_for(r"running on (https?://127\.0\.0\.1:[0-9]+)")
        yield found[1], process


@contextlib.contextmanager
def lab(mode: str, to: str, *arguments: str) -> Iterator[tuple[str, Process]]:
    """Run `websocket-emulation lab`; yield its URL too."""
    words = command("lab", mode, "--to", to, "--port", "0", *arguments)
    with running(words, SEARCH) as process:
        yield process.wait_for(r"listening on (http://127\.0\.0\.1:[0-9]+)")[1], process


@contextlib.contextmanager
def node(script: Path) -> Iterator[str]:
    """Run a script with the packages of this folder; yield the URL that it prints."""
    with running(
        ["node", str(script)], {"NODE_PATH": str(HERE / "node_modules"), "PORT": "0"}
    ) as process:
        yield process.wait_for(r"http://(?:127\.0\.0\.1|localhost):[0-9]+")[0]


@contextlib.contextmanager
def python(module: str) -> Iterator[str]:
    """Run a module; yield the URL that it prints."""
    with running([sys.executable, "-m", module]) as process:
        yield process.wait_for(r"http://127\.0\.0\.1:[0-9]+")[0]


@contextlib.contextmanager
def nats(directory: Path) -> Iterator[str]:
    """Run Debian's nats-server with its WebSocket listener; yield the listener's URL."""
    configuration = directory / "nats.conf"
    configuration.write_text(NATS.format(directory=directory))
    with running([program("nats-server"), "-c", str(configuration)]) as process:
        found = process.wait_for(r"websocket clients on (ws://127\.0\.0\.1:[0-9]+)")
        process.wait_for("Server is ready")
        yield found[1]


@contextlib.contextmanager
def libwebsockets() -> Iterator[str]:
    """Run Debian's libwebsockets-test-server; yield its URL."""
    port = free_port()
    with running([program("libwebsockets-test-server"), "-p", str(port), "-i", "lo"]) as process:
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < deadline and process.popen.poll() is None, process.log()
                time.sleep(0.02)
        yield f"ws://127.0.0.1:{port}"


def program(name: str) -> str:
    """Return the path of a program of Debian's, or fail."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if found is None:
        pytest.fail(f"{name} is missing: run `scripts/setup test` first")
    return found


def free_port() -> int:
    """Return a port that was free a moment ago, for programs that cannot choose one."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
