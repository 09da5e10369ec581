"""`open`: one socket, one start of the application (docs/protocol.md section 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emulation.bridge import Accepted, Binding, Start
from emulation.config import TRANSPORTS
from emulation.exceptions import RefusedWith, RemoteProtocolError
from emulation.protocol.close import CloseCode
from emulation.protocol.frames import DOCUMENT, Frame, document
from emulation.protocol.handshake import is_nonce, is_token
from emulation.registry import unknown_carrier
from emulation.transports.headers import application_headers
from emulation.transports.scope import binding_of, client_of, websocket_scope

if TYPE_CHECKING:
    from emulation.bridge import App
    from emulation.carrier import Carrier
    from emulation.registry import Registry
    from emulation.transports.exchange import Exchange

__all__ = ["begin", "bound_to_another", "opened", "secret_of", "serve_open"]

# A list of protocols longer than this is no application's.
_MAX_PROTOCOLS = 64


def _malformed(text: str) -> RemoteProtocolError:
    return RemoteProtocolError(400, CloseCode.PROTOCOL_ERROR, text)


async def serve_open(exchange: Exchange, app: App) -> None:
    """Start the application, or join its start; answer with its decision, or `opening`."""
    await exchange.read()
    if not exchange.request.documents:
        raise _malformed("an open without its document")
    wish = exchange.request.documents[0]
    number, nonce = _socket_of(wish)
    if wish[0] == "cancel":
        await _cancel(exchange, number, nonce)
        return
    protocols = _protocols_of(wish)
    registry = exchange.registry
    binding = binding_of(exchange.scope, exchange.query)
    start = _joined(registry, nonce, binding, exchange)
    if start is not None and start.session.is_known:
        # Late: its page has the decision from elsewhere, and has gone on with it.
        await exchange.respond([document("opening", number)])
        return
    if start is None:
        registry.check_room(client_of(exchange.scope))
    carrier = _carrier(exchange, start)
    if start is None:
        registry.check_place(carrier, number)
        scope = websocket_scope(exchange.scope, exchange.query, nonce, protocols, registry.config)
        start = begin(registry, app, scope, nonce, binding)
    session = start.session
    registry.place(session, carrier, number)
    if not session.transport:
        session.serve_by(_intended(wish), "")
    decision = await start.wait(registry.config.open_answer_time)
    frames: list[Frame] = []
    if not exchange.request.head.secret:
        frames.append(secret_of(registry, carrier))
    if decision is None:
        # Given up: by its page, or because it has taken too long.
        name = "gone" if session.connection.is_over else "opening"
        await exchange.respond([*frames, document(name, number)])
    elif isinstance(decision, Accepted):
        await _answer_opened(exchange, carrier, start, frames)
    else:
        frames.append(document("refused", number, decision.status))
        await exchange.respond(frames, status=403, more=decision.headers)


async def _answer_opened(
    exchange: Exchange, carrier: Carrier, start: Start, frames: list[Frame]
) -> None:
    session = start.session
    decision = start.decision
    assert isinstance(decision, Accepted)
    if session.home is None:
        # Also when it is over: what it has said, and that it is, comes down all the same.
        carrier.adopt(session)
    frames.append(opened(exchange.registry, session.number, decision))
    await exchange.respond(frames, more=decision.headers)


def opened(registry: Registry, number: int, decision: Accepted) -> Frame:
    """Make the document that says that the application has accepted."""
    # A subprotocol is a token, and the name of a process no more: nothing in them is escaped.
    name = decision.subprotocol.encode("ascii")
    return DOCUMENT, b'["opened",%d,"%s",%s]' % (number, name, registry.parameters)


def secret_of(registry: Registry, carrier: Carrier) -> Frame:
    """Make the document that tells the page its carrier's secret, and where the carrier is."""
    return DOCUMENT, f'["secret","{carrier.secret}","{registry.node}"]'.encode("ascii")


def begin(
    registry: Registry, app: App, scope: dict[str, Any], nonce: str, binding: Binding
) -> Start:
    """Start the application for this nonce; `Registry.check_room` has found room for it."""
    session = registry.new_session(client_of(scope))
    start = Start(registry, nonce, binding, session, application_headers)
    scope["extensions"]["emulation"] = session.extension
    start.run(app, scope)
    return start


