"""The plugin as docs/testing.md says to use it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from emulation.testing import TRANSPORTS

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]

CONFTEST = """
pytest_plugins = ["emulation.testing.plugin"]
"""

TESTS = """
from fastapi import FastAPI, WebSocket
from emulation import WebSocketEmulation

app = FastAPI()
app.add_middleware(WebSocketEmulation)

@app.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)

async def test_echo(emulated_websocket):
    async with emulated_websocket("/echo", app=app) as ws:
        await ws.send("hello")
        assert await ws.receive() == "hello"

def test_blocking_echo(blocking_websocket):
    with blocking_websocket("/echo", app=app) as ws:
        ws.send("hello")
        assert ws.receive() == "hello"
"""


def test_fixtures_run_a_test_over_each_transport(tmp_path: Path) -> None:
    tmp_path.joinpath("conftest.py").write_text(CONFTEST)
    tmp_path.joinpath("test_mine.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"]
    result = subprocess.run(
        [*command, "-o", "anyio_mode=auto", "-o", f"pythonpath={ROOT}", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert f"{2 * len(TRANSPORTS)} passed" in result.stdout, result.stdout + result.stderr


def test_missing_packages_are_named() -> None:
    """Who installs the library without its extra has this module, too."""
    program = "import sys; sys.modules['h11'] = None; import emulation.testing"
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert "pip install 'websocket-emulation[testing]'" in ended.stderr.splitlines()[-1]
