"""Who may talk to us: one policy for every transport, the native WebSocket included.

A browser says by Origin and Sec-Fetch-Site on whose behalf it asks; nothing that a page does can
forge them. CORS alone decides who may *read*, and not even that on a WebSocket, so the policy is
applied to every request before anything is looked up. It tells pages apart and is no
authentication: who is not a browser sends what it likes.

Allowed without configuration are, in this order,

1. a page of the same origin, as Sec-Fetch-Site says;
2. an Origin that equals Host, or X-Forwarded-Host when a trusted proxy sent it;
3. a page on a loopback host to a server that is asked for by a loopback host, on any port: the
   development server of the page is another one than ours. Both names count, not addresses: a
   name of somebody else's that resolves to 127.0.0.1 (DNS rebinding) is not a loopback host.

`origins` allows others, by exact match; `"*"` all of them. The origin `null` (a sandboxed frame, a
file) can be anybody's and is never allowed unless it stands in `origins`. A request without Origin
passes when it is a POST with our content types, which force a preflight
(`transports.headers.check_upload` refuses others with 415), unless Sec-Fetch-Site says cross-site;
when it brings a ticket; and when it is an upgrade without cookies, with nothing to be gained by it.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import time
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from emulation.config import Network, Scope, network

__all__ = ["Decision", "OriginPolicy"]

_logger = logging.getLogger("emulation.origins")

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

# Anybody's: sandboxed frames and data: URLs in all browsers, files in Android's WebView.
_OPAQUE: Final = (b"null", b"file://")

# Longer than any serialised origin: a host name has at most 253 characters.
_MAX_SIZE: Final = 512

_LOOPBACK: Final = (network("127.0.0.0/8"), network("::1"))

# What a log line shows of an origin.
_SHOWN: Final = 200

# Lines a minute about refusals, each about another origin; origins remembered by the warnings.
_LINES: Final = 20
_PERIOD: Final = 60.0
_WARNINGS: Final = 200

# Combinations of headers that passed and need not be looked at again.
_REMEMBERED: Final = 1000

# Strict where a URL parser would be kind: an origin has no user, no path and no blanks.
_NAME: Final = r"([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?"
_ORIGIN = re.compile(rf"([a-z][a-z0-9+.-]*)://{_NAME}", re.ASCII | re.IGNORECASE)
_AUTHORITY = re.compile(_NAME, re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Decision:
    """Say whether a request may go on.

    `origin` is its Origin, which is the value of Access-Control-Allow-Origin, when it has one that
    is allowed; otherwise None.
    """

    is_allowed: bool
    origin: bytes | None = None
    # As the browser says itself: it needs no CORS then.
    is_same: bool = field(default=False, compare=False)


class OriginPolicy:
    """Decide by a request's headers whether its page may talk to us.

    Raises TypeError or ValueError, with a sentence, when an origin or a proxy is malformed.
    """

    def __init__(
        self,
        origins: Iterable[str] = (),
        trusted_proxies: Iterable[str] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if isinstance(origins, str | bytes) or not isinstance(origins, Iterable):
            raise TypeError(
                f"origins={origins!r} must be a list of strings, such as ['https://app.example']."
            )
        allowed = [_configured(origin) for origin in origins]
        self._allowed = frozenset(allowed)
        self._has_any = "*" in self._allowed
        proxies = list(trusted_proxies)
        self._trusts_any = "*" in proxies
        self._proxies = tuple(network(proxy) for proxy in proxies if proxy != "*")
        self._passed: dict[tuple[bytes | str | None, ...], Decision] = {}
        self._log = _Log([_text(origin) for origin in allowed], clock)

    def check(self, scope: Scope, verb: str, fields: dict[bytes, bytes] | None = None) -> Decision:
        """Decide about a request of an emulated WebSocket, and log a refusal.

        `fields` are its headers, where somebody has made a dict of them already.

        An absent Origin passes on the verbs with a body and on `sse`: the caller refuses a body
        of another content type, and an `sse` without a valid ticket.
        """
        if fields is None:
            fields = dict(scope["headers"])
        same = (
            fields.get(b"origin"),
            fields.get(b"host"),
            fields.get(b"sec-fetch-site"),
            scope.get("scheme"),
        )
        # A page's requests are all alike; what came twice, or through a proxy that names another
        # host, is looked at each time. Whether there are cookies matters to an upgrade alone.
        is_plain = (
            len(fields) == len(scope["headers"])
            and b"x-forwarded-host" not in fields
            and b"origin" in fields
        )
        if is_plain and same in self._passed:
            return self._passed[same]
        seen = _Seen.of(scope)
        decision = self._decide(scope, seen, verb)
        if not decision.is_allowed:
            self._log.refusal(seen, self._unbelieved(scope, seen))
        elif is_plain and sum(len(value) for value in same if value) <= _MAX_SIZE:
            # Servers may take headers of any size: what is remembered is bounded in bytes, too.
            if len(self._passed) >= _REMEMBERED:
                self._passed.clear()
            self._passed[same] = decision
        return decision

    def check_native(self, scope: Scope) -> Decision:
        """Decide about a plain WebSocket handshake that goes straight to the application.

        Without `origins` it passes, as it did before we were there, with one warning for each
        foreign origin.
        """
        seen = _Seen.of(scope)
        decision = self._decide(scope, seen, "ws")
        if decision.is_allowed:
            return decision
        if self._allowed:
            self._log.refusal(seen, self._unbelieved(scope, seen))
            return decision
        if seen.origin is not None:
            self._log.warning(seen)
        return Decision(True)

    def _decide(self, scope: Scope, seen: _Seen, verb: str) -> Decision:
        if seen.origin is None:
            return Decision(self._has_any or seen.may_lack_origin(verb))
        if seen.origin in _OPAQUE:
            is_allowed = self._has_any or seen.origin.decode("ascii") in self._allowed
        else:
            origin = _parsed(seen.origin)
            is_allowed = origin is not None and self._is_allowed(scope, seen, origin)
        if not is_allowed:
            return Decision(False)
        return Decision(True, seen.origin, seen.site == b"same-origin")

    def _is_allowed(self, scope: Scope, seen: _Seen, origin: _Origin) -> bool:
        if self._has_any or origin in self._allowed or seen.site == b"same-origin":
            return True
        if origin.scheme not in _DEFAULT_PORTS:
            return False
        if scope.get("scheme") in ("https", "wss") and origin.scheme != "https":
            # Who can write into a page that came without TLS is not let in behind it.
            return False
        ours = [seen.host]
        if seen.forwarded_host is not None and self._is_trusted(scope):
            ours.append(seen.forwarded_host)
        authorities = [_authority(name, origin.scheme) for name in ours if name is not None]
        return (origin.host, origin.port) in authorities or (
            _is_loopback(origin.host) and seen.is_asked_by_loopback()
        )

    def _unbelieved(self, scope: Scope, seen: _Seen) -> str:
        """Say for the log whose X-Forwarded-Host would have let the page in, "" for nobody's."""
        origin = None if seen.origin is None else _parsed(seen.origin)
        name = seen.forwarded_host
        if origin is None or name is None or origin.scheme not in _DEFAULT_PORTS:
            return ""
        if _authority(name, origin.scheme) != (origin.host, origin.port) or self._is_trusted(scope):
            return ""
        client = scope.get("client")
        return (
            f" X-Forwarded-Host {_shown(name)} was not believed, which came from"
            f" {_shown(None if client is None else str(client[0]).encode('latin-1', 'replace'))}:"
            " see trusted_proxies in Config."
        )

    def _is_trusted(self, scope: Scope) -> bool:
        if self._trusts_any:
            return True
        client = scope.get("client")
        return client is not None and any(_is_in(client[0], proxy) for proxy in self._proxies)


