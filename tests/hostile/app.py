"""A page, an echo and numbered messages, as most run them and for transports that are struck."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route, WebSocketRoute

from emulation import Config, WebSocketEmulation
from tests.apps.numbered_app import numbered
from tests.apps.recorder import Recorder
from tests.apps.starlette_app import echo, page

__all__ = ["default", "struck"]


def application(config: Config) -> Starlette:
    return Starlette(
        routes=[
            Route("/", page),
            WebSocketRoute("/echo", echo),
            WebSocketRoute("/numbered", numbered),
        ],
        middleware=[Middleware(WebSocketEmulation, config=config), Middleware(Recorder)],
    )


default = application(Config())

struck = application(
    Config(
        # A transport that stands still is missed after two heartbeats and 5 seconds.
        heartbeat=0.5,
        poll_time=2,
        # A part has to pass between two cuts, and streams are to be renewed meanwhile.
        part_size=4 * 1024,
        stream_renew=128 * 1024,
        text_stream_renew=64 * 1024,
    )
)
