"""The application of `tests.apps.pages_app` behind the middleware."""

from emulation import WebSocketEmulation
from tests.apps.pages_app import app

__all__ = ["app"]

app.add_middleware(WebSocketEmulation)
