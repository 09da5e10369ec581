"""The headers of our answers, and what those of a request must say.

All answers share `_COMMON`; each of its fields stands against an intermediary:

- Cache-Control, every directive: caches that know only one of them; `no-transform` against
  compressing and rewriting proxies (HAProxy obeys it, nginx and mod_deflate do not). No Pragma and
  no Expires: answers to POST are not cached without an explicit lifetime, and the one GET has a URL
  that no other request has.
- Content-Encoding `identity`: compressing middlewares outside of ours (Starlette's and its kin)
  leave an answer alone when the field is there at all; without it they hold a stream back.
- X-Accel-Buffering: nginx buffers a proxied answer unless told.
- Vary: caches that store all the same must not give one origin's answer to another.
- X-Content-Type-Options, Cross-Origin-Resource-Policy: bytes that somebody chose are not to be run
  as a script or a page, or embedded. The policy is about requests without CORS; none of ours is.
- Referrer-Policy: the URL of an answer that somebody opened as a page goes no further.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from emulation.exceptions import LocalProtocolError, RemoteProtocolError

__all__ = [
    "EVENT_STREAM",
    "OCTET_STREAM",
    "Headers",
    "allow",
    "answer",
    "application_headers",
    "check_method",
    "check_upload",
    "empty_answer",
    "preflight",
    "retry_after",
]

Header: TypeAlias = tuple[bytes, bytes]
Headers: TypeAlias = list[Header]

OCTET_STREAM: Final[Header] = (b"content-type", b"application/octet-stream")
EVENT_STREAM: Final[Header] = (b"content-type", b"text/event-stream")

_COMMON: Final[Sequence[Header]] = (
    (b"cache-control", b"no-store, no-cache, no-transform, private"),
    (b"content-encoding", b"identity"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"vary", b"Origin"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
)

_EMPTY: Final = tuple(field for field in _COMMON if field[0] in (b"cache-control", b"vary"))

# Emulation is the envelope of a 204; a page may read neither across origins unless it stands here.
_CORS: Final[Sequence[Header]] = (
    (b"access-control-allow-credentials", b"true"),
    (b"access-control-expose-headers", b"Emulation, Retry-After"),
)

# Two hours is the most that Chromium keeps a preflight.
_PREFLIGHT: Final[Sequence[Header]] = (
    (b"access-control-allow-credentials", b"true"),
    (b"access-control-allow-methods", b"GET, POST"),
    (b"access-control-max-age", b"7200"),
)

_BINARY: Final = b"application/octet-stream"
_JSON: Final = b"application/json"
# A preflight may not survive an unload, and text/plain needs none; the secret guards a `bye`.
_PLAIN: Final = b"text/plain"

_DIGITS = re.compile(rb"[0-9]{1,19}")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TOKENS = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z, -]{1,1024}")
_VALUE = re.compile(rb"[^\x00\r\n]*")

# X- fields that servers and proxies in front take as orders, and the one that is ours to say.
_KEPT_BACK: Final = frozenset(
    [
        b"x-content-type-options",
        b"x-lighttpd-send-file",
        b"x-lighttpd-send-tempfile",
        b"x-sendfile",
    ]
)


def answer(
    content_type: Header | None,
    *,
    origin: bytes | None = None,
    length: int | None = None,
    more: Iterable[Header] = (),
) -> Headers:
    """Return the headers of an answer, as a list of its own, since middlewares outside change it.

    `origin` is the allowed Origin of the request (`Decision.origin`), None when there was none;
    `length` is that of the body, None for a stream; a 204 has neither type nor length.
    """
    headers = [*_COMMON, *more]
    if content_type is not None:
        headers.append(content_type)
    if length is not None:
        headers.append((b"content-length", b"%d" % length))
    if origin is not None:
        headers.append((b"access-control-allow-origin", origin))
        headers.extend(_CORS)
    return headers


def empty_answer(origin: bytes | None, *more: Header) -> Headers:
    """Return the headers of a 204: those of `answer` that are not about a body."""
    headers = [*_EMPTY, *more]
    if origin is not None:
        headers.append((b"access-control-allow-origin", origin))
        headers.extend(_CORS)
    return headers


def preflight(verb: str, origin: bytes | None, asked: bytes = b"") -> Headers:
    """Return the headers of the answer (204) to an OPTIONS request for this verb.

    The page's own code adds none to those of the shim, but agents for tracing add theirs to all its
    requests: what is `asked` for (Access-Control-Request-Headers) is allowed.
    """
    headers = [*_COMMON, allow(verb)]
    if origin is not None:
        named = asked if _TOKENS.fullmatch(asked) else b"Content-Type"
        headers.append((b"access-control-allow-origin", origin))
        headers.append((b"access-control-allow-headers", named))
        headers.extend(_PREFLIGHT)
    return headers


def allow(verb: str) -> Header:
    """Return the Allow header that goes with a 405 (RFC 9110 section 15.5.6)."""
    return (b"allow", _method(verb).encode("ascii") + b", OPTIONS")


def retry_after(seconds: float) -> Header:
    """Return the Retry-After header that goes with a 429 or 503: whole seconds, rounded up."""
    return (b"retry-after", b"%d" % max(1, math.ceil(seconds)))


def application_headers(headers: Iterable[Sequence[bytes]]) -> Headers:
    """Return those headers of an application's accept or refusal that may stand on our answer.

    Set-Cookie and the X- fields pass; framing, caching and hop-by-hop fields are the answer's own.

    Raises LocalProtocolError when a field would break out of its line.
    """
    passed = []
    for name, value in headers:
        name = bytes(name).lower()
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise LocalProtocolError(f"The application's answer has a malformed header: {name!r}.")
        if name == b"set-cookie" or _is_passed_extension(name):
            passed.append((name, bytes(value)))
    return passed


def check_method(verb: str, method: str) -> None:
    """Check the method of an HTTP request; OPTIONS is answered before.

    Raises RemoteProtocolError with status 405, or 400 for an upgrade that arrived without it.
    """
    if method != _method(verb):
        raise RemoteProtocolError(405, 1002, "The method is not the one of this verb.")
    if verb == "ws":
        raise RemoteProtocolError(400, 1002, "The upgrade to a WebSocket was lost on the way.")


def check_upload(
    verb: str,
    headers: Sequence[Sequence[bytes]],
    limit: int,
    fields: dict[bytes, bytes] | None = None,
) -> tuple[int, bool]:
    """Check the headers of a request with a body of at most `limit` bytes.

    Returns how many bytes it has, and whether it is in the JSON form.

    `fields` are the same headers, where somebody has made a dict of them already.

    The types admitted are none that a page may send to another origin without a preflight (Fetch,
    CORS-safelisted request headers); `bye` apart.

    Raises RemoteProtocolError with status 400, 411, 413 or 415.
    """
    if fields is None:
        fields = {name: value for name, value in headers}
    if (
        len(fields) == len(headers)
        and fields.get(b"content-type") == _BINARY
        and b"content-encoding" not in fields
        and b"transfer-encoding" not in fields
    ):
        # Nothing came twice and all is as it should be, as nearly always.
        size = fields.get(b"content-length", b"")
        if size.isdigit() and len(size) < 10:
            length = int(size)
            if length <= limit:
                return length, False
    found: dict[bytes, list[bytes]] = {
        b"content-type": [],
        b"content-encoding": [],
        b"content-length": [],
        b"transfer-encoding": [],
    }
    for name, value in headers:
        if name in found:
            found[name].append(value)
    is_json = _check_type(verb, found[b"content-type"])
    if found[b"content-encoding"]:
        raise RemoteProtocolError(415, 1002, "An upload must not have a Content-Encoding.")
    if found[b"transfer-encoding"] or not found[b"content-length"]:
        # Two lengths of one body are how a request is smuggled past a proxy.
        raise RemoteProtocolError(
            411, 1002, "An upload must have a Content-Length and no Transfer-Encoding."
        )
    return _check_length(found[b"content-length"], limit), is_json


def _check_type(verb: str, values: list[bytes]) -> bool:
    essence = values[0].partition(b";")[0].strip().lower() if len(values) == 1 else b""
    if essence == _BINARY:
        return False
    if essence == _JSON or (essence == _PLAIN and verb == "bye"):
        return True
    raise RemoteProtocolError(
        415, 1002, "The Content-Type must be application/octet-stream or application/json."
    )


def _check_length(values: list[bytes], limit: int) -> int:
    if len(values) != 1 or not _DIGITS.fullmatch(values[0]):
        raise RemoteProtocolError(400, 1002, "The Content-Length must be one decimal number.")
    length = int(values[0])
    if length > limit:
        raise RemoteProtocolError(413, 1009, "The request body is too large.")
    return length


def _is_passed_extension(name: bytes) -> bool:
    if not name.startswith(b"x-") or name.startswith(b"x-accel-"):
        return False
    return name not in _KEPT_BACK


def _method(verb: str) -> str:
    return "GET" if verb in ("sse", "ws") else "POST"
