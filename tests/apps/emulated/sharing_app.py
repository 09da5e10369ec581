"""The application of `tests.apps.sharing_app` behind the middleware."""

from emulation import Config, WebSocketEmulation
from tests.apps.sharing_app import app

__all__ = ["WINDOW", "app"]

WINDOW = 512 * 1024

# Who stands still is not given up while a test looks at the others.
app.add_middleware(WebSocketEmulation, config=Config(send_timeout=60, window_bytes=WINDOW))
