"""The public names: all are there, all are documented, and importing them costs little."""

import inspect
import subprocess
import sys
from pathlib import Path

import emulation

ROOT = Path(__file__).parent.parent


def test_exports_exist_and_have_docstrings() -> None:
    for name in emulation.__all__:
        value = getattr(emulation, name)
        if inspect.isclass(value) or inspect.isroutine(value):
            assert inspect.getdoc(value), f"emulation.{name} has no docstring"


def test_nothing_public_is_missing_from_the_exports() -> None:
    visible = {
        name
        for name, value in vars(emulation).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert visible <= set(emulation.__all__)


def test_import_leaves_the_servers_and_sse_starlette_alone() -> None:
    """sse_starlette patches uvicorn when it is imported: only the first `sse` request may do so."""
    program = (
        "import sys, emulation\n"
        "unwanted = {'sse_starlette', 'uvicorn', 'websockets', 'prometheus_client', 'typer'}\n"
        "sys.exit(', '.join(unwanted & set(sys.modules)) or 0)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, f"`import emulation` imported {result.stderr}"
