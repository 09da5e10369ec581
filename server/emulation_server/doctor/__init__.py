"""The doctor: what stands between a browser, or a terminal, and this server, and what it lets pass.

app = Doctor(WebSocketEmulation(app))  # the page is at /.websocket-emulation/doctor/
"""

from .page import PREFIX, Doctor

__all__ = ["PREFIX", "Doctor"]
