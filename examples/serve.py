"""How every example is served: on the port that is asked for, or on the next free one."""

from __future__ import annotations

import argparse
import errno
import socket
from typing import Any

import uvicorn

HOST = "127.0.0.1"
TRIES = 100
# A server waits so long for its connections when it is asked to end.
GRACEFUL_SHUTDOWN = 2


def serve(application: Any, what: str, **options: Any) -> None:
    """Run `application` until Ctrl-C, and print what to open; `options` are uvicorn's."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--port", type=int, default=8000, help="default: 8000; 0: any free one")
    wanted = parser.parse_args().port
    with listen(wanted) as listener:
        port = listener.getsockname()[1]
        if wanted not in (0, port):
            print(f"Port {wanted} is taken: this is port {port}.")
        print(f"{what}\n\n    Open http://{HOST}:{port}/\n\nCtrl-C ends it.", flush=True)
        config = uvicorn.Config(
            application,
            log_level="warning",
            timeout_graceful_shutdown=GRACEFUL_SHUTDOWN,
            **options,
        )
        try:
            uvicorn.Server(config).run(sockets=[listener])
        except KeyboardInterrupt:  # uvicorn has shut down, and passes the signal on
            print("\nEnded.")


def listen(port: int) -> socket.socket:
    """Bind `port`, or the first free one above it. Raises `OSError` when there is none."""
    candidates = range(port, min(port + TRIES, 65536)) if port else [0]
    for candidate in candidates:
        # IPPROTO_TCP by name: only then does asyncio set TCP_NODELAY on what is accepted.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, candidate))
            listener.listen()
        except OSError as exception:
            listener.close()
            if exception.errno != errno.EADDRINUSE:
                raise
        else:
            return listener
    raise OSError(errno.EADDRINUSE, f"no free port from {port} on")
