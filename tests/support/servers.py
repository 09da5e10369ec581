"""Real servers in processes of their own, on free ports of 127.0.0.1."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]
START_TIMEOUT = 30.0
STOP_TIMEOUT = 10.0
GRACEFUL_SHUTDOWN = 2
SIGNS_OF_NEGLECT = ("Task was destroyed", "never awaited", "never retrieved")
TRACEBACK = "Traceback (most recent call last)"


@dataclass(eq=False)
class Server:
    """A running server; `url` is its base without a trailing slash."""

    kind: str
    application: str
    process: subprocess.Popen[bytes]
    output: IO[bytes]
    port: int = 0
    scheme: str = "http"
    status: int | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def log(self, start: int = 0) -> str:
        """Return what the server has printed, from byte `start` on."""
        return Path(self.output.name).read_bytes()[start:].decode(errors="replace")

    def log_size(self) -> int:
        return os.stat(self.output.name).st_size

    def stop(self, sent: signal.Signals = signal.SIGTERM, timeout: float = STOP_TIMEOUT) -> float:
        """End the server and return the seconds it took. Raises `TimeoutError`."""
        started = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(sent)
        try:
            self.status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            message = f"{self.kind} outlived {sent.name} by {timeout} s\n{self.log()}"
            raise TimeoutError(message) from None
        finally:
            self.kill()
        return time.monotonic() - started

    def kill(self) -> None:
        """End what is left of the server's process group, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(STOP_TIMEOUT)

    def close(self) -> None:
        """End the server at once and drop its log."""
        self.kill()
        self.output.close()

    def assert_ended_well(self, *signs: str) -> None:
        """Check that the stopped server ended of its own will and that its log has no `signs`."""
        log = self.log()
        assert self.status in (0, -signal.SIGTERM, -signal.SIGINT), (self.status, log)
        assert not any(sign in log for sign in (*SIGNS_OF_NEGLECT, *signs)), log


@contextlib.contextmanager
def running(
    application: str,
    kind: str = "uvicorn",
    *,
    environment: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
    certificate: Path | None = None,
) -> Iterator[Server]:
    """Serve `application` ("module:name") for the length of a with block."""
    server = start(
        application, kind, environment=environment, arguments=arguments, certificate=certificate
    )
    try:
        yield server
    finally:
        server.close()


def start(
    application: str,
    kind: str = "uvicorn",
    *,
    environment: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
    certificate: Path | None = None,
) -> Server:
    """Start a server and return it when it answers. The caller stops it.

    With a `certificate`, whose key is in a file beside it, it speaks TLS (not granian).
    """
    command = COMMANDS[kind]
    if certificate:
        prefix = "--ssl-" if kind.startswith("uvicorn") else "--"
        files = (f"{prefix}certfile", str(certificate), f"{prefix}keyfile", f"{certificate}.key")
        arguments = (*arguments, *files)
    output = tempfile.NamedTemporaryFile(prefix=f"{kind}-")
    with reserved_port() as port:
        process = subprocess.Popen(
            [*end_with_parent(), sys.executable, "-m", *command(application, port), *arguments],
            cwd=ROOT,
            env={**os.environ, **(environment or {}), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        scheme = "https" if certificate else "http"
        server = Server(kind, application, process, output, scheme=scheme)
        try:
            wait_until_answering(server, port if kind == "granian" else None)
        except BaseException:
            server.close()
            raise
    return server


def uvicorn(application: str, port: int) -> list[str]:
    # Not --fd: uvicorn opens such a socket as AF_UNIX, on which asyncio sets no TCP_NODELAY.
    graceful = ["--timeout-graceful-shutdown", str(GRACEFUL_SHUTDOWN)]
    return ["uvicorn", application, "--port", "0", "--no-access-log", *graceful]


def uvicorn_httptools(application: str, port: int) -> list[str]:
    return [*uvicorn(application, port), "--http", "httptools"]


def uvicorn_h11(application: str, port: int) -> list[str]:
    return [*uvicorn(application, port), "--http", "h11", "--loop", "asyncio"]


def hypercorn(application: str, port: int) -> list[str]:
    graceful = ["--graceful-timeout", str(GRACEFUL_SHUTDOWN)]
    return ["hypercorn", application, "--bind", "127.0.0.1:0", *graceful]


def granian(application: str, port: int) -> list[str]:
    graceful = ["--workers-kill-timeout", str(GRACEFUL_SHUTDOWN)]
    return ["granian", application, "--interface", "asgi", "--port", str(port), *graceful]


def daphne(application: str, port: int) -> list[str]:
    return ["daphne", "--port", "0", "--application-close-timeout", "10", application]


COMMANDS: dict[str, Callable[[str, int], list[str]]] = {
    "uvicorn": uvicorn_httptools,
    "uvicorn-h11": uvicorn_h11,
    "hypercorn": hypercorn,
    "granian": granian,
    "daphne": daphne,
}


@contextlib.contextmanager
def reserved_port() -> Iterator[int]:
    """Hold a free port that only a server with SO_REUSEPORT, as granian, can bind beside us."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def end_with_parent() -> list[str]:
    """Return a prefix that ends a command with us, even where we are killed."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []


def wait_until_answering(server: Server, port: int | None) -> None:
    """Learn the port, from the log where the server chose it, and wait for an answer."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise RuntimeError(f"{server.kind} did not start\n{server.log()}")
        server.port = port or announced_port(server.log())
        if server.port and answers(server):
            return
        time.sleep(0.02)
    raise TimeoutError(f"{server.kind} did not answer within {START_TIMEOUT} s\n{server.log()}")


def announced_port(log: str) -> int:
    found = re.search(r"(?:[Rr]unning on https?://|TCP address )127\.0\.0\.1:(\d+)", log)
    return int(found[1]) if found else 0


def answers(server: Server) -> bool:
    request = b"HEAD /starts HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    try:
        with contextlib.ExitStack() as stack:
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=5)
            stack.enter_context(connection)
            if server.scheme == "https":
                # It only has to answer: the browser of a test looks at the certificate.
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                connection = stack.enter_context(context.wrap_socket(connection))
            connection.sendall(request)
            return connection.recv(5) == b"HTTP/"
    except OSError:
        return False


class Servers:
    """Servers that tests share; each is started when it is first asked for."""

    def __init__(self) -> None:
        self._running: dict[tuple[object, ...], Server] = {}

    def get(
        self, application: str, kind: str = "uvicorn", environment: Mapping[str, str] | None = None
    ) -> Server:
        """Return the server of `application`, started if need be."""
        key = (application, kind, *sorted((environment or {}).items()))
        if key not in self._running:
            self._running[key] = start(application, kind, environment=environment)
        return self._running[key]

    def all(self) -> list[Server]:
        return list(self._running.values())

    def stop(self) -> None:
        """Stop them all, each in good order."""
        servers = self.all()
        self._running.clear()
        for server in servers:
            server.process.terminate()
        with contextlib.ExitStack() as stack:
            for server in servers:
                stack.callback(server.close)
                stack.callback(server.assert_ended_well)
                stack.callback(server.stop)
