"""The marker: the query part that makes a request ours (docs/protocol.md section 1)."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["VERBS", "Marker", "split_marker"]

VERBS: Final = ("open", "send", "stream", "poll", "ticket", "bye", "ws", "sse")

# A whole part between two `&`: `\Z` instead of `$`, which also matches before a last line feed.
_MARKER = re.compile(
    rb"(?<![^&])emulation="
    rb"(?:(open|send|stream|poll|ticket|bye|ws)\.([\w-]{22})|sse\.([\w-]{22})\.([\w-]{22}))"
    rb"(?=&|\Z)"
)

# What stands before the key where the marker is the whole query, as in a carrier's own requests,
# which come again and again.
_ALONE: Final = {b"emulation=%s." % verb.encode("ascii"): verb for verb in VERBS if verb != "sse"}


class Marker:
    """Name what a request wants of which carrier; `ticket` is empty unless the verb is `sse`.

    No tuple with names: making one, as for every request, takes ten times as long when compiled.
    """

    __slots__ = ("key", "ticket", "verb")

    def __init__(self, verb: str, key: str, ticket: str) -> None:
        self.verb = verb
        self.key = key
        self.ticket = ticket


def split_marker(query_string: bytes) -> tuple[Marker | None, bytes]:
    """Part the marker from the application's own query, which keeps all its bytes.

    A query with no marker, or with more than one, is the application's own as it stands.
    """
    alone = _ALONE.get(query_string[:-22])
    if alone is not None:
        name = query_string[-22:]
        if name.translate(None, b"-_").isalnum():
            return Marker(alone, name.decode("ascii"), ""), b""
    # Nearly every request of an application ends here.
    if b"emulation=" not in query_string:
        return None, query_string
    found = list(_MARKER.finditer(query_string))
    if len(found) != 1:
        return None, query_string
    [match] = found
    # The separator before the part goes with it, or the one behind it when it is the first.
    before, after = query_string[: match.start()], query_string[match.end() :]
    rest = before[:-1] + after if before else after[1:]
    verb, key, sse_key, ticket = [group.decode("ascii") for group in match.groups(b"")]
    return Marker(verb or "sse", key or sse_key, ticket), rest
