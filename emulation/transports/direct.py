"""Past uvicorn's `receive` and `send`, where nothing stands between it and us.

uvicorn looks for what is malformed in each header of an answer, at 4,000 to 5,000 instructions
each; with a coroutine for each event that was a tenth to a fifth of what an echo costs. Our headers
are constants, numbers and an Origin that was parsed. So an answer is written, and a body that has
come is taken, as uvicorn's methods would do it in the same state without waiting.

Where anything is out of the ordinary, nothing is done here, and ASGI's way is taken: a middleware
between, another server or parser, an access log, a slow reader, a client that has left, a
connection that is to be closed, headers of an operator's that mean something.
"""

from __future__ import annotations

import sys
from types import MethodType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from emulation.transports.headers import Headers

__all__ = ["answer_at_once", "body_at_once", "cycle_of", "has_framing", "head_of", "is_bare"]

_MODULE: Final = "uvicorn.protocols.http.httptools_impl"
_PROXIES: Final = "uvicorn.middleware.proxy_headers"

# Those whose RequestResponseCycle was read word for word. Before them `keep_alive` does not know of
# a request's `Connection: close`; with one behind them tests/transports/test_direct.py says so.
_VERSIONS: Final = ("0.53.", "0.54.")

_STATUS_LINES: Final = {200: b"HTTP/1.1 200 OK\r\n", 204: b"HTTP/1.1 204 No Content\r\n"}

# What uvicorn draws conclusions from, where `--header` says it.
_FRAMING: Final = frozenset((b"connection", b"content-length", b"transfer-encoding"))

# The methods that we may pass by, of each class that was met.
_methods: Final[dict[Any, frozenset[Any]]] = {}


def cycle_of(method: Any) -> Any:
    """Return uvicorn's object of one request that this is a method of; None for any other's."""
    if type(method) is not MethodType:
        return None
    cycle = method.__self__
    kind = type(cycle)
    if kind not in _methods:
        if kind.__module__ != _MODULE:
            return None
        _methods[kind] = _known_methods(kind)
    return cycle if method.__func__ in _methods[kind] else None


def _known_methods(kind: Any) -> frozenset[Any]:
    module = sys.modules[_MODULE]
    version: str = sys.modules["uvicorn"].__version__
    if not version.startswith(_VERSIONS) or kind is not module.RequestResponseCycle:
        return frozenset()
    # Who has put another function in the place of one wants to be called.
    return frozenset([one for one in (kind.receive, kind.send) if _is_own(one, module)])


def _is_own(method: Any, module: Any) -> bool:
    return getattr(method, "__globals__", None) is vars(module)


def is_bare(protocol: Any, app: Any) -> bool:
    """Tell whether this is uvicorn's object of a connection, which calls `app` and nothing else."""
    module = sys.modules[_MODULE]
    kind = type(protocol)
    if kind is not module.HttpToolsProtocol or not _is_own(kind.data_received, module):
        return False
    called = protocol.app
    if type(called) is sys.modules[_PROXIES].ProxyHeadersMiddleware:
        called = called.app  # it corrects the scope by its headers
    return called is app


def body_at_once(receive: Any) -> bytes | None:
    """Return the request's body where all of it has come; None where it is to be waited for."""
    cycle = cycle_of(receive)
    if (
        cycle is None
        or cycle.more_body
        or not cycle.body
        or cycle.disconnected
        or cycle.response_complete
        or cycle.waiting_for_100_continue
    ):
        return None
    cycle.flow.resume_reading()
    cycle.message_event.clear()
    body = bytes(cycle.body)
    cycle.body = bytearray()
    return body


def answer_at_once(send: Any, status: int, headers: Headers, body: bytes | None) -> bool:
    """Write an answer, None for a body that is to follow in chunks; tell whether that was done.

    Nobody looks at the headers: none may hold what somebody else has chosen.
    """
    cycle = cycle_of(send)
    if (
        cycle is None
        or cycle.response_started
        or cycle.disconnected
        or cycle.access_log
        or cycle.waiting_for_100_continue
        or not cycle.keep_alive
        or cycle.flow.write_paused
        or cycle.scope["method"] != "POST"
        or status not in _STATUS_LINES
        or has_framing(cycle.default_headers)
    ):
        return False
    pieces = head_of(status, cycle.default_headers, headers)
    cycle.response_started = True
    if body is None:
        cycle.chunked_encoding = True
        pieces.append(b"transfer-encoding: chunked\r\n\r\n")
        cycle.transport.write(b"".join(pieces))
        return True
    pieces.append(b"\r\n")
    cycle.transport.write(b"".join(pieces))
    if body:
        cycle.transport.write(body)  # by itself: it may be large
    cycle.response_complete = True
    cycle.message_event.set()
    cycle.on_response()
    return True


def has_framing(own: Headers) -> bool:
    """Tell whether the server's own headers mean something to it."""
    return any([name in _FRAMING for name, _ in own])


def head_of(status: int, own: Headers, headers: Headers) -> list[bytes]:
    """Return the lines of an answer's head, which begins with the server's own headers."""
    pieces = [_STATUS_LINES[status]]
    for name, value in (*own, *headers):
        pieces += (name, b": ", value, b"\r\n")
    return pieces
