"""Backends by path: which server a WebSocket belongs to, and what is asked for there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

__all__ = ["Backend", "Routes", "Target", "UnsafePath"]

_DEFAULT_PORTS: Final = {"ws": 80, "wss": 443}

# What may stand in a request's first line (RFC 9112 section 3): no blank, no line end and no "#".
_VISIBLE = re.compile(r"[!\"$-~]*")
# What one server or another takes for the end of a segment.
_SEPARATOR = re.compile(r"[/\\]|%2f|%5c", re.IGNORECASE)


class UnsafePath(ValueError):
    """Say that a path could mean another place at the backend than it does here."""


@dataclass(frozen=True, slots=True)
class Backend:
    """A WebSocket server: where it is, and the path that its URL was given with."""

    is_secure: bool
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str) -> Backend:
        """Read a ws: or wss: URL. Raises ValueError, in a sentence, for any other text."""
        try:
            parts = urlsplit(url)
        except ValueError:  # brackets without an address of IPv6 in them
            parts = urlsplit("")
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
            raise ValueError(f"{url!r} is no WebSocket URL; give one such as ws://localhost:9000.")
        if parts.username is not None:
            raise ValueError(
                f"The backend's URL {parts.hostname!r} must not hold a user or password."
            )
        if parts.query or parts.fragment:
            raise ValueError(f"The backend's URL {url!r} must end with its path: no ? and no #.")
        try:
            port = parts.port or _DEFAULT_PORTS[parts.scheme]
        except ValueError:
            raise ValueError(f"The port in {url!r} must be a number from 1 to 65535.") from None
        _check(parts.path)
        return cls(parts.scheme == "wss", parts.hostname, port, parts.path)

    @property
    def authority(self) -> str:
        """Return host and port as in a Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def scheme(self) -> str:
        return "wss" if self.is_secure else "ws"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


class Target(NamedTuple):
    """A backend, and the path and query of one WebSocket there."""

    backend: Backend
    path: str
    query: str


class Routes:
    """Find the backend of a path by the longest prefix of whole segments.

    Where the backend's URL has a path, it takes the place of the prefix; where it has none, paths
    stay as they are. Raises ValueError, in a sentence, for a prefix that is malformed, that no path
    ever has, or that is given twice.
    """

    def __init__(self, routes: Mapping[str, Backend]) -> None:
        found: dict[str, Backend] = {}
        for prefix, backend in routes.items():
            if not prefix.startswith("/"):
                raise ValueError(f"The route {prefix!r} must begin with '/'.")
            if "?" in prefix:
                raise ValueError(f"The route {prefix!r} never matches: give it without a query.")
            try:
                _check(prefix)
            except UnsafePath as error:
                raise ValueError(f"The route {prefix!r} never matches: {error}") from None
            path = prefix.rstrip("/")
            if path in found:
                raise ValueError(
                    f"The route {path or '/'!r} is given twice: a '/' at its end changes nothing."
                )
            found[path] = backend
        self._routes = sorted(found.items(), key=lambda route: len(route[0]), reverse=True)

    def __iter__(self) -> Iterator[tuple[str, Backend]]:
        """Iterate over the prefixes and their backends, the longest first."""
        return iter(self._routes)

    def find(self, path: str, query: str = "") -> Target | None:
        """Return the target of a raw path and query, None where no route has it.

        Raises UnsafePath for one that browsers never send: with dot segments, which a backend could
        resolve to a place outside of its route, or with characters that are not visible.
        """
        _check(path)
        if not _VISIBLE.fullmatch(query):
            raise UnsafePath("A query must hold visible characters only, and no '#'.")
        for prefix, backend in self._routes:
            rest = path[len(prefix) :]
            if path.startswith(prefix) and (not rest or rest[0] == "/"):
                return Target(backend, _joined(backend.path, prefix, rest) or "/", query)
        return None


def _joined(base: str, prefix: str, rest: str) -> str:
    if not base:
        return prefix + rest
    if not rest or (not prefix and rest == "/"):
        return base
    return base.rstrip("/") + rest


def _check(path: str) -> None:
    if not path:
        return
    if path[0] != "/" or not _VISIBLE.fullmatch(path):
        raise UnsafePath("A path must begin with '/' and hold visible characters only, and no '#'.")
    if any(unquote(segment) in (".", "..") for segment in _SEPARATOR.split(path)):
        raise UnsafePath("A path must not hold the segments '.' and '..'.")
