"""The files in deploy/, as far as they can be checked without a container or an init system."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from emulation_server.cli import app
from emulation_server.settings import read_file
from tests.support.servers import ROOT

DEPLOY = ROOT / "deploy"


def flags() -> dict[str, bool]:
    """Return the flags by name, and whether each is repeatable."""
    serve = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    return {parameter.name: getattr(parameter, "multiple", False) for parameter in serve.params}


def test_settings_are_known() -> None:
    settings = read_file(DEPLOY / "websocket-emulation.toml", flags())
    assert settings["target"] == "ws://127.0.0.1:9000"


@pytest.mark.parametrize("name", ["Dockerfile", "compose.yaml", "websocket-emulation.service"])
def test_variables_are_known(name: str) -> None:
    named = re.findall("WEBSOCKET_EMULATION_([A-Z_]+)", (DEPLOY / name).read_text())
    assert {variable.lower() for variable in named} <= set(flags())


def test_dockerfile_copies_what_is_there_and_needed() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    copied = {
        word for line in re.findall(r"^COPY (?!--)(.*) \S+$", text, re.M) for word in line.split()
    }
    admitted = set(re.findall("^!(.*)$", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.M))
    assert copied == admitted
    assert all((ROOT / name).exists() for name in copied)
    # The build needs what pyproject.toml names.
    assert {"README.md", "LICENSE", "emulation", "server"} <= copied
    assert re.search(r"^USER (?!root|0$)", text, re.M)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd")
def test_unit_is_valid(tmp_path: Path) -> None:
    unit = tmp_path / "websocket-emulation.service"
    text = (DEPLOY / unit.name).read_text()
    program = "/opt/websocket-emulation/bin/websocket-emulation"
    assert program in text
    unit.write_text(text.replace(program, sys.executable))
    result = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
