"""The application of `tests.apps.library_app` behind the middleware."""

from emulation import WebSocketEmulation
from tests.apps.library_app import app

__all__ = ["app"]

app.add_middleware(WebSocketEmulation)
