"""sockjs for aiohttp, on uvloop too."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from typing import Any

import sockjs
import uvloop
from aiohttp import web


async def handle(manager: Any, session: Any, message: Any) -> None:
    """Send it back, or to everybody."""
    if message.type is not sockjs.MsgType.MESSAGE:
        return
    if message.data[0] == "F":
        manager.broadcast(message.data)
    else:
        session.send(message.data)


def main() -> None:
    """Serve on the port named first, until SIGTERM."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    application = web.Application(client_max_size=64 * 1024 * 1024)
    heartbeat = float(os.environ.get("HEARTBEAT", 25))
    sockjs.add_endpoint(application, handle, name="echo", prefix="/echo", heartbeat_delay=heartbeat)
    web.run_app(application, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)


if __name__ == "__main__":
    main()
