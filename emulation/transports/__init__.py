"""HTTP and WebSocket around frames: one module for each way of carrying them."""
