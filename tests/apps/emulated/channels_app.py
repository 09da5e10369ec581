"""The application of `tests.apps.channels_app` behind the middleware."""

from emulation import WebSocketEmulation
from tests.apps.channels_app import app as bare

app = WebSocketEmulation(bare)
