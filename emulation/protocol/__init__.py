"""The wire (docs/protocol.md), sans-I/O: no waiting, no clock, the standard library alone."""
