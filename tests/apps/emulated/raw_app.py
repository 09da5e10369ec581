"""The application of `tests.apps.raw_app` behind the middleware."""

from emulation import WebSocketEmulation
from tests.apps.raw_app import app as bare

app = WebSocketEmulation(bare)