def bound_to_another() -> RemoteProtocolError:
    """Make the answer to a nonce that came with another request before."""
    return RemoteProtocolError(403, CloseCode.POLICY_VIOLATION, "this nonce is another request's")


def _check_binding(start: Start, binding: Binding, exchange: Exchange) -> None:
    """Raise RemoteProtocolError with 403 for a try that is not of the page that made the first.

    A cookie may have changed meanwhile: by an answer of the application that was lost behind its
    headers, or by a balancer on the way. The secret shows that the page is the same all the same.
    """
    first = start.binding
    binding = binding.beside(first)
    if binding == first:
        return
    if binding._replace(cookie=first.cookie) == first:
        answered = start.decision.headers if start.decision is not None else ()
        set_by_us = {_name(value) for field, value in answered if field == b"set-cookie"}
        if _cookies(binding.cookie, set_by_us) == _cookies(first.cookie, set_by_us):
            return
        if exchange.request.head.secret:
            carrier = exchange.find_carrier()
            # A native socket that has not sent its head has named its carrier in its URL alone.
            if carrier is start.session.carrier or carrier.key == start.key:
                return
    raise bound_to_another()


def _cookies(header: bytes, but: set[bytes]) -> list[bytes]:
    pairs = [pair.strip() for pair in header.split(b";")]
    return sorted(pair for pair in pairs if pair and _name(pair) not in but)


def _name(cookie: bytes) -> bytes:
    return cookie.partition(b"=")[0].strip()


def _joined(registry: Registry, nonce: str, binding: Binding, exchange: Exchange) -> Start | None:
    """Find the start that this try joins; raises RemoteProtocolError with 403 or 404."""
    start = registry.starts.get(nonce)
    if start is None:
        return None
    _check_binding(start, binding, exchange)
    if not start.joins and not start.session.is_known:
        # By the number that the page knows: its native socket may have died before it told it.
        raise RefusedWith(unknown_carrier(), [document("gone", exchange.request.documents[0][1])])
    start.touch()
    return start


def _carrier(exchange: Exchange, start: Start | None) -> Carrier:
    """Find the carrier of this open, or make it; raises RemoteProtocolError with 404, 409, 421."""
    registry, key = exchange.registry, exchange.marker.key
    if exchange.request.head.secret:
        return exchange.find_carrier()
    carrier = registry.carriers.get(key)
    if carrier is None:
        if start is not None and start.session.carrier is not None:
            raise unknown_carrier()
        carrier = registry.new_carrier(key, exchange.origin or b"", exchange.principal())
        carrier.made_by = exchange.request.documents[0][2]
    elif start is None or carrier.made_by != start.nonce:
        raise RemoteProtocolError(409, CloseCode.POLICY_VIOLATION, "this key is in use")
    return carrier


async def _cancel(exchange: Exchange, number: int, nonce: str) -> None:
    start = exchange.registry.starts.get(nonce)
    if start is not None:
        _check_binding(start, binding_of(exchange.scope, exchange.query), exchange)
        if not start.session.is_known:
            start.cancel()
    await exchange.respond([document("gone", number)])


def _socket_of(wish: list[Any]) -> tuple[int, str]:
    if wish[0] not in ("open", "cancel") or len(wish) < 3:
        raise _malformed("an open without its document")
    _, number, nonce = wish[:3]
    if type(number) is not int or number < 1 or type(nonce) is not str or not is_nonce(nonce):
        raise _malformed("an open without a socket or a nonce")
    return number, nonce


def _protocols_of(wish: list[Any]) -> list[str]:
    protocols = wish[3] if len(wish) > 3 else []
    if type(protocols) is not list or len(protocols) > _MAX_PROTOCOLS:
        raise _malformed("protocols that are no list")
    for protocol in protocols:
        if type(protocol) is not str or not protocol or not is_token(protocol):
            raise _malformed("a protocol that is no token")
    return protocols


def _intended(wish: list[Any]) -> str:
    """Return the transport that the page is about to attach with; until then it is the answer to
    an application that asks."""
    return wish[4] if len(wish) > 4 and wish[4] in TRANSPORTS[1:] else ""
