"""Where requests go (docs/protocol.md section 1)."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

__all__ = ["Address"]

_SECURE = {"http": False, "ws": False, "https": True, "wss": True}


class Address(NamedTuple):
    """A URL taken apart; `path` and `query` are kept as they were written."""

    is_secure: bool
    authority: str
    host: str
    port: int
    path: str
    query: str

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read an `http:`, `https:`, `ws:` or `wss:` URL; raises ValueError for any other."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ValueError(
                f"{url!r} has no host and port that could be read; give them as in"
                " http://localhost:8000 or http://[::1]:8000, the port at most 65535"
            ) from None
        is_secure = _SECURE.get(parts.scheme)
        if is_secure is None or not parts.hostname:
            raise ValueError(f"{url!r} is no absolute http:, https:, ws: or wss: URL")
        port = port or (443 if is_secure else 80)
        authority = parts.netloc.rpartition("@")[2]
        return cls(is_secure, authority, parts.hostname, port, parts.path or "/", parts.query)

    def join(self, path: str) -> Address:
        """Return the address of a path (with its query), or of a whole URL, seen from here."""
        if urlsplit(path).scheme in ("ws", "wss"):
            return Address.parse(path)
        return Address.parse(urljoin(f"{self.origin}{self.path}", path))

    @property
    def origin(self) -> str:
        """The origin of the pages that live here."""
        return f"{'https' if self.is_secure else 'http'}://{self.authority}"

    @property
    def websocket_origin(self) -> str:
        return f"{'wss' if self.is_secure else 'ws'}://{self.authority}"

    def target(self, marker: str = "", *, own_query: bool = True) -> str:
        """Return path and query, with the marker's value as one more part of the query."""
        parts = [self.query] if own_query and self.query else []
        if marker:
            parts.append(f"emulation={marker}")
        return "?".join((self.path, "&".join(parts))) if parts else self.path
