"""WebSocket for pages and servers where WebSockets do not get through.

`WebSocketEmulation` wraps any ASGI application, and its ordinary WebSocket endpoints are reachable
over a native WebSocket, a streamed response, server-sent events and long-polling.
"""

from emulation.asgi import WebSocketEmulation
from emulation.config import Config
from emulation.exceptions import EmulationError, LocalProtocolError, RemoteProtocolError

__all__ = [
    "Config",
    "EmulationError",
    "LocalProtocolError",
    "RemoteProtocolError",
    "WebSocketEmulation",
]
