"""Start servers and the load, each on a core of its own, and stop them."""

from __future__ import annotations

import hashlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import venv
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "benchmarks"
BUILD = ROOT / ".build" / "bench"
PYTHON = str(BUILD / "venv" / "bin" / "python")
NODE = BUILD / "node"
LOAD = BUILD / "load"

# With what the library depends on, for its wheel is installed without.
PACKAGES = ("uvicorn[standard]", "websockets", "starlette", "sse-starlette")
PEER_PACKAGES = ("python-engineio", "aiohttp", "sockjs", "playwright")
NODE_PACKAGES = ("engine.io", "sockjs", "engine.io-client", "sockjs-client")

COMMANDS = {
    "ours": [PYTHON, "serve.py", "ours"],
    "ours, pure": [PYTHON, "serve.py", "ours"],
    "limit": [PYTHON, "serve.py", "limit"],
    "python-engineio": [PYTHON, "serve.py", "python_engineio"],
    "sockjs (aiohttp)": [PYTHON, "python_sockjs.py"],
    "engine.io (Node)": ["node", "engine_io.js"],
    "sockjs (Node)": ["node", "sockjs.js"],
}

# The sources are found before the wheel, whose parts are compiled.
ENVIRONMENTS = {"ours, pure": {"PYTHONPATH": str(ROOT)}}

# How long a sample may take at most, opening of its sessions included (seconds).
_SAMPLE_SECONDS = 60
_STEP_SECONDS = 110
_START_SECONDS = 20


class Contender(NamedTuple):
    """A server, and the protocol that the load speaks with it."""

    server: str
    protocol: str


def environment(*, with_peers: bool) -> None:
    """Install and compile what is needed into .build/bench."""
    BUILD.mkdir(parents=True, exist_ok=True)
    if not Path(PYTHON).exists():
        venv.create(BUILD / "venv", with_pip=True)
    pip = [PYTHON, "-m", "pip", "install", "-q"]
    packages = [*PACKAGES, *(PEER_PACKAGES if with_peers else ())]
    _once(packages, "pip", [*pip, *packages])
    # As it is published, see hatch_build.py; it takes about a minute.
    compiled = {"HATCH_BUILD_HOOK_ENABLE_CUSTOM": "1"}
    _once([_sources()], "ours", [*pip, "--force-reinstall", "--no-deps", str(ROOT)], **compiled)
    if with_peers:
        NODE.mkdir(exist_ok=True)
        command = ["npm", "install", "--prefix", str(NODE), "--no-audit", "--no-fund", "--silent"]
        _once(NODE_PACKAGES, "npm", [*command, *NODE_PACKAGES])
    source = HERE / "load.c"
    if not LOAD.exists() or LOAD.stat().st_mtime < source.stat().st_mtime:
        subprocess.run(["gcc", "-O2", "-Wall", "-o", str(LOAD), str(source)], check=True)


def _once(packages: Any, name: str, command: list[str], **environ: str) -> None:
    stamp = BUILD / f"{name}.stamp"
    installed = set(stamp.read_text().split()) if stamp.exists() else set()
    if not set(packages) <= installed:
        subprocess.run(command, check=True, env={**os.environ, **environ})
        stamp.write_text("\n".join(packages))


def _sources() -> str:
    """Return what changes when the library or its build does."""
    found = hashlib.sha256()
    build = [ROOT / "pyproject.toml", ROOT / "hatch_build.py"]
    for path in [*sorted((ROOT / "emulation").rglob("*.py")), *build]:
        found.update(path.read_bytes())
    return found.hexdigest()


class Server:
    """One server on the first core; what it logs goes to .build/bench/<name>.log."""

    def __init__(self, name: str, **environ: str) -> None:
        self.name = name
        self._environ = environ

    def __enter__(self) -> Server:
        self.port = _free_port()
        with (BUILD / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*COMMANDS[self.name], str(self.port)],
                cwd=HERE / "servers",
                env={
                    **os.environ,
                    "NODE_PATH": str(NODE / "node_modules"),
                    **ENVIRONMENTS.get(self.name, {}),
                    **self._environ,
                },
                stdout=log,
                stderr=log,
                preexec_fn=lambda: os.sched_setaffinity(0, {_cores()[0]}),
            )
        self.pid = self._process.pid
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise RuntimeError(f"{self.name} does not start; see {BUILD}/{self.name}.log")
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def memory(self) -> int:
        """Return the KiB that the server has in memory."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise RuntimeError(f"{self.name} is gone")

    def state(self) -> dict[str, int]:
        """Return what ours has in memory after a collection."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/state", timeout=30) as answer:
            found: dict[str, int] = json.load(answer)
            return found


class Clients:
    """The load, which keeps its sessions with a server from step to step."""

    def __init__(self, server: Server, protocol: str) -> None:
        self._name = f"{server.name}, {protocol}"
        self._command = [str(LOAD), protocol, str(server.port), str(server.pid), "steps"]

    def __enter__(self) -> Clients:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {_cores()[-1]}),
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def do(self, step: str) -> dict[str, Any]:
        """Do a step: see load.c."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{step}\n")
        self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], _STEP_SECONDS)[0]:
            raise RuntimeError(f"{self._name}: a step took too long")
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._name}: the load has ended")
        found: dict[str, Any] = json.loads(line)
        return found


def load(server: Server, protocol: str, *arguments: str) -> dict[str, Any] | None:
    """Take one sample with the load on the last core; None where the server failed."""
    command = [str(LOAD), protocol, str(server.port), str(server.pid), *arguments]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_SAMPLE_SECONDS,
            preexec_fn=lambda: os.sched_setaffinity(0, {_cores()[-1]}),
        )
    except subprocess.TimeoutExpired:
        print(f"{server.name}: {protocol} took too long", file=sys.stderr)
        return None
    if done.returncode:
        print(f"{server.name}: {done.stderr.strip()[:200]}", file=sys.stderr)
        return None
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _cores() -> list[int]:
    return sorted(range(os.cpu_count() or 1))


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