class _Origin(NamedTuple):
    scheme: str
    host: str
    port: int | None


class _Seen(NamedTuple):
    """Hold what the policy looks at; a header that came twice in two ways is not believed."""

    origin: bytes | None
    host: bytes | None
    site: bytes | None
    forwarded_host: bytes | None
    has_cookie: bool

    @classmethod
    def of(cls, scope: Scope) -> _Seen:
        found: dict[bytes, list[bytes]] = {
            b"origin": [],
            b"host": [],
            b"sec-fetch-site": [],
            b"x-forwarded-host": [],
            b"cookie": [],
        }
        for name, value in scope["headers"]:
            if name in found:
                found[name].append(value)
        forwarded = found[b"x-forwarded-host"]
        return cls(
            # Two are as malformed together as each would be with a blank in it.
            origin=b" ".join(found[b"origin"]) if found[b"origin"] else None,
            host=found[b"host"][0] if len(found[b"host"]) == 1 else None,
            site=b",".join(found[b"sec-fetch-site"]) or None,
            # The last name is the one that the proxy next to us has put there.
            forwarded_host=forwarded[-1].rpartition(b",")[2].strip() if forwarded else None,
            has_cookie=bool(found[b"cookie"]),
        )

    def may_lack_origin(self, verb: str) -> bool:
        """Tell whether a request of this verb without Origin can be no other page's."""
        if self.site == b"same-origin" or verb == "sse":
            return True
        if verb == "ws":
            return not self.has_cookie
        return self.site is None or b"cross-site" not in self.site

    def is_asked_by_loopback(self) -> bool:
        """Tell whether every name by which the request asks for us is a loopback host.

        X-Forwarded-Host counts from anybody here, as it can only take away: a proxy on this machine
        asks for us by a loopback host on behalf of the world.
        """
        names = [name for name in (self.host, self.forwarded_host) if name is not None]
        authorities = [_authority(name, "http") for name in names]
        return self.host is not None and all(
            authority is not None and _is_loopback(authority[0]) for authority in authorities
        )


