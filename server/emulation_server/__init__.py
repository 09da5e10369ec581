"""The runnable application: gateway, doctor page and metrics around the library."""
