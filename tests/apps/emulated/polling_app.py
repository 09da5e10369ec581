"""The application of `tests.apps.pages_app` behind a middleware that allows long-polling alone."""

from emulation import Config, WebSocketEmulation
from tests.apps.pages_app import app

__all__ = ["app"]

app.add_middleware(WebSocketEmulation, config=Config(transports=("poll",)))
