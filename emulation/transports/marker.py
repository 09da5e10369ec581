"""The marker: the query part that makes a request ours (docs/protocol.md section 1)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

__all__ = ["VERBS", "Marker", "split_marker"]

VERBS: Final = ("open", "send", "stream", "poll", "ticket", "bye", "ws", "sse")

# A whole part between two `&`: `\Z` instead of `$`, which also matches before a last line feed.
_MARKER = re.compile(
    rb"(?<![^&])emulation="
    rb"(?:(open|send|stream|poll|ticket|bye|ws)\.([\w-]{22})|sse\.([\w-]{22})\.([\w-]{22}))"
    rb"(?=&|\Z)"
)


class Marker(NamedTuple):
    """Name what a request wants of which carrier; `ticket` is empty unless the verb is `sse`."""

    verb: str
    key: str
    ticket: str


def split_marker(query_string: bytes) -> tuple[Marker | None, bytes]:
    """Part the marker from the application's own query, which keeps all its bytes.

    A query with no marker, or with more than one, is the application's own as it stands.
    """
    # Nearly every request of an application ends here.
    if b"emulation=" not in query_string:
        return None, query_string
    if query_string.startswith(b"emulation=") and b"&" not in query_string:
        # The URL of a carrier's own requests, which come again and again.
        return _split_alone(query_string)
    return _split(query_string)


@lru_cache(4096)
def _split_alone(query_string: bytes) -> tuple[Marker | None, bytes]:
    return _split(query_string)


def _split(query_string: bytes) -> tuple[Marker | None, bytes]:
    found = list(_MARKER.finditer(query_string))
    if len(found) != 1:
        return None, query_string
    [match] = found
    # The separator before the part goes with it, or the one behind it when it is the first.
    before, after = query_string[: match.start()], query_string[match.end() :]
    rest = before[:-1] + after if before else after[1:]
    verb, key, sse_key, ticket = (group.decode("ascii") for group in match.groups(b""))
    return Marker(verb or "sse", key or sse_key, ticket), rest
