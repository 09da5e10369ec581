"""The library around an ordinary ASGI echo.

A message that begins with F goes to everybody; one that begins with B and a number comes back so
many times. /state tells what is in memory.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
from typing import Any

from emulation import Config, WebSocketEmulation

_everybody: set[Any] = set()


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Send every message back."""
    if scope["type"] == "http":
        await _state(send)
        return
    await receive()
    await send({"type": "websocket.accept"})
    _everybody.add(send)
    try:
        while True:
            event = await receive()
            if event["type"] != "websocket.receive":
                return
            answer = {"type": "websocket.send", "text": event["text"]}
            if event["text"][0] == "F":
                for one in list(_everybody):
                    await one(answer)
                continue
            for _ in range(int(event["text"][1:]) if event["text"][0] == "B" else 1):
                await send(answer)
    finally:
        _everybody.discard(send)


async def _state(send: Any) -> None:
    for _ in range(3):
        gc.collect()
    found = gc.get_objects()
    state = {
        "tasks": len(asyncio.all_tasks()),
        "futures": sum(isinstance(one, asyncio.Future) for one in found),
        "objects": len(found),
        "sessions": len(_everybody),
    }
    del found
    body = json.dumps(state).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


# Who opens thousands of sessions a second, and leaves them, is over the default limits at once.
# With BRIEF, who is lost is forgotten within seconds.
_times: dict[str, Any] = {}
if "BRIEF" in os.environ:
    _times = {"heartbeat": 8, "poll_time": 10, "resume_time": 4, "nonce_time": 4}
elif "HEARTBEAT" in os.environ:
    _times = dict.fromkeys(("heartbeat", "poll_time"), float(os.environ["HEARTBEAT"]))
app = WebSocketEmulation(
    echo,
    config=Config(max_sessions=500_000, max_carriers=500_000, **_times),
)
