"""WebSocket for pages and servers where WebSockets do not get through."""

__all__: list[str] = []
