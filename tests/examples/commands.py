"""Commands of the examples and of the README, run as a reader would run them."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.support.servers import ROOT, end_with_parent

START_TIMEOUT = 30.0
STOP_TIMEOUT = 10.0
ADDRESS = re.compile(r"http://127\.0\.0\.1:[1-9][0-9]*")


class Command:
    """A running command; `url` is the address that it has printed, without a trailing slash."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log
        self.url = ""

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def interrupt(self) -> int:
        """Press Ctrl-C and return the exit status. Raises `TimeoutExpired`."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(STOP_TIMEOUT)


@contextlib.contextmanager
def running(
    arguments: Sequence[str],
    *,
    directory: Path = ROOT,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Command]:
    """Run `python -m` with these arguments; what it printed is shown when the block fails."""
    with tempfile.NamedTemporaryFile(prefix="example-") as output:
        process = subprocess.Popen(
            [*end_with_parent(), sys.executable, "-m", *arguments],
            cwd=directory,
            env={**os.environ, **(environment or {}), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        command = Command(process, Path(output.name))
        try:
            command.url = address(command)
            yield command
        except BaseException:
            print(command.log())
            raise
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(STOP_TIMEOUT)


def address(command: Command) -> str:
    """Wait for the address that a server prints when it listens. Raises `TimeoutError`."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if found := ADDRESS.search(command.log()):
            return found[0]
        if command.process.poll() is not None:
            raise RuntimeError(f"{command.process.args!r} ended with {command.process.returncode}")
        time.sleep(0.02)
    raise TimeoutError(f"{command.process.args!r} printed no address")
