"""The gateway: an ASGI application whose WebSockets are those of a backend."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Final

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, PayloadTooBig

from emulation.protocol.close import CloseCode, is_sendable
from emulation_server.backend import (
    BackendFailed,
    BackendRefused,
    Connector,
    Headers,
    answer_headers,
)
from emulation_server.refusals import Refusals
from emulation_server.routing import Routes, Target, UnsafePath

if TYPE_CHECKING:
    from emulation.bridge import Receive, Scope, Send

__all__ = ["Gateway"]

logger = logging.getLogger("emulation_server.gateway")

_PLAIN: Final = (b"content-type", b"text/plain; charset=utf-8")
_HINT: Final = b"This is a WebSocket gateway: connect with a WebSocket, or with /emulation.js.\n"

# The extensions of servers that know what a relay needs.
_OURS: Final = ("emulation", "native")

Failed = Callable[[str], None]


class Gateway:
    """Relay each WebSocket to the backend that its path belongs to.

    It is an ordinary ASGI application: wrap it in `emulation.WebSocketEmulation`. `failed` is told
    in one word why a backend could not be reached or has broken off.
    """

    def __init__(
        self, routes: Routes, *, connector: Connector | None = None, failed: Failed | None = None
    ) -> None:
        self._routes = routes
        self._connector = Connector() if connector is None else connector
        self._failed = failed or (lambda reason: None)
        self._refusals = Refusals()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "websocket":
            await self._serve(scope, receive, send)
        elif scope["type"] == "http":
            headers = [_PLAIN, (b"upgrade", b"websocket"), (b"connection", b"upgrade")]
            await send({"type": "http.response.start", "status": 426, "headers": headers})
            await send({"type": "http.response.body", "body": _HINT})
        elif scope["type"] == "lifespan":
            await _live(receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        raw_path = scope["raw_path"].decode("latin-1").partition("?")[0]
        try:
            target = self._routes.find(raw_path, scope["query_string"].decode("latin-1"))
        except UnsafePath as error:
            self._refusals.note(scope, logging.WARNING, "path", "refused: %s", error)
            await _deny(scope, send, 400)
            return
        if target is None:
            text = "refused: no route has the path %s"
            self._refusals.note(scope, logging.WARNING, "route", text, raw_path)
            await _deny(scope, send, 404)
            return
        # Whoever gives up while the backend is being asked is heard.
        first = asyncio.create_task(_received(receive))
        try:
            backend = await self._connect(target, scope, first, send)
            if backend is not None:
                await self._relay(backend, target, scope, first, receive, send)
        finally:
            first.cancel()

    async def _connect(
        self, target: Target, scope: Scope, first: asyncio.Task[Event], send: Send
    ) -> ClientConnection | None:
        """Connect to the backend, or tell the client why not."""
        connecting = asyncio.create_task(self._connector.connect(target, scope))
        try:
            await asyncio.wait((connecting, first), return_when=asyncio.FIRST_COMPLETED)
            if not connecting.done():
                logger.info("the client gave up before %s answered", target.backend)
                return None
            return connecting.result()
        except BackendRefused as refused:
            kind = target.backend, refused.status
            text = "refused by %s: %s"
            self._refusals.note(scope, logging.WARNING, kind, text, target.backend, refused)
            self._failed("refused")
            await _deny(scope, send, refused.status, refused.headers, refused.body)
        except BackendFailed as failed:
            failure = target.backend, failed.reason
            text = "no WebSocket from %s: %s"
            self._refusals.note(scope, logging.ERROR, failure, text, target.backend, failed)
            self._failed(failed.reason)
            await _deny(scope, send, failed.status)
        finally:
            if not connecting.done():
                connecting.cancel()
        return None

    async def _relay(
        self,
        backend: ClientConnection,
        target: Target,
        scope: Scope,
        first: asyncio.Task[Event],
        receive: Receive,
        send: Send,
    ) -> None:
        extension = next(
            (scope["extensions"][name] for name in _OURS if name in scope["extensions"]), None
        )
        if extension is not None:
            # The page's close fires when the backend has answered.
            extension["answers_close"] = True
        try:
            await send(
                {
                    "type": "websocket.accept",
                    "subprotocol": backend.subprotocol,
                    "headers": _accept_headers(backend),
                }
            )
            broken = await _Relay(backend, first, receive, send).run()
            if broken and extension is not None and _is_failure(backend, broken):
                await send({"type": "websocket.fail"})
        except OSError:
            return  # the client has left
        finally:
            backend.transport.abort()
        if broken:
            if isinstance(backend.protocol.parser_exc, PayloadTooBig):
                logger.warning(
                    "%s sent a message of more than the %d bytes that --max-message-size allows",
                    target.backend,
                    self._connector.max_message_size,
                )
            else:
                logger.warning("%s broke off: %s", target.backend, broken)
            self._failed("broken")


Event = MutableMapping[str, Any]


class _Relay:
    """One WebSocket from its accept on: messages both ways, then the end that comes first."""

    def __init__(
        self, backend: ClientConnection, first: asyncio.Task[Event], receive: Receive, send: Send
    ) -> None:
        self._backend = backend
        self._first = first
        self._receive = receive
        self._send = send

    async def run(self) -> ConnectionClosed | None:
        """Relay until both ends are over; return how the backend broke off, None if it did not."""
        up = asyncio.create_task(self._up())
        down = asyncio.create_task(self._down())
        try:
            await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
            event = up.result() if up.done() else None
            if event is None:
                closed = await down
            else:
                await self._close_backend(event)
                closed = await down
                if closed.rcvd is None and _is_lost(event):
                    return None
            if closed.rcvd is None:
                return closed
            await self._close_client(closed)
            return None
        finally:
            for task in (up, down):
                task.cancel()
            await asyncio.wait((up, down))

    async def _up(self) -> Event | None:
        """Hand on what the client sends until it closes; None where the backend ended first."""
        event = await self._first
        try:
            while event["type"] == "websocket.receive":
                message = event.get("bytes")
                # Waits while the backend does not read: the client's credit runs out.
                await self._backend.send(event["text"] if message is None else message)
                event = await self._receive()
        except ConnectionClosed:
            return None
        return event

    async def _down(self) -> ConnectionClosed:
        """Hand on what the backend sends until it closes; return how."""
        is_heard = True
        while True:
            try:
                message = await self._backend.recv()
            except ConnectionClosed as closed:
                return closed
            if not is_heard:
                continue  # behind a close everything is discarded, but the backend's own close
            kind = "text" if isinstance(message, str) else "bytes"
            try:
                # Waits while the client does not read: then nothing is read from the backend.
                await self._send({"type": "websocket.send", kind: message})
            except OSError:
                is_heard = False

    async def _close_backend(self, event: Event) -> None:
        code = event["code"]
        if code == CloseCode.NO_STATUS and not _is_lost(event):
            await self._backend.close(None)  # type: ignore[arg-type]  # a close frame without a code
        elif is_sendable(code):
            await self._backend.close(code, event.get("reason") or "")
        else:
            self._backend.transport.abort()

    async def _close_client(self, closed: ConnectionClosed) -> None:
        assert closed.rcvd is not None
        code = None if closed.rcvd.code == CloseCode.NO_STATUS else closed.rcvd.code
        try:
            await self._send(
                {"type": "websocket.close", "code": code, "reason": closed.rcvd.reason}
            )
        except (OSError, RuntimeError):
            pass  # the client has its close already, where its server answers by itself


def _is_failure(backend: ClientConnection, closed: ConnectionClosed) -> bool:
    """Whether the backend broke the protocol, and was not just lost."""
    faults = (backend.protocol.parser_exc, closed.__cause__)
    return any(fault and not isinstance(fault, (EOFError, OSError)) for fault in faults)


def _is_lost(event: Event) -> bool:
    """Whether the client went without a close: uvicorn says 1005 then, but gives no reason."""
    return event["code"] == CloseCode.ABNORMAL or "reason" not in event


async def _received(receive: Receive) -> Event:
    return await receive()


def _accept_headers(backend: ClientConnection) -> Headers:
    assert backend.response is not None
    return answer_headers(backend.response)


async def _deny(
    scope: Scope, send: Send, status: int, headers: Headers | None = None, body: bytes = b""
) -> None:
    """Refuse the handshake with a status, where the server can."""
    try:
        if "websocket.http.response" in scope["extensions"]:
            start = {"type": "websocket.http.response.start", "status": status}
            await send({**start, "headers": headers or []})
            await send({"type": "websocket.http.response.body", "body": body})
        else:
            await send({"type": "websocket.close"})
    except OSError:
        pass  # the client has left


async def _live(receive: Receive, send: Send) -> None:
    while True:
        event = await receive()
        await send({"type": f"{event['type']}.complete"})
        if event["type"] == "lifespan.shutdown":
            return
