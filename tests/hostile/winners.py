"""What each intermediary lets through, written down before anything is tried."""

from __future__ import annotations

from collections.abc import Sequence

from emulation.testing import TRANSPORTS

UPGRADE = {"websocket"}
STREAMS = {"stream", "sse", "xhr-stream"}

# The transports that do not get through: a tunnel is cut or silent, an answer held to its end, or
# the answer to a GET is somebody else's.
BLOCKED: dict[str, set[str]] = {
    "strip": UPGRADE,
    "blind101": UPGRADE,
    "blind101bad": UPGRADE,
    "blackhole": UPGRADE,
    "httpbytes": UPGRADE | STREAMS,
    "buffer": UPGRADE | STREAMS,
    "buffer4k": UPGRADE | STREAMS,
    "firstbytes": UPGRADE | STREAMS,
    "cacheall": UPGRADE | {"sse"},  # all others are POSTs
    "cachepath": UPGRADE | {"sse"},
    "http10": UPGRADE,
    "idlekill": set(),
    "maxdur": set(),
    "retry": UPGRADE,
    "dup": UPGRADE,
    "nochunk": UPGRADE,
    "halfopen": set(),
    "gzip": UPGRADE,  # streams, too, of an answer that does not say identity; ours does
    "striphdr": set(),
    "reorder": set(),
    "getpost": set(),
    "limit2k": set(),
    "swallow": UPGRADE,
}


def first(transport: str, among: Sequence[str] = TRANSPORTS) -> list[str]:
    """Return the transports in their usual order, but for one that is tried first."""
    return [transport, *(name for name in among if name != transport)]


def winner(mode: str, order: Sequence[str] = TRANSPORTS) -> str:
    """Return the first transport in `order` that gets through."""
    return next(name for name in order if name not in BLOCKED[mode])
