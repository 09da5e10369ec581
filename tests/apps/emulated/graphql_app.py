"""The application of `tests.apps.graphql_app` behind the middleware."""

from emulation import WebSocketEmulation
from tests.apps.graphql_app import app

__all__ = ["app"]

app.add_middleware(WebSocketEmulation)
