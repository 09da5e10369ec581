"""The middleware: the doctor's page and its checks below one path, all else untouched."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, MutableMapping
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route, Router

from emulation import Config, WebSocketEmulation
from emulation_server.forwarding import Forwarding

from .checks import HEADERS_AS_THEY_CAME, make_routes
from .runs import Runs

if TYPE_CHECKING:
    from emulation.bridge import App, Receive, Scope, Send

__all__ = ["PREFIX", "Doctor"]

PREFIX: Final = "/.websocket-emulation/doctor"

_TYPES: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
}
_PAGE_HEADERS: Final = {
    # Engines of its time take `'self'` in connect-src for HTTP alone.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self' data:; connect-src 'self' ws: wss:; frame-src 'self';"
    " frame-ancestors 'self'; base-uri 'none'; form-action 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
}

# A page has a socket for each transport and one more.
_MAX_SOCKETS: Final = 512


class Doctor:
    """Serve the doctor's page below `/.websocket-emulation/doctor/`; put it outermost.

    It says who stands in between by the headers that arrive, so that nothing before it should take
    any away. `config` is that of the application's emulation; `trusted` are addresses or networks
    of the proxies whose X-Forwarded-For names the client, or "*". An examination is bounded to 120
    s and 16 MiB, and a client has one at a time.

    Raises ValueError, in a sentence, for what is no address.
    """

    def __init__(
        self, app: App, *, config: Config | None = None, trusted: Iterable[str] = ()
    ) -> None:
        self.app = app
        config = dataclasses.replace(
            config or Config(),
            observer=None,
            max_sessions=_MAX_SOCKETS,
            max_carriers=_MAX_SOCKETS,
            # `Forwarding` has made them true.
            trusted_proxies=("*",),
        )
        pages = [Route(path, _file) for path in ("/", *_files())]
        router = Router([*pages, *make_routes(Runs(), config)], redirect_slashes=False)
        self._emulation = WebSocketEmulation(router, config=config)
        self._own = Forwarding(self._emulation, trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the connection on, but for the doctor's own."""
        if scope["type"] == "lifespan":
            await self.app(scope, self._listen(receive), send)
            return
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        root = scope.get("root_path", "").rstrip("/")
        path = scope["path"].removeprefix(root)
        if path == PREFIX and scope["type"] == "http":
            await RedirectResponse(f"{root}{PREFIX}/")(scope, receive, send)
        elif path.startswith(f"{PREFIX}/"):
            await self._serve({**scope, "root_path": root + PREFIX}, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _serve(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        scope[HEADERS_AS_THEY_CAME] = scope["headers"]
        if dict(scope["headers"]).get(b"sec-fetch-site") == b"cross-site" and _is_action(scope):
            # Nobody else's page spends what a visitor has here.
            response = PlainTextResponse("Open the doctor's own page.\n", status_code=403)
            await response(scope, receive, send)
            return
        await self._own(scope, receive, send)

    def _listen(self, receive: Receive) -> Receive:
        async def listening() -> MutableMapping[str, Any]:
            event = await receive()
            if event["type"] == "lifespan.shutdown":
                self._emulation.go_down()
            return event

        return listening


def _is_action(scope: Scope) -> bool:
    """Tell whether a request is more than following a link to the page."""
    return scope["type"] == "http" and not scope["path"].endswith(f"{PREFIX}/")


async def _file(request: Request) -> Response:
    path = request.scope["path"].rpartition("/")[2]
    content, media_type = _files()[f"/{path or 'index.html'}"]
    return Response(content, media_type=media_type, headers=_PAGE_HEADERS)


@functools.cache
def _files() -> dict[str, tuple[bytes, str]]:
    """Read what the package carries, by its path below the prefix."""
    static = resources.files("emulation_server.doctor") / "static"
    return {
        f"/{file.name}": (file.read_bytes(), _TYPES[f".{file.name.rpartition('.')[2]}"])
        for file in static.iterdir()
    }
