"""Run a gateway: uvicorn for the pages, a second one for the operators, one loop for both."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl as tls
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.importer import import_from_string

from emulation import Config, WebSocketEmulation
from emulation_server.admin import make_admin
from emulation_server.backend import Connector
from emulation_server.doctor import Doctor
from emulation_server.forwarding import Forwarding
from emulation_server.gateway import Gateway
from emulation_server.metrics import Metrics
from emulation_server.native import AnsweringProtocol
from emulation_server.routing import Backend, Routes
from emulation_server.settings import Address
from emulation_server.watching import Watch

if TYPE_CHECKING:
    from emulation.bridge import App

__all__ = ["Settings", "run"]

logger = logging.getLogger("emulation_server")

# How long what is left of requests may take when the server is asked to end; sessions are closed
# and parked requests ended before, within `Config.drain_time`.
_GRACE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that a gateway is run with; names that uvicorn has mean what they do there."""

    routes: dict[str, Backend] = field(default_factory=dict)
    app: str = ""
    """An application in this process ("module:name") instead of routes."""
    origins: Sequence[str] = ()
    host: str = "127.0.0.1"
    port: int = 8000
    unix: str = ""
    admin: Address | None = None
    admin_token: str = ""
    doctor: bool = False
    forwarded_allow_ips: Sequence[str] = ("127.0.0.1",)
    access_log: bool = False
    timeout_keep_alive: int = 75
    limit_concurrency: int | None = None
    tls: dict[str, Any] = field(default_factory=dict)
    """uvicorn's ssl_… options."""
    pass_host: bool = False
    backend_ca: Path | None = None
    backend_timeout: float = 20.0
    emulation: dict[str, Any] = field(default_factory=dict)
    """Fields of `emulation.Config`."""


class _Main(uvicorn.Server):
    """The pages' server. The operators' runs beside it, and ends last: it can tell of the end."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.beside: _Beside | None = None
        self._operators: asyncio.Task[None] | None = None
        self.is_alone = False
        """Whether the operators' server could not be started, which ends this one too."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except OSError as error:
            # Of a TCP address uvicorn says so itself.
            logger.error("the Unix socket %s cannot be made: %s", self.config.uds, error.strerror)
            await self.lifespan.shutdown()
            raise SystemExit(3) from None
        if self.beside is not None:
            self._operators = asyncio.create_task(self._serve_operators(self.beside))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        if self.beside is not None and self._operators is not None:
            self.beside.should_exit = True
            await self._operators

    async def _serve_operators(self, beside: _Beside) -> None:
        try:
            await beside.serve()
        except SystemExit:  # the address is taken; uvicorn has said so
            self.is_alone = self.should_exit = True


class _Beside(uvicorn.Server):
    """A server beside another one, which hears the signals for both."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def run(settings: Settings) -> None:
    """Serve until a signal comes.

    Raises TypeError or ValueError, in a sentence, for a senseless setting, ssl.SSLError for a file
    that is no key or certificate, and SystemExit where the server cannot start.
    """
    metrics = Metrics()
    config = Config(observer=metrics, trusted_proxies=("*",), **settings.emulation)
    app = _application(settings, config, metrics)
    watch = metrics.watch = Watch(app)
    middleware = WebSocketEmulation(watch, origins=settings.origins, config=config)
    metrics.statistics = lambda: middleware.statistics
    main = _Main(_main_config(settings, config, middleware))
    if settings.admin is not None:

        def is_ready() -> bool:
            return main.started and not main.should_exit

        admin = make_admin(watch, metrics.registry, is_ready, settings.admin_token)
        main.beside = _Beside(_admin_config(settings, settings.admin, admin))
    if not settings.unix:
        _look_up("--host", settings.host, settings.port)
    if settings.admin is not None:
        _look_up("--admin", *settings.admin)
    for prefix, backend in settings.routes.items():
        logger.info("in front of %s for %s", backend, prefix)
    main.run()
    if not main.started or main.is_alone:
        raise SystemExit(3)


def _look_up(option: str, host: str, port: int) -> None:
    """Look for an address to listen on; of one that there is not uvicorn says only that."""
    try:
        socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        logger.error(
            "%s: there is no address %s here (%s); give one of this machine, such as 127.0.0.1",
            option,
            host,
            error,
        )
        raise SystemExit(3) from None


def _application(settings: Settings, config: Config, metrics: Metrics) -> App:
    if settings.app:
        loaded = uvicorn.Config(settings.app, log_config=None)
        loaded.load()
        # uvicorn wraps whatever it finds.
        if not callable(found := import_from_string(settings.app)):
            raise ValueError(f"{settings.app} is no ASGI application, but {found!r}.")
        app: App = loaded.loaded_app
        return app
    connector = Connector(
        open_timeout=settings.backend_timeout,
        close_timeout=config.close_timeout,
        max_message_size=config.max_message_size,
        passes_host=settings.pass_host,
        ssl=tls.create_default_context(cafile=settings.backend_ca),
    )
    return Gateway(Routes(settings.routes), connector=connector, failed=metrics.failed)


def _main_config(settings: Settings, config: Config, app: App) -> uvicorn.Config:
    # The fields are true behind it; the policy of origins believes them (`trusted_proxies`).
    app = Forwarding(app, settings.forwarded_allow_ips)
    if settings.doctor:
        app = Doctor(app, config=config, trusted=settings.forwarded_allow_ips)
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        uds=settings.unix or None,
        log_config=None,
        access_log=settings.access_log,
        # Strict about ambiguous requests, which h11 lets pass.
        http="httptools",
        # Reads no further than the application does: a slow backend holds a native client back.
        ws=AnsweringProtocol,
        ws_max_size=config.max_message_size,
        ws_per_message_deflate=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=settings.limit_concurrency,
        # Uploads of an idle page are further apart than uvicorn's 5 s: each would be a new
        # connection, with TLS.
        timeout_keep_alive=settings.timeout_keep_alive,
        timeout_graceful_shutdown=_GRACE,
        **settings.tls,
    )


def _admin_config(settings: Settings, address: Address, app: App) -> uvicorn.Config:
    host, port = address
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        # The setting is the process's: uvicorn switches its one logger.
        access_log=settings.access_log,
        ws="none",
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=1,
    )
