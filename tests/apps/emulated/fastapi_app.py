"""The application of `tests.apps.fastapi_app` behind the middleware."""

from emulation import WebSocketEmulation
from tests.apps.fastapi_app import app

__all__ = ["app"]

app.add_middleware(WebSocketEmulation)
