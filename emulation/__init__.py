"""WebSocket for pages and servers where WebSockets do not get through."""
