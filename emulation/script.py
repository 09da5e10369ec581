"""The shim, as this package carries it, served where a page can load it.

Below the mount path answer `/emulation.js`, which is revalidated so that a page follows the server,
`/emulation.<hash>.js`, whose bytes never change, and the source map. Any other path, the hash of
another release included, is the application's own.
"""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import html
from importlib import resources
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from emulation.bridge import Receive, Scope, Send

__all__ = ["Script", "script_integrity", "script_tag", "script_url"]

_JAVASCRIPT: Final = b"text/javascript; charset=utf-8"
_JSON: Final = b"application/json"

# Five minutes: short against a deployment, long against a visitor who goes from page to page.
_REVALIDATED: Final = b"public, max-age=300, must-revalidate"
_IMMUTABLE: Final = b"public, max-age=31536000, immutable"

_NOT_ALLOWED: Final = b"Only GET and HEAD are allowed here.\n"

Headers = list[tuple[bytes, bytes]]


class Script:
    """Serve the shim as an ASGI application."""

    def serves(self, scope: Scope) -> bool:
        """Tell whether an HTTP request is for the shim or its source map."""
        # Nearly every request of an application ends here.
        return "/emulation." in scope["path"] and _route_path(scope) in _built().files

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that `serves` has told to be for us."""
        status, headers, body = _response(_built().files[_route_path(scope)], scope)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def script_url(base: str = "") -> str:
    """Return the URL of the shim whose answer may be kept for ever, as it changes with the bytes.

    `base` is the mount path (the `root_path` of a request's scope), or the URL of another server.
    """
    return f"{base.rstrip('/')}/emulation.{_built().hash}.js"


def script_integrity() -> str:
    """Return the `integrity` attribute of a script tag for the shim (W3C Subresource Integrity)."""
    return _built().integrity


def script_tag(base: str = "") -> str:
    """Return the HTML script tag for the shim: kept for ever, and run only as it was built."""
    url = html.escape(script_url(base))
    return f'<script src="{url}" integrity="{script_integrity()}" crossorigin="anonymous"></script>'


class _Variant(NamedTuple):
    """One content coding of a file, with the headers that go with it."""

    body: bytes
    etag: bytes
    headers: tuple[tuple[bytes, bytes], ...]


class _File(NamedTuple):
    identity: _Variant
    gzip: _Variant


class _Built(NamedTuple):
    hash: str
    integrity: str
    files: dict[str, _File]


@functools.cache
def _built() -> _Built:
    """Read what the build has left in the package, at the first need of it."""
    static = resources.files("emulation") / "static"
    script = (static / "emulation.js").read_bytes()
    source_map = (static / "emulation.js.map").read_bytes()
    name = hashlib.sha256(script).hexdigest()[:16]
    digest = base64.b64encode(hashlib.sha384(script).digest()).decode("ascii")
    return _Built(
        name,
        f"sha384-{digest}",
        {
            "/emulation.js": _file(script, _JAVASCRIPT, _REVALIDATED),
            f"/emulation.{name}.js": _file(script, _JAVASCRIPT, _IMMUTABLE),
            "/emulation.js.map": _file(source_map, _JSON, _REVALIDATED),
        },
    )


def _file(body: bytes, content_type: bytes, cache_control: bytes) -> _File:
    tag = hashlib.sha256(body).hexdigest()[:32].encode("ascii")
    common = (
        (b"content-type", content_type),
        (b"cache-control", cache_control),
        (b"vary", b"Accept-Encoding"),
        (b"x-content-type-options", b"nosniff"),
        # Any page may load a script, and `integrity` needs CORS to be checked across origins.
        (b"access-control-allow-origin", b"*"),
        (b"cross-origin-resource-policy", b"cross-origin"),
        # A page of another origin learns by it that this host speaks HTTP/2: no tabs are counted.
        (b"timing-allow-origin", b"*"),
    )
    # Strong validators name bytes, so each coding has its own (RFC 9110 section 8.8.3.3).
    coded = (*common, (b"content-encoding", b"gzip"))
    return _File(
        _variant(body, b'"%b"' % tag, common),
        _variant(gzip.compress(body, mtime=0), b'"%b-gzip"' % tag, coded),
    )


def _variant(body: bytes, etag: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> _Variant:
    return _Variant(body, etag, (*headers, (b"etag", etag)))


def _response(file: _File, scope: Scope) -> tuple[int, Headers, bytes]:
    if scope["method"] not in ("GET", "HEAD"):
        return 405, _not_allowed_headers(scope), _NOT_ALLOWED
    variant = file.gzip if _accepts_gzip(scope) else file.identity
    # A list of its own for each answer: middlewares outside add to it.
    headers = list(variant.headers)
    if _has(variant.etag, _values(scope, b"if-none-match")):
        return 304, headers, b""
    headers.append((b"content-length", b"%d" % len(variant.body)))
    return 200, headers, variant.body if scope["method"] == "GET" else b""


def _not_allowed_headers(scope: Scope) -> Headers:
    headers = [
        (b"allow", b"GET, HEAD"),
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(_NOT_ALLOWED)),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    if scope.get("http_version", "1.1").startswith("1"):
        # The body is not read: a proxy must not use the connection again, still owing it (Traffic
        # Server does).
        headers.append((b"connection", b"close"))
    return headers


def _route_path(scope: Scope) -> str:
    """Return the path below the mount; `path` begins with `root_path` by ASGI, but not always."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    return path[len(root) :] if path.startswith(f"{root}/") else path


def _accepts_gzip(scope: Scope) -> bool:
    for item in _values(scope, b"accept-encoding"):
        coding, _, weight = item.lower().partition(b";")
        if coding.strip() == b"gzip":
            # A weight of nothing but zeros forbids (RFC 9110 section 12.4.2).
            return weight.strip().removeprefix(b"q=").strip(b"0.") != b"" or not weight
    return False


def _has(etag: bytes, values: list[bytes]) -> bool:
    """Compare weakly, as If-None-Match asks (RFC 9110 section 13.1.2)."""
    return any(value in (b"*", etag, b"W/" + etag) for value in values)


def _values(scope: Scope, name: bytes) -> list[bytes]:
    """Return the members of a list header."""
    lines = [value for key, value in scope["headers"] if key == name]
    return [member.strip() for member in b",".join(lines).split(b",")]
