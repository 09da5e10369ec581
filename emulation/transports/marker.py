"""The marker: the query part that makes a request ours (docs/protocol.md section 1)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

__all__ = ["VERBS", "Marker", "split_marker"]

VERBS: Final = ("open", "send", "stream", "poll", "ticket", "bye", "ws", "sse")

# A whole part between two `&`: `\Z` instead of `$`, which also matches before a last line feed.
_MARKER = re.compile(
    rb"(?<![^&])emulation="
    rb"(?:(open|send|stream|poll|ticket|bye|ws)\.([\w-]{22})|sse\.([\w-]{22})\.([\w-]{22}))"
    rb"(?=&|\Z)"
)

# The URL of a carrier's own requests, which come again and again.
_ALONE = re.compile(rb"emulation=(send|stream|poll|ticket|bye|open|ws)\.([\w-]{22})")
_VERBS: Final = {verb.encode("ascii"): verb for verb in VERBS}


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
    alone = _ALONE.fullmatch(query_string)
    if alone is not None:
        verb, key = alone.groups()
        return Marker(_VERBS[verb], key.decode("ascii"), ""), b""
    found = list(_MARKER.finditer(query_string))
    if len(found) != 1:
        return None, query_string
    [match] = found
    # The separator before the part goes with it, or the one behind it when it is the first.
    before, after = query_string[: match.start()], query_string[match.end() :]
    rest = before[:-1] + after if before else after[1:]
    name, key, sse_key, ticket = [group.decode("ascii") for group in match.groups(b"")]
    return Marker(name or "sse", key or sse_key, ticket), rest