class _Log:
    """Write what is refused or foreign, in few lines whatever comes in."""

    def __init__(self, allowed: list[str], clock: Callable[[], float]) -> None:
        self._allowed = allowed
        self._clock = clock
        self._since = clock()
        self._refused: set[bytes | None] = set()
        self._hidden = 0
        self._warned: set[bytes | None] = set()

    def refusal(self, seen: _Seen, unbelieved: str) -> None:
        """Log one line for an origin a minute, and not many lines in all."""
        if self._clock() - self._since >= _PERIOD:
            self._since = self._clock()
            self._refused.clear()
        if not _remember(self._refused, seen.origin, _LINES):
            self._hidden += 1
            return
        hidden, self._hidden = self._hidden, 0
        _logger.warning(
            "Refused a request %s for host %s. Allowed are the server's own origin and %s;"
            " to allow others, change origins=[...] of WebSocketEmulation.%s%s",
            _named(seen.origin),
            _shown(seen.host),
            self._allowed or "no other",
            unbelieved,
            f" ({hidden} more refusals were not logged.)" if hidden else "",
        )

    def warning(self, seen: _Seen) -> None:
        """Log one line for an origin, once."""
        if _remember(self._warned, seen.origin, _WARNINGS):
            _logger.warning(
                "Passed a native WebSocket %s for host %s: without origins=[...] of"
                " WebSocketEmulation the application decides itself who may connect.",
                _named(seen.origin),
                _shown(seen.host),
            )


def _remember(origins: set[bytes | None], origin: bytes | None, limit: int) -> bool:
    """Add an origin; tell whether it is new and there was room."""
    key = None if origin is None else origin[:_MAX_SIZE]
    if key in origins or len(origins) >= limit:
        return False
    origins.add(key)
    return True


def _named(origin: bytes | None) -> str:
    return "without Origin" if origin is None else f"of origin {_shown(origin)}"


