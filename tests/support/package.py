"""The package for npm, packed as it would be published and installed into folders of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.support.servers import ROOT

CLIENT = ROOT / "client_js"
NODE_MODULES = ROOT / "tests" / "npm" / "node_modules"
NAME = "websocket-emulation"


def run(command: list[str | Path], directory: Path, timeout: float = 100) -> str:
    """Run a program of Node's and return what it printed. Fails with it, where that failed."""
    result = subprocess.run(
        command,
        cwd=directory,
        env={**os.environ, "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
    )
    assert result.returncode == 0, f"{command} ended with {result.returncode}:\n{result.stdout}"
    return result.stdout


def pack(directory: Path) -> Path:
    """Pack the client into `directory` and return the archive.

    It is built in a copy, for other tests use client_js at the same time.
    """
    copy = directory / "client_js"
    shutil.copytree(CLIENT, copy, ignore=shutil.ignore_patterns("node_modules", "dist"))
    (copy / "node_modules").symlink_to(CLIENT / "node_modules")
    run(["npm", "pack", "--silent", "--pack-destination", directory], copy)
    [archive] = directory.glob("*.tgz")
    return archive


def install(archive: Path, directory: Path, *libraries: str) -> Path:
    """Install the package into `directory`, and beside it packages of tests/npm."""
    (directory / "package.json").write_text('{"private": true}')
    run(["npm", "install", "--offline", "--no-audit", "--no-fund", "--silent", archive], directory)
    for library in libraries:
        (directory / "node_modules" / library).symlink_to(NODE_MODULES / library)
    return directory
