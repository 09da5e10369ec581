"""nginx as it comes: `proxy_pass` and nothing else."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.servers import ROOT, answers, end_with_parent, reserved_port

__all__ = ["executable", "running_nginx"]

_UNPACKED = ROOT / ".build" / "proxies" / "usr" / "sbin" / "nginx"
_START_TIMEOUT = 10.0
_STOP_TIMEOUT = 5.0

# What stands outside of `server` only keeps nginx from the places of an installed one. The port is
# shared with the test that holds it until nginx has it.
_CONFIGURATION = """
{user}
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log warn;
events {{ }}
http {{
    access_log {directory}/access.log;
    client_body_temp_path {directory}/client-body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port} reuseport;
        location / {{
            proxy_pass {upstream};
        }}
    }}
}}
"""


def executable() -> str | None:
    """Return the path of nginx: the one that scripts/proxies has unpacked, or the machine's own."""
    if _UNPACKED.exists():
        return str(_UNPACKED)
    return shutil.which("nginx", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")


@contextlib.contextmanager
def running_nginx(nginx: str, upstream: str, directory: Path) -> Iterator[str]:
    """Run nginx in front of the base URL `upstream`, with its files in `directory`; yield its URL.

    Its logs are printed at the end, for a test that fails.
    """
    with reserved_port() as port:
        # A worker of root's is nobody's otherwise, and cannot read the directory.
        user = "user root;" if os.geteuid() == 0 else ""
        configuration = directory / "nginx.conf"
        configuration.write_text(
            _CONFIGURATION.format(user=user, directory=directory, port=port, upstream=upstream)
        )
        process = subprocess.Popen(
            [
                *end_with_parent(),
                *(nginx, "-p", str(directory), "-c", str(configuration)),
                *("-e", str(directory / "error.log"), "-g", "daemon off;"),
            ],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            _wait_until_answering(process, port, directory)
            yield f"http://127.0.0.1:{port}"
        finally:
            _stop(process)
            print(_log(directory))


def _wait_until_answering(process: subprocess.Popen[bytes], port: int, directory: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    while not answers(port):
        if process.poll() is not None:
            raise RuntimeError(f"nginx did not start\n{_log(directory)}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"nginx did not answer\n{_log(directory)}")
        time.sleep(0.02)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(_STOP_TIMEOUT)


def _log(directory: Path) -> str:
    logs = [directory / "error.log", directory / "access.log"]
    return "\n".join(log.read_text() for log in logs if log.exists())