def _shown(value: bytes | None) -> str:
    """Return what a peer sent in a form that cannot break out of a log line."""
    return "(none)" if value is None else ascii(value[:_SHOWN].decode("latin-1"))


def _configured(origin: object) -> _Origin | str:
    """Return an origin of the configuration as browsers would write it."""
    if not isinstance(origin, str):
        raise TypeError(f"origins: {origin!r} must be a string such as 'https://app.example'.")
    if origin in ("*", "null", "file://"):
        return origin
    scheme, separator, rest = origin.partition("://")
    parsed = _parsed(f"{scheme}{separator}{_punycode(rest)}".encode("ascii", "replace"))
    if parsed is None or not _is_possible(parsed):
        raise ValueError(
            f"origins: {origin!r} is not an origin; write scheme, host and port of the page and"
            " nothing else, such as 'https://app.example' or 'http://localhost:3000'."
        )
    if parsed.scheme in ("ws", "wss"):
        raise ValueError(
            f"origins: {origin!r} is the address of a WebSocket; write the origin of the page,"
            f" {_text(parsed).replace('ws', 'http', 1)!r}."
        )
    return parsed


def _parsed(origin: bytes) -> _Origin | None:
    match = _ORIGIN.fullmatch(origin.decode("latin-1")) if len(origin) <= _MAX_SIZE else None
    if match is None:
        return None
    scheme = match[1].lower()
    port = int(match[3]) if match[3] else _DEFAULT_PORTS.get(scheme)
    return _Origin(scheme, _normal(match[2]), port)


def _authority(name: bytes, scheme: str) -> tuple[str, int] | None:
    match = _AUTHORITY.fullmatch(name.decode("latin-1")) if len(name) <= _MAX_SIZE else None
    if match is None:
        return None
    return _normal(match[1]), int(match[2]) if match[2] else _DEFAULT_PORTS[scheme]


def _normal(host: str) -> str:
    address = _address(host[1:-1]) if host.startswith("[") else None
    return host.lower() if address is None else f"[{address.compressed}]"


def _punycode(rest: str) -> str:
    """Return host and port with the labels beyond ASCII as browsers send them (UTS 46).

    Python's own codec is of 2003 and makes another name of `ß`; the mapping here needs no table
    because a name that is not allowed in one does not resolve either.
    """
    host, colon, port = rest.rpartition(":")
    if not port.isdecimal():
        host, colon, port = rest, "", ""
    # Each character by itself: the last sigma of a word is none of this mapping's business.
    lowered = "".join(map(str.lower, unicodedata.normalize("NFKC", host)))
    mapped = unicodedata.normalize("NFKC", lowered)
    labels = mapped.replace("\u3002", ".").split(".")
    return ".".join(map(_ascii_label, labels)) + colon + port


def _ascii_label(label: str) -> str:
    return label if label.isascii() else "xn--" + label.encode("punycode").decode("ascii")


def _is_possible(origin: _Origin) -> bool:
    """Tell whether a browser could serialise this, so that a slip is told and not silent."""
    if origin.port is not None and not 0 < origin.port < 65536:
        return False
    if origin.host.startswith("["):
        return isinstance(_address(origin.host[1:-1]), ipaddress.IPv6Address)
    # What ends in a number is an IPv4 address, in full (WHATWG URL, "ends in a number checker").
    is_number = origin.host.rpartition(".")[2].isdigit()
    return not is_number or _address(origin.host) is not None


def _text(origin: _Origin | str) -> str:
    if isinstance(origin, str):
        return origin
    is_default = origin.port == _DEFAULT_PORTS.get(origin.scheme)
    return f"{origin.scheme}://{origin.host}" + ("" if is_default else f":{origin.port}")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    address = _address(host.strip("[]"))
    return address is not None and any(address in block for block in _LOOPBACK)


def _is_in(client: str, proxy: Network) -> bool:
    address = _address(client)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        # What a socket for both families says of an IPv4 peer.
        address = address.ipv4_mapped
    return address is not None and address in proxy


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
