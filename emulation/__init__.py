"""WebSocket for pages and servers where WebSockets do not get through.

`WebSocketEmulation` wraps any ASGI application, and its ordinary WebSocket endpoints are reachable
over a native WebSocket, a streamed response, server-sent events and long-polling.
"""

from emulation.access_log import filter_access_log
from emulation.asgi import WebSocketEmulation
from emulation.config import Config
from emulation.exceptions import EmulationError, LocalProtocolError, RemoteProtocolError
from emulation.observing import Observer, Statistics

__all__ = [
    "Config",
    "EmulationError",
    "LocalProtocolError",
    "Observer",
    "RemoteProtocolError",
    "Statistics",
    "WebSocketEmulation",
    "filter_access_log",
]
