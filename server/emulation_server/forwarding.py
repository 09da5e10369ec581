"""What is said of the client by `Forwarded` and `X-Forwarded-*`, and by whom it is believed.

From a trusted proxy the fields are taken and continued; from anybody else they are dropped and
begun anew. Behind this middleware they are true: the origin policy may believe them, and they go to
the backend as they are.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from emulation.config import network

if TYPE_CHECKING:
    from emulation.bridge import App, Receive, Scope, Send

__all__ = ["Forwarding"]

_FIELDS: Final = frozenset(
    (b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto")
)


class Forwarding:
    """Make the forwarding fields, the client and the scheme of a scope those of the real client.

    `trusted` are addresses or networks of proxies, or "*" for whoever connects (the only one that
    covers a Unix socket). Raises ValueError, in a sentence, for what is neither.
    """

    def __init__(self, app: App, trusted: Iterable[str]) -> None:
        self.app = app
        names = list(trusted)
        self._trusts_any = "*" in names
        self._networks = tuple(
            network(name, "forwarded_allow_ips") for name in names if name != "*"
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the connection on with a scope of its own."""
        if scope["type"] in ("http", "websocket"):
            scope = self._forwarded(scope)
        await self.app(scope, receive, send)

    def _forwarded(self, scope: Scope) -> dict[str, object]:
        peer = scope["client"][0] if scope.get("client") else ""
        told: dict[bytes, list[bytes]] = {field: [] for field in _FIELDS}
        kept = []
        host = b""
        for name, value in scope["headers"]:
            if name in told:
                told[name].append(value)
            else:
                kept.append((name, value))
            if name == b"host":
                host = value
        if not self._trusts(peer):
            for values in told.values():
                values.clear()
        addresses = [item.strip() for item in b",".join(told[b"x-forwarded-for"]).split(b",")]
        chain = [item for item in addresses if item]
        tls = scope["scheme"] in ("https", "wss")
        proto = _last(told[b"x-forwarded-proto"]) or (b"https" if tls else b"http")
        host = _last(told[b"x-forwarded-host"]) or host
        if peer:
            chain.append(peer.encode("ascii"))
        fields = [
            (b"x-forwarded-for", b", ".join(chain)),
            (b"x-forwarded-host", host),
            (b"x-forwarded-proto", proto),
            (b"forwarded", b", ".join((*told[b"forwarded"], _element(peer, host, proto)))),
        ]
        own = {**scope, "headers": kept + [field for field in fields if field[1]]}
        if told[b"x-forwarded-proto"]:
            own["scheme"] = _scheme(scope["type"], proto in (b"https", b"wss"))
        client = self._client(chain)
        if client and client != peer:
            own["client"] = (client, 0)
        return own

    def _trusts(self, peer: str) -> bool:
        if self._trusts_any:
            return True
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in trusted for trusted in self._networks)

    def _client(self, chain: list[bytes]) -> str:
        """Return the last address that no trusted proxy has; where all have, the first one."""
        names = [item.decode("latin-1") for item in chain]
        if self._trusts_any:
            return names[0] if names else ""
        return next((name for name in reversed(names) if not self._trusts(name)), "")


def _last(values: list[bytes]) -> bytes:
    """Return what the proxy next to us has said."""
    return values[-1].rpartition(b",")[2].strip() if values else b""


def _scheme(kind: str, is_secure: bool) -> str:
    plain = "http" if kind == "http" else "ws"
    return plain + "s" if is_secure else plain


def _element(peer: str, host: bytes, proto: bytes) -> bytes:
    """Make our element of Forwarded (RFC 7239 section 4)."""
    node = f'"[{peer}]"' if ":" in peer else peer or "unknown"
    parts = [b"for=" + node.encode("ascii")]
    if host and b'"' not in host and b"\\" not in host:
        parts.append(b'host="' + host + b'"')
    parts.append(b"proto=" + (b"https" if proto in (b"https", b"wss") else b"http"))
    return b";".join(parts)
