"""The tools that keep the source in order: each is a test of its own, so that they run in parallel.

What they say is repaired with `make format` and `make shim`.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CLIENT = ROOT / "client_js"
BIN = Path(sys.executable).parent
STATIC = ROOT / "emulation" / "static"

CHECKS = {
    "ruff format": (ROOT, ["ruff", "format", "--check", "."]),
    "ruff check": (ROOT, ["ruff", "check", "."]),
    "mypy": (ROOT, ["mypy"]),
    "import-linter": (ROOT, ["lint-imports", "--no-logo", "--no-cache"]),
    "eslint": (CLIENT, ["npx", "--no-install", "eslint", "--max-warnings", "0", "."]),
    "prettier": (CLIENT, ["npx", "--no-install", "prettier", "--check", "."]),
    "tsc": (CLIENT, ["npx", "--no-install", "tsc"]),
    "node --test": (CLIENT, ["npm", "run", "--silent", "test"]),
    "size": (CLIENT, ["npm", "run", "--silent", "size"]),
    "es5": (CLIENT, ["npm", "run", "--silent", "es5"]),
}


def run(directory: Path, command: list[str], **environment: str) -> None:
    """Run a tool of the virtual environment or of client_js; fail with all that it printed."""
    if directory == CLIENT and not (CLIENT / "node_modules").is_dir():
        pytest.fail("client_js/node_modules is missing: run `scripts/setup test` first")
    path = os.pathsep.join([str(BIN), os.environ.get("PATH", os.defpath)])
    result = subprocess.run(
        command,
        cwd=directory,
        env={**os.environ, "PATH": path, "NO_COLOR": "1", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=110,
    )
    if result.returncode:
        command_line = " ".join(command)
        pytest.fail(
            f"`{command_line}` in {directory.name}/ ended with {result.returncode}:\n\n"
            f"{result.stdout}",
            pytrace=False,
        )


@pytest.mark.parametrize("name", CHECKS)
def test_source_satisfies(name: str) -> None:
    directory, command = CHECKS[name]
    run(directory, command)


def test_built_shim_is_that_of_the_source(tmp_path: Path) -> None:
    run(CLIENT, ["npm", "run", "--silent", "build"], OUT_DIR=str(tmp_path))
    built = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    committed = {path.name: path.read_bytes() for path in STATIC.iterdir()}
    stale = sorted(name for name in built | committed if built.get(name) != committed.get(name))
    assert not stale, f"emulation/static/ is not what client_js/src builds: run `make shim` {stale}"


@pytest.mark.parametrize("directory", ["client_js", "tests/browser", "tests/gateway", "tests/npm"])
def test_lock_file_names_no_registry(directory: str) -> None:
    assert '"resolved"' not in (ROOT / directory / "package-lock.json").read_text()
