"""The application of `tests.apps.starlette_app` behind the middleware."""

from emulation import WebSocketEmulation
from tests.apps.starlette_app import app

__all__ = ["app"]

app.add_middleware(WebSocketEmulation)
