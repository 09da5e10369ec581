"""Serve one of the benchmark's ASGI applications; every one with the same options of uvicorn."""

from __future__ import annotations

import importlib
import os
import resource
import sys

import uvicorn


def main() -> None:
    """Serve the module named first on the port named second, until SIGTERM."""
    module, port = sys.argv[1:]
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    uvicorn.run(
        importlib.import_module(module).app,
        host="127.0.0.1",
        port=int(port),
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_ping_interval=float(os.environ.get("HEARTBEAT", 20)),
        lifespan="off",
        log_level="warning",
        access_log=False,
    )


if __name__ == "__main__":
    main()
