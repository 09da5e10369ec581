"""`WebSocketEmulation`: the ASGI middleware that everything else hangs on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

from emulation.config import Config
from emulation.draining import on_going_down
from emulation.exceptions import ClientGone, RemoteProtocolError
from emulation.observing import Statistics
from emulation.origins import OriginPolicy
from emulation.protocol.handshake import is_ours
from emulation.registry import Registry
from emulation.script import Script
from emulation.transports.exchange import Exchange
from emulation.transports.headers import allow, check_method, preflight
from emulation.transports.marker import Marker, split_marker
from emulation.transports.opening import serve_open
from emulation.transports.poll import serve_poll
from emulation.transports.scope import client_of
from emulation.transports.shortcut import expect_again
from emulation.transports.stream import serve_stream
from emulation.transports.upstream import bye, upload
from emulation.transports.websocket import serve_websocket

if TYPE_CHECKING:
    from emulation.bridge import App, Receive, Scope, Send

__all__ = ["WebSocketEmulation"]

logger = logging.getLogger("emulation")

_Serve = Callable[[Exchange], Awaitable[None]]


async def _serve_ticket(exchange: Exchange) -> None:
    # Imported at the first such request: sse_starlette patches uvicorn when it is imported.
    from emulation.transports.sse import serve_ticket

    await serve_ticket(exchange)


async def _serve_events(exchange: Exchange) -> None:
    from emulation.transports.sse import serve_events

    await serve_events(exchange)


_VERBS: dict[str, _Serve] = {
    "send": upload,
    "bye": bye,
    "poll": serve_poll,
    "stream": serve_stream,
    "ticket": _serve_ticket,
    "sse": _serve_events,
}


def _is_stray(scope: Scope) -> bool:
    """Tell whether something has taken our marker out of the query of a page's upgrade.

    The page opens its socket otherwise then; the application is not to start for both.
    """
    return is_ours((scope.get("subprotocols") or [""])[0])


class WebSocketEmulation:
    """Serve the WebSocket endpoints of an ASGI application where no WebSocket gets through.

    `origins` are those whose pages may connect besides the application's own, as browsers serialise
    them ("https://example.com"), or "*". Requests that are not ours reach `app` untouched.

    Raises TypeError or ValueError, in a sentence, for a senseless argument.
    """

    def __init__(
        self, app: App, *, origins: Iterable[str] = (), config: Config | None = None
    ) -> None:
        if not callable(app):
            raise TypeError(f"app={app!r} must be an ASGI application.")
        self.app = app
        if config is not None and not isinstance(config, Config):
            raise TypeError(f"config={config!r} must be an emulation.Config(...).")
        self.config = Config() if config is None else config
        self._origins = OriginPolicy(origins, self.config.trusted_proxies)
        self._script = Script()
        self._registry: Registry | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Route one ASGI connection by its marker."""
        kind = scope["type"]
        if kind == "http":
            marker, query = split_marker(scope["query_string"])
            if marker is not None:
                await self._emulate(scope, receive, send, marker, query)
            elif self._script.serves(scope):
                await self._script(scope, receive, send)
            else:
                await self.app(scope, receive, send)
        elif kind == "websocket":
            marker, query = split_marker(scope["query_string"])
            if marker is not None:
                await self._upgrade(scope, receive, send, marker, query)
            elif self._origins.check_native(scope).is_allowed and not _is_stray(scope):
                await self.app(scope, receive, send)
            else:
                await receive()
                await send({"type": "websocket.close", "code": 1008})
        elif kind == "lifespan":
            await self.app(scope, self._listen(receive), send)
        else:
            await self.app(scope, receive, send)

    @property
    def routes(self) -> Sequence[Any]:
        """The routes of the wrapped application, which Starlette's Mount asks for to make URLs."""
        routes: Sequence[Any] = getattr(self.app, "routes", ())
        return routes

    def go_down(self) -> None:
        """Close every session with 1012 and end what is parked, as a signal to the server does.

        For servers that are stopped without a signal, from a task of their loop.
        """
        if self._registry is not None:
            self._registry.go_down()

    @property
    def statistics(self) -> Statistics:
        """What is kept at the moment; to be read in the server's loop."""
        registry = self._registry
        return Statistics(0, 0, 0, 0) if registry is None else registry.statistics()

    # --- Requests with a marker -------------------------------------------------------------------

    async def _emulate(
        self, scope: Scope, receive: Receive, send: Send, marker: Marker, query: bytes
    ) -> None:
        exchange = Exchange(self._the_registry(), scope, receive, send, marker, query)
        decision = self._origins.check(scope, marker.verb, exchange.fields)
        exchange.origin = decision.origin
        exchange.needs_cors = not decision.is_same
        try:
            if not decision.is_allowed:
                raise RemoteProtocolError(403, 1008, "this origin is not allowed")
            if scope["method"] == "OPTIONS":
                await exchange.drain()
                asked = exchange.header(b"access-control-request-headers")
                headers = preflight(marker.verb, decision.origin, asked)
                await exchange.answer(204, headers, are_ours=False)
                return
            check_method(marker.verb, scope["method"])
            if marker.verb == "open":
                await serve_open(exchange, self.app)
            else:
                await _VERBS[marker.verb](exchange)
            if type(self).__call__ is WebSocketEmulation.__call__:
                expect_again(exchange, self)
        except RemoteProtocolError as error:
            await self._fail(exchange, error)
        except ClientGone:
            await self._answer_nobody(exchange)

    async def _fail(self, exchange: Exchange, error: RemoteProtocolError) -> None:
        """Answer with the error, behind the body: see Exchange.drain."""
        registry = exchange.registry
        registry.misuse.note(client_of(exchange.scope), error, registry.loop.time())
        try:
            # Who has not sent a body in its time is not given that time again.
            is_read = exchange.is_read or (error.status != 408 and await exchange.drain())
            is_kept = is_read or exchange.scope.get("http_version", "1.1") not in ("1.0", "1.1")
            more = [] if is_kept else [(b"connection", b"close")]
            if error.status == 405:
                more.append(allow(exchange.marker.verb))
            await exchange.fail(error, more=more)
        except ClientGone:
            await self._answer_nobody(exchange)

    async def _answer_nobody(self, exchange: Exchange) -> None:
        """Answer a client who has left: middlewares around us take no answer for a fault."""
        try:
            await exchange.respond_empty()
        except ClientGone:
            pass

    async def _upgrade(
        self, scope: Scope, receive: Receive, send: Send, marker: Marker, query: bytes
    ) -> None:
        decision = self._origins.check(scope, "ws")
        is_served = marker.verb == "ws" and "websocket" in self.config.transports
        if not decision.is_allowed or not is_served:
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        await serve_websocket(
            self._the_registry(), self.app, scope, receive, send, marker, query, decision.origin
        )

    # --- The process ------------------------------------------------------------------------------

    def _the_registry(self) -> Registry:
        """Return the registry of the running loop, made at the first request of ours."""
        registry = self._registry
        # Not by get_running_loop, which asks for the process's id (a system call) until 3.12.
        if (
            registry is None
            or registry.thread != threading.get_ident()
            or not registry.loop.is_running()
        ):
            registry = self._registry = Registry(self.config)
            on_going_down(registry.go_down, registry.is_done, self.config.drain_time / 2)
        return registry

    def _listen(self, receive: Receive) -> Receive:
        async def listening() -> MutableMapping[str, Any]:
            event = await receive()
            if event["type"] == "lifespan.startup":
                self._registry = None  # a test serves the same application again
            elif event["type"] == "lifespan.shutdown" and self._registry is not None:
                self._registry.go_down(at_once=True)  # the loop may not turn again
            return event

        return listening
