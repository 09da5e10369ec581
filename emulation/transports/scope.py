"""The scope that the application sees: what uvicorn gives a native handshake."""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING, Any

from emulation.bridge import Binding
from emulation.exceptions import RemoteProtocolError
from emulation.protocol.close import CloseCode

if TYPE_CHECKING:
    from emulation.bridge import Scope
    from emulation.config import Config

__all__ = ["binding_of", "client_of", "websocket_scope"]

# Of the request that carries an open, these are its own and no handshake's: the origin policy has
# read them.
_REQUEST_ONLY = frozenset(
    (
        b"accept",
        b"accept-encoding",
        b"connection",
        b"content-length",
        b"content-type",
        b"keep-alive",
        b"priority",
        b"referer",
        b"sec-websocket-extensions",
        b"sec-websocket-key",
        b"sec-websocket-protocol",
        b"sec-websocket-version",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    )
)

_REQUEST_KINDS = (b"sec-ch-", b"sec-fetch-")

# What is kept of the request for as long as its socket may be asked for again (bytes): what nginx
# takes by default, while some servers take headers without end.
_MAX_BINDING = 32 * 1024

# Longer than any address, with its zone.
_MAX_ADDRESS = 64


def websocket_scope(
    scope: Scope, query: bytes, nonce: str, protocols: list[str], config: Config
) -> dict[str, Any]:
    """Make the scope of a native handshake out of the request that stands for it.

    All that outer middleware put there stays; method and extensions of HTTP do not.
    """
    headers = [field for field in scope["headers"] if not _is_request_only(field[0])]
    headers += (
        (b"connection", b"Upgrade"),
        (b"upgrade", b"websocket"),
        (b"sec-websocket-version", b"13"),
        # A key is 16 random bytes (RFC 6455 section 4.1), and so is a nonce.
        (b"sec-websocket-key", _key_of(nonce)),
    )
    if protocols:
        headers.append((b"sec-websocket-protocol", ", ".join(protocols).encode()))
    own = {key: value for key, value in scope.items() if key not in ("method", "http_version")}
    own.update(
        type="websocket",
        asgi={"version": "3.0", **scope.get("asgi", {}), "spec_version": "2.4"},
        http_version="1.1",
        scheme="wss" if scope.get("scheme") in ("https", "wss") else "ws",
        query_string=query,
        headers=headers,
        subprotocols=list(protocols),
        extensions={"websocket.http.response": {}},
    )
    return own


def _is_request_only(name: bytes) -> bool:
    return name in _REQUEST_ONLY or (name[:4] == b"sec-" and name.startswith(_REQUEST_KINDS))


def _key_of(nonce: str) -> bytes:
    # By way of the bytes: a last character has four bits too many.
    standard = nonce.replace("-", "+").replace("_", "/") + "=="
    return binascii.b2a_base64(binascii.a2b_base64(standard), newline=False)


def binding_of(scope: Scope, query: bytes) -> Binding:
    """Return what another try of the same socket must have in common with this request.

    Raises RemoteProtocolError with 431 where that is too long to be kept.
    """
    found = {b"origin": b"", b"cookie": b"", b"authorization": b""}
    for name, value in scope["headers"]:
        if name in found:
            # HTTP/2 may send each cookie in a field of its own (RFC 9113 section 8.2.3).
            before = found[name]
            found[name] = before + b"; " + value if before and value else before or value
    path = scope.get("raw_path") or scope["path"].encode()
    binding = Binding(
        found[b"origin"], path.partition(b"?")[0], query, found[b"cookie"], found[b"authorization"]
    )
    if sum(map(len, binding)) > _MAX_BINDING:
        text = "query, cookies and authorization are too long"
        raise RemoteProtocolError(431, CloseCode.POLICY_VIOLATION, text)
    return binding


def client_of(scope: Scope) -> str:
    """Return the address of the client, "" where the server does not know it."""
    client = scope.get("client")
    address: str = client[0] if client else ""
    # Behind a proxy it may be what X-Forwarded-For says: no line of its own in a log.
    if len(address) > _MAX_ADDRESS or not (address.isascii() and address.isprintable()):
        return ascii(address[:_MAX_ADDRESS])[1:-1]
    return address
