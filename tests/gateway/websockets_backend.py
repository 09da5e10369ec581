"""The endpoints that the scenarios talk to, as `tests/apps/starlette_app.py` has them, on
`websockets` alone."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import parse_qsl, unquote

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

MAX_SIZE = 16 * 1024 * 1024

starts: list[dict[str, Any]] = []
disconnects: list[dict[str, Any]] = []


class Endpoint:
    """One socket: its request, and what has come."""

    def __init__(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        self.socket = socket
        self.request = socket.request
        self.query = dict(parse_qsl(identity(self.request)["query"]))
        self.received = 0

    async def receive(self) -> str | bytes:
        message = await self.socket.recv()
        self.received += 1
        return message

    async def echo(self) -> None:
        while True:
            await self.socket.send(await self.receive())

    async def wait(self) -> None:
        while True:
            await self.receive()

    async def burst(self) -> None:
        await self._count_to(int(self.query["n"]))
        await self.socket.close(4000, "that was all")

    async def close(self) -> None:
        await self.socket.close(int(self.query["code"]), self.query.get("reason", ""))

    async def break_off(self) -> None:
        self.socket.transport.abort()

    async def never_receives(self) -> None:
        for number in itertools.count(1):
            await self.socket.send(str(number))
            await asyncio.sleep(0.05)

    async def every_byte(self) -> None:
        await self.socket.send(bytes(range(256)))
        await self.wait()

    async def describe(self) -> None:
        headers = [[name.lower(), value] for name, value in self.request.headers.raw_items()]
        cookies = self.request.headers.get("Cookie", "").split("; ")
        client = self.request.headers["X-Forwarded-For"].split(", ")[0]
        offered = ",".join(self.request.headers.get_all("Sec-WebSocket-Protocol"))
        scope = {
            "type": "websocket",
            "scheme": "ws",
            "root_path": "",
            "path": unquote(identity(self.request)["path"]),
            "raw_path": identity(self.request)["path"],
            "query_string": identity(self.request)["query"],
            "client": [client, 0],
            "headers": headers,
            "cookies": dict(cookie.split("=") for cookie in cookies if cookie),
            "subprotocols": [name.strip() for name in offered.split(",") if name],
        }
        await self.socket.send(json.dumps(scope))
        await self.wait()

    async def sink(self) -> None:
        counts = {"texts": 0, "binaries": 0, "bytes": 0}
        digest = hashlib.sha256()
        while (message := await self.receive()) != "report":
            counts["texts" if isinstance(message, str) else "binaries"] += 1
            content = message.encode() if isinstance(message, str) else message
            counts["bytes"] += len(content)
            digest.update(content)
        await self.socket.send(json.dumps({**counts, "sha256": digest.hexdigest()}))
        await self.wait()

    async def numbered(self) -> None:
        last = int(self.query["n"])
        counting = asyncio.create_task(self._count_to(last))
        try:
            for expected in range(1, last + 1):
                message = await self.receive()
                if message != str(expected):
                    await self.socket.close(4001, f"{message[:20]!r} came for {expected}")
            await counting
            await self.socket.close(4000, "complete")
        finally:
            counting.cancel()

    async def _count_to(self, last: int) -> None:
        for number in range(last):
            await self.socket.send(str(number + 1))


ENDPOINTS: dict[str, Callable[[Endpoint], Awaitable[None]]] = {
    "/echo": Endpoint.echo,
    "/burst": Endpoint.burst,
    "/sink": Endpoint.sink,
    "/close": Endpoint.close,
    "/crash": Endpoint.break_off,
    "/return": Endpoint.break_off,
    "/subprotocol": Endpoint.wait,
    "/accept-headers": Endpoint.wait,
    "/cookies": Endpoint.wait,
    "/never-receives": Endpoint.never_receives,
    "/slow": Endpoint.echo,
    "/numbered": Endpoint.numbered,
    "/headers": Endpoint.describe,
    "/every-byte": Endpoint.every_byte,
}
REFUSALS = {"/refuse": 403, "/deny": 401, "/early-crash": 500}


def identity(request: Request) -> dict[str, str]:
    path, _, query = request.path.partition("?")
    return {"path": path, "query": query}


def endpoint_of(path: str) -> Callable[[Endpoint], Awaitable[None]] | None:
    return ENDPOINTS.get("/headers" if path.startswith("/headers/") else path)


async def answer(socket: ServerConnection, request: Request) -> Response | None:
    """Tell what was recorded, refuse, or wait before the handshake goes on."""
    path = identity(request)["path"]
    if path in ("/starts", "/disconnects"):
        return socket.respond(200, json.dumps(starts if path == "/starts" else disconnects))
    starts.append(identity(request))
    status = REFUSALS.get(path) or (403 if endpoint_of(path) is None else 0)
    if status:
        cookie = [("Set-Cookie", "denied=yes; Path=/")] if path == "/deny" else []
        headers = Headers([*cookie, ("Content-Length", "0"), ("Connection", "close")])
        return Response(status, "Refused", headers)
    await asyncio.sleep(float(dict(parse_qsl(identity(request)["query"])).get("accept", "0")))
    return None


def select(socket: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    assert socket.request is not None
    here = identity(socket.request)
    if here["path"] == "/echo" and "chat.v2" in offered:
        return Subprotocol("chat.v2")
    return Subprotocol(dict(parse_qsl(here["query"])).get("choose", "")) or None


def add_headers(socket: ServerConnection, request: Request, response: Response) -> None:
    if request.path.startswith("/accept-headers"):
        for cookie in ("taste=sweet; Path=/", "size=small; Path=/"):
            response.headers["Set-Cookie"] = cookie
        response.headers["X-Flavour"] = "vanilla"
    elif request.path.startswith("/cookies"):
        response.headers["Set-Cookie"] = "near=yes; Path=/; SameSite=Strict"
        response.headers["Set-Cookie"] = "far=yes; Path=/; SameSite=None; Secure"


async def talk(socket: ServerConnection) -> None:
    endpoint = Endpoint(socket)
    here = identity(endpoint.request)
    run = endpoint_of(here["path"])
    assert run is not None
    try:
        await run(endpoint)
    except ConnectionClosed:
        end = {"code": socket.close_code, "reason": socket.close_reason}
        disconnects.append({**here, **end, "received": endpoint.received})


async def main() -> None:
    async with serve(
        talk,
        "127.0.0.1",
        0,
        process_request=answer,
        process_response=add_headers,
        select_subprotocol=select,
        compression=None,
        max_size=MAX_SIZE,
    ) as server:
        print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await server.serve_forever()


asyncio.run(main())
