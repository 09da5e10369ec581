"""Where the proxies are: unpacked by scripts/proxies, or installed on the machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.support.servers import ROOT

__all__ = ["environment", "executable", "packaged", "version"]

_UNPACKED = ROOT / ".build" / "proxies"
_LIBRARIES = (
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/aarch64-linux-gnu",
    "lib/x86_64-linux-gnu",
    "lib/aarch64-linux-gnu",
    "usr/lib/trafficserver",
)
_PATH = os.pathsep.join(
    [
        *(str(_UNPACKED / folder) for folder in ("usr/sbin", "usr/bin", "mitmproxy/bin")),
        os.environ["PATH"],
        "/usr/sbin",
    ]
)
_VERSION_OPTIONS = {"traffic_server": "-V", "mitmdump": "--version", "privoxy": "--version"}


def executable(program: str) -> str | None:
    """Return the path of a proxy's program, None where there is none."""
    return shutil.which(program, path=_PATH)


def packaged(path: str) -> Path:
    """Return a file or folder of a package, by its path on a machine that has it installed."""
    unpacked = _UNPACKED / path
    return unpacked if unpacked.exists() else Path("/", path)


def environment() -> dict[str, str]:
    """Return the environment in which a program that is not installed finds its libraries."""
    libraries = os.pathsep.join(str(_UNPACKED / folder) for folder in _LIBRARIES)
    return {**os.environ, "LD_LIBRARY_PATH": libraries}


def version(program: str) -> str:
    """Return what the program says of its version."""
    path = executable(program)
    assert path is not None
    told = subprocess.run(
        [path, _VERSION_OPTIONS.get(program, "-V" if program == "varnishd" else "-v")],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    found = re.search(r"\d+\.\d+(\.\d+)?", told.stdout)
    assert found, told.stdout
    return found[0]
