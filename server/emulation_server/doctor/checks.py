"""What an examination asks of the server, each check a small endpoint of its own."""

from __future__ import annotations

import asyncio
import os
import re
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import anyio
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from emulation import Config

from .runs import MAX_BYTES, MAX_SECONDS, Run, RunRefused, Runs

__all__ = ["HEADERS_AS_THEY_CAME", "make_routes"]

HEADERS_AS_THEY_CAME: Final = "emulation_server.doctor.headers"
"""The member of a scope with the request's headers as they came, before any trust was applied."""

_MAX_UPLOAD: Final = 4 * 1024 * 1024
_MAX_DOWNLOAD: Final = 4 * 1024 * 1024
_MAX_IDLE: Final = 100.0
_PIECE: Final = 64 * 1024

# Of a timed stream: seconds after the one before, and bytes. Small pieces show by how many seconds
# an answer is held back, growing ones by how many bytes.
_SCHEDULE: Final = (
    *[(0.2, 64)] * 8,
    *[(0.2, 1024)] * 4,
    *[(0.2, 8192)] * 4,
    *[(0.2, 32768)] * 2,
)

# Random, so that what compresses on the way neither hides nor shortens it.
_FILLER: Final = b64encode(os.urandom(3 * _PIECE // 4))

_MAX_HEADERS: Final = 64
_MAX_VALUE: Final = 256
_SECRET = re.compile(r"cookie|auth|token|secret|session|key|password", re.IGNORECASE)

# What proxies obey of this is what they say they do; the emulation's answers carry the same.
_HEADERS: Final = {
    "Cache-Control": "no-store, no-cache, no-transform, private",
    "X-Content-Type-Options": "nosniff",
    "X-Accel-Buffering": "no",
    "Content-Encoding": "identity",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_BYTES: Final = "application/octet-stream"
_EVENTS: Final = "text/event-stream"

_Check = Callable[[Request, Run], Awaitable[Response]]


def make_routes(runs: Runs, config: Config) -> list[BaseRoute]:
    """Make the routes of all checks; `config` is that of the emulation beside them."""

    async def start(request: Request) -> Response:
        try:
            run = runs.start(_run_name(request), _client(request))
        except RunRefused as refused:
            return _refusal(refused)
        limits = {"seconds": MAX_SECONDS, "bytes": MAX_BYTES, "upload": _MAX_UPLOAD}
        transports = list(config.transports)
        return _answer(run, limits=limits, transports=transports, heartbeat=config.heartbeat)

    def check(path: str, methods: list[str], endpoint: _Check) -> Route:
        async def checked(request: Request) -> Response:
            try:
                run = runs.get(_run_name(request), _client(request))
                with run.busy():
                    return await endpoint(request, run)
            except RunRefused as refused:
                return _refusal(refused)

        return Route(path, checked, methods=methods)

    async def native(websocket: WebSocket) -> None:
        await _echo(websocket, runs, websocket.query_params.get("run", ""), greeting="hello")

    async def session(websocket: WebSocket) -> None:
        await _echo(websocket, runs, websocket.path_params["run"])

    return [
        Route("/start", start, methods=["POST"]),
        check("/end", ["POST"], _end),
        check("/seen", ["GET", "POST", "OPTIONS", "PUT"], _seen),
        check("/arrived", ["POST"], _arrived),
        check("/stream", ["POST"], _stream),
        check("/events", ["GET"], _stream),
        check("/idle", ["POST"], _idle),
        check("/download", ["POST"], _download),
        check("/upload", ["POST"], _upload),
        # A handshake from which the upgrade was taken.
        check("/native", ["GET"], _plain),
        WebSocketRoute("/native", native),
        WebSocketRoute("/session/{run}/{transport}", session),
    ]


async def _end(request: Request, run: Run) -> Response:
    run.end()
    return _answer(run)


async def _seen(request: Request, run: Run) -> Response:
    """Tell how the request arrived, and with which headers the answer leaves."""
    run.requests += 1
    raw = request.scope.get(HEADERS_AS_THEY_CAME, request.scope["headers"])
    headers = [_shown(name, value) for name, value in raw[:_MAX_HEADERS]]
    return _answer(
        run,
        count=run.requests,
        method=request.method,
        http=request.scope.get("http_version", ""),
        scheme=request.scope.get("scheme", ""),
        headers=headers,
        sent=sorted([*map(str.lower, _HEADERS), "content-length", "content-type"]),
    )


def _shown(name: bytes, value: bytes) -> tuple[str, str]:
    key, text = name.decode("latin-1"), value.decode("latin-1")
    return key, "(hidden)" if _SECRET.search(key) else text[:_MAX_VALUE]


async def _arrived(request: Request, run: Run) -> Response:
    return _answer(run, native=run.native)


async def _plain(request: Request, run: Run) -> Response:
    run.native = "plain"
    return JSONResponse({"run": run.name}, status_code=426, headers=_HEADERS)


async def _stream(request: Request, run: Run) -> Response:
    """Answer in timed pieces, each a line that says when it was written and how much was by then.

    A line is `milliseconds bytes filler`; the bytes include the line itself.
    """
    is_events = request.method == "GET"
    run.spend(sum(size for _, size in _SCHEDULE))

    async def pieces() -> AsyncIterator[bytes]:
        with run.busy():
            began = time.monotonic()
            written = 0
            for index, (pause, size) in enumerate(_SCHEDULE):
                await asyncio.sleep(pause if index else 0)
                written += size
                before = b"data: " if is_events else b""
                after = b"\n\n" if is_events else b"\n"
                line = b"%s%d %d " % (before, (time.monotonic() - began) * 1000, written)
                yield line + _filler(size - len(line) - len(after)) + after

    return StreamingResponse(
        pieces(), media_type=_EVENTS if is_events else _BYTES, headers=_HEADERS
    )


async def _idle(request: Request, run: Run) -> Response:
    """Answer one line at once, and another one after as many seconds as are asked for."""
    seconds = min(_number(request, "seconds"), _MAX_IDLE, run.seconds)
    if not seconds:
        raise RunRefused(400, "Say for how many seconds.")

    async def pieces() -> AsyncIterator[bytes]:
        with run.busy():
            yield b"begin\n"
            await asyncio.sleep(seconds)
            yield b"end\n"

    return StreamingResponse(pieces(), media_type=_BYTES, headers=_HEADERS)


async def _download(request: Request, run: Run) -> Response:
    size = int(_number(request, "bytes"))
    if not 0 < size <= _MAX_DOWNLOAD:
        raise RunRefused(400, "A download is of 1 to 4194304 bytes.")
    run.spend(size)

    async def pieces() -> AsyncIterator[bytes]:
        with run.busy():
            for offset in range(0, size, _PIECE):
                yield _FILLER[: min(_PIECE, size - offset)]

    headers = {**_HEADERS, "Content-Length": str(size)}
    return StreamingResponse(pieces(), media_type=_BYTES, headers=headers)


async def _upload(request: Request, run: Run) -> Response:
    received = 0
    async for piece in request.stream():
        run.spend(len(piece))
        received += len(piece)
        if received > _MAX_UPLOAD:
            raise RunRefused(413, "An upload is of at most 4194304 bytes.")
    has_length = "content-length" in request.headers
    return _answer(run, received=received, framing="length" if has_length else "chunked")


async def _echo(websocket: WebSocket, runs: Runs, name: str, greeting: str = "") -> None:
    """Echo messages until the client closes or the examination is over."""
    try:
        run = runs.get(name, _client(websocket))
    except RunRefused:
        await websocket.close()
        return
    with run.busy():
        await websocket.accept()
        if greeting:
            run.native = "upgrade"
            await websocket.send_text(greeting)
        try:
            with anyio.fail_after(run.seconds):
                async for text in websocket.iter_text():
                    run.spend(2 * len(text))
                    await websocket.send_text(text)
        except OSError:
            pass  # the client has left
        except (KeyError, RunRefused, TimeoutError):
            await websocket.close(1008)


def _filler(size: int) -> bytes:
    start = int.from_bytes(os.urandom(2), "big") % (len(_FILLER) - size)
    return _FILLER[start : start + size]


def _answer(run: Run, **members: Any) -> Response:
    # By its name a page knows an answer of ours, which is not that of a portal or a cache.
    return JSONResponse({"run": run.name, **members}, headers=_HEADERS)


def _refusal(refused: RunRefused) -> Response:
    more = {"Retry-After": str(int(refused.wait))} if refused.wait else {}
    # What is left of a body is not read: a proxy must not use the connection again.
    headers = {**_HEADERS, **more, "Connection": "close"}
    return JSONResponse({"error": refused.sentence}, refused.status, headers)


def _number(request: Request, name: str) -> float:
    text = request.query_params.get(name, "")
    return float(text) if re.fullmatch(r"[0-9]{1,8}(\.[0-9]{1,3})?", text) else 0.0


def _run_name(request: Request) -> str:
    return request.query_params.get("run", "")


def _client(connection: HTTPConnection) -> str:
    return connection.client.host if connection.client else ""
