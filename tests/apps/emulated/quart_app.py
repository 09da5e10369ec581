"""The application of `tests.apps.quart_app` behind the middleware."""

from emulation import WebSocketEmulation
from tests.apps.quart_app import app

__all__ = ["app"]

app.asgi_app = WebSocketEmulation(app.asgi_app)  # type: ignore[arg-type,assignment,method-assign]
