"""The application of `tests.apps.numbered_app` behind the middleware."""

from emulation import Config, WebSocketEmulation
from tests.apps.numbered_app import app

__all__ = ["app"]

app.add_middleware(
    WebSocketEmulation,
    config=Config(
        # A transport that stands still is missed after two heartbeats and 5 seconds.
        heartbeat=0.5,
        poll_time=2,
        # A part has to pass between two cuts, and streams are to be renewed meanwhile.
        part_size=4 * 1024,
        stream_renew=128 * 1024,
        text_stream_renew=64 * 1024,
    ),
)
