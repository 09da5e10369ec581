"""The command, run in this process."""

from __future__ import annotations

import logging

from typer.testing import CliRunner, Result

from emulation_server.cli import app

__all__ = ["invoke"]


def invoke(*arguments: str) -> Result:
    """Run `websocket-emulation` with these arguments, and leave this process's logs as they were.

    The command sends all logs to its standard error, which is closed with its end.
    """
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        return CliRunner().invoke(app, arguments)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
