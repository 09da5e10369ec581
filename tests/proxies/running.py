"""Run a proxy as a private process, with all that it writes in a directory of its own."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.proxies.programs import environment, executable
from tests.support.servers import ROOT, end_with_parent

__all__ = ["Kind", "Proxy", "Site", "fill", "running"]

DEPLOYED = ROOT / "deploy" / "proxies"
_START_TIMEOUT = 20.0
_STOP_TIMEOUT = 10.0
_GRACE = 5.0
_STARTS = 3


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where a proxy stands; `idle` is how many seconds it waits for silent peers."""

    directory: Path
    port: int
    servers: Sequence[int]
    certificate: Path | None
    idle: int

    def write(self, name: str, text: str) -> str:
        """Write a file of the proxy's and return its path."""
        path = self.directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return str(path)

    @property
    def server(self) -> int:
        return self.servers[0]


@dataclass(frozen=True)
class Kind:
    """A proxy in one configuration; `configure` writes it and returns the command's arguments.

    `reload` is what makes it read the configuration anew: a signal, commands, or None where only a
    restart does.
    """

    program: str
    configure: Callable[[Site], Sequence[str]]
    reload: signal.Signals | Callable[[Site], Sequence[Sequence[str]]] | None = None
    needs: Sequence[str] = ()
    variables: Callable[[Site], Mapping[str, str]] = lambda site: {}


@dataclass
class Proxy:
    """A running proxy."""

    kind: Kind
    site: Site
    process: subprocess.Popen[bytes]
    scheme: str = field(init=False)

    def __post_init__(self) -> None:
        self.scheme = "http" if self.site.certificate is None else "https"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.site.port}"

    def reload(self) -> None:
        """Let the proxy read its configuration anew, as an administrator does."""
        how = self.kind.reload
        if how is None:
            _stop(self.process)
            self.process = _launch(self.kind, self.site)
            _wait_until_ready(self)
        elif isinstance(how, signal.Signals):
            self.process.send_signal(how)
        else:
            for command in how(self.site):
                _run(self.kind, self.site, command)

    def log(self) -> str:
        """Return what the proxy has written."""
        logs = sorted(self.site.directory.rglob("*.log"))
        return "\n".join(f"{log.name}:\n{log.read_text(errors='replace')}" for log in logs)


def fill(name: str, values: Mapping[str, object]) -> str:
    """Return a file of deploy/proxies with other values in the place of the ones that it has.

    Raises AssertionError when it does not have one of them.
    """
    text = (DEPLOYED / name).read_text()
    for old in values:
        assert re.search(rf"(?<!\w){re.escape(old)}(?!\w)", text), f"{name} has no {old}"
    either = "|".join(rf"(?<!\w){re.escape(old)}(?!\w)" for old in values)
    return re.sub(either, lambda found: str(values[found[0]]), text)


@contextlib.contextmanager
def running(
    kind: Kind, servers: Sequence[int], *, certificate: Path | None = None, idle: int = 60
) -> Iterator[Proxy]:
    """Run a proxy in front of the servers on these ports of 127.0.0.1, or skip the test.

    Its logs are printed at the end, for a test that fails.
    """
    for program in (kind.program, *kind.needs):
        if executable(program) is None:
            pytest.skip(f"{program} is not here: run scripts/proxies, with Debian's packages")
    with tempfile.TemporaryDirectory(prefix=f"{kind.program}-") as directory:
        # Some give root's rights away before they write.
        os.chmod(directory, 0o777)
        proxy = _start(kind, servers, certificate, idle, Path(directory))
        try:
            yield proxy
        finally:
            _stop(proxy.process)
            print(proxy.log())


def _start(
    kind: Kind, servers: Sequence[int], certificate: Path | None, idle: int, directory: Path
) -> Proxy:
    for attempt in range(1, _STARTS + 1):
        site = Site(
            directory=directory,
            port=_free_port(),
            servers=servers,
            certificate=certificate,
            idle=idle,
        )
        proxy = Proxy(kind, site, _launch(kind, site))
        try:
            _wait_until_ready(proxy)
        except (RuntimeError, TimeoutError):
            _stop(proxy.process)
            # Between our look and its start somebody else may have taken the port.
            if attempt == _STARTS:
                raise
        except BaseException:
            _stop(proxy.process)
            raise
        else:
            return proxy
    raise AssertionError


def _launch(kind: Kind, site: Site) -> subprocess.Popen[bytes]:
    program = executable(kind.program)
    assert program is not None
    arguments = kind.configure(site)
    with open(site.directory / "output.log", "ab") as output:
        return subprocess.Popen(
            [*end_with_parent(), program, *arguments],
            cwd=site.directory,
            env={**environment(), **kind.variables(site)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _run(kind: Kind, site: Site, command: Sequence[str]) -> None:
    program = executable(command[0])
    assert program is not None
    variables = {**environment(), **kind.variables(site)}
    subprocess.run([program, *command[1:]], env=variables, check=True, timeout=_START_TIMEOUT)


def _wait_until_ready(proxy: Proxy) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    while not _is_ready(proxy):
        if proxy.process.poll() is not None:
            raise RuntimeError(f"{proxy.kind.program} did not start\n{proxy.log()}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"{proxy.kind.program} did not answer\n{proxy.log()}")
        time.sleep(0.05)


def _is_ready(proxy: Proxy) -> bool:
    """Tell whether somebody listens and, where it is to be seen without TLS, speaks HTTP."""
    request = b"HEAD /starts HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection(("127.0.0.1", proxy.site.port), timeout=5) as connection:
            if proxy.site.certificate is not None:
                return True
            connection.sendall(request)
            return connection.recv(5) == b"HTTP/"
    except OSError:
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    # Some wait for their clients, and then take away what they share with nobody any more.
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(_STOP_TIMEOUT)


def _free_port() -> int:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port: int = holder.getsockname()[1]
        return port
