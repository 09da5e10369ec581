"""The application of `tests.apps.chat_app` behind the middleware."""

from emulation import Config, WebSocketEmulation
from tests.apps.chat_app import app

__all__ = ["SEND_TIMEOUT", "app"]

# A vanished page fills a small window at once, and is given up soon.
SEND_TIMEOUT = 1.0

app.add_middleware(
    WebSocketEmulation,
    config=Config(send_timeout=SEND_TIMEOUT, window_bytes=128 * 1024, window_frames=8),
)
