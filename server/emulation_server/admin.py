"""What operators ask: metrics, readiness, the list of sessions. Never on the public address."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from emulation.protocol.close import MAX_REASON_BYTES, is_sendable
from emulation_server.watching import Watch, Watched

__all__ = ["make_admin"]

_NO_TOKEN = "Start the gateway with --admin-token to use this.\n"


def make_admin(
    watch: Watch, metrics: CollectorRegistry, is_ready: Callable[[], bool], token: str
) -> Starlette:
    """Make the ASGI application of the admin address; without a token the sessions stay closed."""

    async def show_metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(metrics), headers={"content-type": content_type})

    async def show_readiness(request: Request) -> Response:
        if is_ready():
            return PlainTextResponse("ready\n")
        return PlainTextResponse("not ready\n", status_code=503)

    async def list_sessions(request: Request) -> Response:
        return JSONResponse([_described(watched) for watched in watch.sockets.values()])

    async def close_session(request: Request) -> Response:
        try:
            code = int(request.query_params.get("code", "1000"))
        except ValueError:
            code = 0
        reason = request.query_params.get("reason", "")
        if not is_sendable(code) or len(reason.encode()) > MAX_REASON_BYTES:
            text = "code must be a close code, and reason of at most 123 bytes.\n"
            return PlainTextResponse(text, status_code=400)
        if await watch.close(request.path_params["id"], code, reason):
            return Response(status_code=204)
        return PlainTextResponse("There is no such session.\n", status_code=404)

    def guarded(endpoint: _Endpoint) -> _Endpoint:
        async def guard(request: Request) -> Response:
            if not token:
                return PlainTextResponse(_NO_TOKEN, status_code=403)
            given = request.headers.get("authorization", "")
            if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
                asked = {"www-authenticate": "Bearer"}
                return PlainTextResponse("A token is needed.\n", status_code=401, headers=asked)
            return await endpoint(request)

        return guard

    return Starlette(
        routes=[
            Route("/metrics", show_metrics),
            Route("/ready", show_readiness),
            Route("/sessions", guarded(list_sessions)),
            Route("/sessions/{id}", guarded(close_session), methods=["DELETE"]),
        ]
    )


_Endpoint = Callable[[Request], Awaitable[Response]]


def _described(watched: Watched) -> dict[str, object]:
    since = datetime.fromtimestamp(watched.since, timezone.utc)
    return {
        "id": watched.id,
        "path": watched.path,
        "client": watched.client,
        "transport": watched.transport,
        "open": watched.is_open,
        "since": since.isoformat(timespec="milliseconds"),
        "messages": watched.messages,
        "bytes": watched.bytes,
    }
