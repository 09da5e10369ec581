"""A page, an echo, numbered messages and the scope; with the usual times and with short ones."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route, WebSocketRoute

from emulation import Config, WebSocketEmulation
from tests.apps.numbered_app import numbered
from tests.apps.recorder import Recorder
from tests.apps.starlette_app import echo, page, scope_as_json

__all__ = ["default", "quick"]


def application(config: Config) -> Starlette:
    return Starlette(
        routes=[
            Route("/", page),
            WebSocketRoute("/echo", echo),
            WebSocketRoute("/numbered", numbered),
            WebSocketRoute("/scope", scope_as_json),
        ],
        middleware=[Middleware(WebSocketEmulation, config=config), Middleware(Recorder)],
    )


default = application(Config())

# Sessions that are kept through a proxy which waits for a few seconds only.
quick = application(Config(heartbeat=1, poll_time=2))
