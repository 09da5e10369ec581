"""The limit: what raw ASGI applications bring under the same server.

No sessions, no numbers, no acknowledgements, no checks: a native echo, a stream of events with
uploads beside it, and a long poll with uploads beside it. Messages in a body are separated by line
feeds.
"""

from __future__ import annotations

import asyncio
from typing import Any

_everybody: set[Any] = set()


class Mailbox:
    """What waits for one client."""

    __slots__ = ("messages", "waiter")

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.waiter: asyncio.Future[None] | None = None

    def put(self, messages: list[bytes]) -> None:
        """Add messages and wake who waits for them."""
        self.messages += messages
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    async def get(self) -> list[bytes]:
        """Wait for messages and return all there are."""
        while not self.messages:
            self.waiter = asyncio.get_running_loop().create_future()
            await self.waiter
        messages, self.messages = self.messages, []
        return messages


_mailboxes: dict[bytes, Mailbox] = {}

_STREAM = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Echo, in the way that the path asks for."""
    if scope["type"] == "websocket":
        await _native(receive, send)
    elif scope["path"] == "/send":
        await _send(scope["query_string"], receive, send)
    elif scope["path"] == "/poll":
        await _poll(scope["query_string"], send)
    elif scope["path"] == "/stream":
        await _stream(scope["query_string"], send)
    else:
        _mailboxes[scope["query_string"]] = Mailbox()
        await _empty(send)


async def _native(receive: Any, send: Any) -> None:
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


async def _empty(send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


async def _send(client: bytes, receive: Any, send: Any) -> None:
    pieces = []
    while True:
        event = await receive()
        if event["type"] != "http.request":
            return
        pieces.append(event["body"])
        if not event["more_body"]:
            break
    messages = b"".join(pieces).split(b"\n")
    if messages[0][:1] == b"F":
        for mailbox in _mailboxes.values():
            mailbox.put(messages)
    else:
        _mailboxes[client].put(messages)
    await _empty(send)


async def _poll(client: bytes, send: Any) -> None:
    body = b"\n".join(await _mailboxes[client].get())
    headers = [
        (b"content-type", b"application/octet-stream"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _stream(client: bytes, send: Any) -> None:
    mailbox = _mailboxes[client] = Mailbox()
    await send({"type": "http.response.start", "status": 200, "headers": list(_STREAM)})
    await send({"type": "http.response.body", "body": b":\n\n", "more_body": True})
    while True:
        body = b"".join(b"data: %s\n\n" % message for message in await mailbox.get())
        await send({"type": "http.response.body", "body": body, "more_body": True})
