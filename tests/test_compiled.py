"""The compiled wheel does what the sources do (hatch_build.py).

Compiled modules are stricter about types at run time than Python is, and differ in what can be
inspected; so the tests of everything that has a compiled part run again, with the parts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TESTS = [
    "protocol",
    "session",
    "transports",
    "conformance",
    "fuzz",
    "integration/test_as_natively.py",
]

pytestmark = [pytest.mark.full, pytest.mark.alone, pytest.mark.timeout(1200)]


def run(directory: Path, *command: str, **environ: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=directory,
        env={**os.environ, **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1000,
    )
    assert done.returncode == 0, done.stdout[-20_000:]
    return done.stdout


def test_the_compiled_wheel_passes_the_same_tests(tmp_path: Path) -> None:
    build = ["build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(ROOT)]
    run(ROOT, *build, HATCH_BUILD_HOOK_ENABLE_CUSTOM="1")
    [wheel] = (tmp_path / "dist").glob("*.whl")
    assert "none-any" not in wheel.name
    copy = tmp_path / "copy"
    ignored = shutil.ignore_patterns("node_modules", "__pycache__", ".*", "*.so")
    shutil.copytree(ROOT, copy, ignore=ignored)
    with zipfile.ZipFile(wheel) as archive:
        parts = [name for name in archive.namelist() if name.endswith((".so", ".pyd"))]
        archive.extractall(copy, parts)
    path = os.pathsep.join([str(copy), str(copy / "server")])
    where = "import emulation.session, emulation.protocol.codec as codec; print(codec.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", where],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(found.stdout.strip()).suffix in (".so", ".pyd")
    tests = [f"tests/{name}" for name in TESTS]
    run(copy, "pytest", "-q", "-n", "auto", "--dist", "loadgroup", *tests, PYTHONPATH=path)
