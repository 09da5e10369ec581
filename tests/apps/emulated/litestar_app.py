"""The application of `tests.apps.litestar_app` behind the middleware."""

from emulation import WebSocketEmulation
from tests.apps.litestar_app import app as bare

app = WebSocketEmulation(bare)
