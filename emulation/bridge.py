"""The bridge: an ordinary ASGI `websocket` application, run on a session.

The application sees what uvicorn would give it; where servers differ, uvicorn's answer counts.
One departure, wanted: an exception after the accept closes with 1011 (RFC 6455 section 7.4.1)
instead of cutting the connection. One event more: `websocket.fail` fails the connection (section
7.1.7), for an application that relays one which was failed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from emulation.eager import release
from emulation.exceptions import ClientDisconnected, LocalProtocolError
from emulation.protocol.close import CloseCode
from emulation.protocol.handshake import is_token
from emulation.registry import going_down
from emulation.session import Disconnect, Session

if TYPE_CHECKING:
    from emulation.deadlines import Look
    from emulation.protocol.connection import Sendable
    from emulation.registry import Registry

__all__ = ["Accepted", "Binding", "Refused", "Start"]

logger = logging.getLogger("emulation.bridge")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


Header = tuple[bytes, bytes]
# As ASGI has them, and applications send them: pairs of any kind.
GivenHeaders = Iterable[Sequence[bytes]]


class Accepted(NamedTuple):
    """The application's accept, with those of its headers that the page may have."""

    subprotocol: str
    headers: Sequence[Header]


class Refused(NamedTuple):
    """The application's refusal, with the HTTP status that a native handshake would get.

    Its headers are those that the page may have: a browser stores the cookies of a refusal too.
    """

    status: int
    headers: Sequence[Header] = ()


class Binding(NamedTuple):
    """What a try must have in common with the first one of its nonce, to join its start."""

    origin: bytes
    path: bytes
    query: bytes
    cookie: bytes
    authorization: bytes

    def beside(self, first: Binding) -> Binding:
        """Return this one as it is to be compared with the first.

        Something on the way may strip the Origin of some requests (of those that are no upgrades,
        for one). No page of another origin can leave it out (Fetch, section 3.2).
        """
        is_stripped = not self.origin or not first.origin
        return self._replace(origin=first.origin) if is_stripped else self


class Start:
    """One start of the application, for one `new WebSocket`, whatever is tried or repeated."""

    __slots__ = (
        "_deadline",
        "_headers",
        "_is_cancelled",
        "_is_connected",
        "_passed",
        "_registry",
        "_status",
        "_task",
        "_waiters",
        "binding",
        "decision",
        "joinable_until",
        "key",
        "look",
        "nonce",
        "session",
    )

    def __init__(
        self,
        registry: Registry,
        nonce: str,
        binding: Binding,
        session: Session,
        passed: Callable[[GivenHeaders], list[Header]],
    ) -> None:
        self._registry = registry
        # Chooses those headers of the application's answer that reach the page.
        self._passed = passed
        self.nonce = nonce
        # The carrier's key in the URL of its native sockets, "" where there has been none.
        self.key = ""
        self.binding = binding
        self.session = session
        session.nonce = nonce
        self.decision: Accepted | Refused | None = None
        self._is_cancelled = False
        self._is_connected = False
        self.joinable_until = 0.0
        self._waiters: tuple[asyncio.Future[None], ...] = ()
        self._deadline = 0.0
        # Of a denial response that has begun.
        self._status = 0
        self._headers: Sequence[Header] = ()
        self._task: asyncio.Task[None] | None = None
        self.look: Look | None = None
        registry.starts[nonce] = self
        self.touch()

    def run(self, app: App, scope: Scope) -> None:
        """Start the application on the session."""
        self._task = self._registry.loop.create_task(self._run(app, scope))
        self._registry.hold(self._task)
        self._allow(self._registry.config.open_timeout)

    def touch(self) -> None:
        """Note another try: the nonce joins for a while from now."""
        self.joinable_until = self._registry.loop.time() + self._registry.config.nonce_time

    @property
    def joins(self) -> bool:
        """Whether another try may still join."""
        return (
            not self._is_cancelled
            and not self.session.is_known
            and self._registry.loop.time() < self.joinable_until
        )

    async def wait(self, seconds: float) -> Accepted | Refused | None:
        """Wait for the application's decision; None when it has not come in time.

        Raises RemoteProtocolError with 503 where the server goes down meanwhile.
        """
        if self.decision is None and not self._is_cancelled:
            # Its first turn is due, in which most applications decide: no timer for these.
            await asyncio.sleep(0)
        if self.decision is None and not self._is_cancelled:
            await self._wait(seconds)
        if self._registry.is_going_down and not isinstance(self.decision, Accepted):
            # What the application says to a disconnect is no refusal of its own.
            raise going_down()
        return self.decision

    async def _wait(self, seconds: float) -> None:
        loop = self._registry.loop
        waiter = loop.create_future()
        self._waiters = (*self._waiters, waiter)
        timer = loop.call_later(seconds, release, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiters = tuple([other for other in self._waiters if other is not waiter])

    def _release_all(self) -> None:
        waiters, self._waiters = self._waiters, ()
        for waiter in waiters:
            release(waiter)

    def cancel(self) -> None:
        """Give the socket up while it is CONNECTING: the page has closed it."""
        self._give_up("its page closed it before it was open")

    def _give_up(self, why: str) -> None:
        self._is_cancelled = True
        self._release_all()
        self.session.fail(why)

    def check(self, now: float) -> float | None:
        """Do what is due: see Guarded."""
        session = self.session
        config = self._registry.config
        if session.connection.is_over or session.attached:
            return None
        deadline = self._deadline
        if self.decision is not None and session.is_known:
            # Its page is there, and on its way something refuses the attaches, but not the uploads.
            deadline = max(deadline, session.named_at + config.attach_timeout)
        if now < deadline:
            return deadline
        if self.decision is None:
            self._give_up(f"the application did not decide within {config.open_timeout} s")
        else:
            session.fail(f"no downstream came within {config.attach_timeout} s (attach_timeout)")
        return None

    def _decide(self, decision: Accepted | Refused) -> None:
        if self.decision is not None:
            return
        self.decision = decision
        self._release_all()
        if isinstance(decision, Refused):
            self.session.fail(f"the application refused it with {decision.status}")
        else:
            self.session.note_open()
            self.await_attach()

    def await_attach(self) -> None:
        """Give the page its time to bring a downstream."""
        self._allow(self._registry.config.attach_timeout)

    def _allow(self, seconds: float) -> None:
        registry = self._registry
        now = registry.loop.time()
        self._deadline = now + seconds
        # One look for both of the times that an ordinary start is given.
        registry.deadlines.watch(self, now + min(seconds, registry.config.attach_timeout))

    # --- The application --------------------------------------------------------------------------

    async def _run(self, app: App, scope: Scope) -> None:
        try:
            await app(scope, self._receive, self._send)
        except ClientDisconnected:
            self._returned()
        except asyncio.CancelledError:
            self._returned()
            raise
        except BaseException:
            # The outermost frame of the application: its fault is logged as uvicorn does, and ends
            # this session alone, even where it is a SystemExit.
            logger.exception("Exception in ASGI application, session %s", self.session.id)
            self._decide(Refused(500))
            self.session.close(CloseCode.INTERNAL_ERROR, "")
        else:
            self._returned()

    def _returned(self) -> None:
        if self.decision is None and self.session.disconnect is None:
            logger.error("ASGI callable returned without completing handshake.")
        self._decide(Refused(500))
        if self.session.owes_close:
            self.session.fail("the application returned without a close")

    async def _receive(self) -> MutableMapping[str, Any]:
        """Give the application `websocket.connect` first, then what comes."""
        if not self._is_connected:
            self._is_connected = True
            return {"type": "websocket.connect"}
        session = self.session
        while (message := session.next_message()) is None:
            await session.arrival()
        if type(message) is str:
            return {"type": "websocket.receive", "text": message}
        if isinstance(message, Disconnect):
            return {
                "type": "websocket.disconnect",
                "code": int(message.code),
                "reason": message.reason,
            }
        return {"type": "websocket.receive", "bytes": message}

    async def _send(self, event: MutableMapping[str, Any]) -> None:
        kind = event["type"]
        if kind == "websocket.send" and type(self.decision) is Accepted:
            message = event.get("bytes")
            if message is None:
                message = event.get("text")
                if message is None:
                    return  # uvicorn sends nothing then, and says nothing
                if not isinstance(message, str):
                    raise TypeError("'text' of 'websocket.send' must be a str")
            elif isinstance(message, str):
                raise TypeError("'bytes' of 'websocket.send' must not be a str")
            if not self.session.offer(message):
                await self._send_later(message)
        elif self.decision is None:
            self._send_decision(kind, event)
        elif isinstance(self.decision, Refused):
            if kind != "websocket.http.response.body" or not self._status:
                raise RuntimeError(
                    f"Unexpected ASGI message '{kind}', after the WebSocket was refused."
                )
        elif kind == "websocket.close":
            self._send_close(event)
        elif kind == "websocket.fail":
            self.session.fail("its other end broke the protocol", is_failed=True)
        else:
            raise RuntimeError(
                f"Expected ASGI message 'websocket.send' or 'websocket.close', but got '{kind}'."
            )

    def _send_decision(self, kind: str, event: MutableMapping[str, Any]) -> None:
        if self.session.connection.is_over:
            raise ClientDisconnected("the WebSocket was given up before it was open")
        if self._status:
            if kind != "websocket.http.response.body":
                raise RuntimeError(
                    f"Expected ASGI message 'websocket.http.response.body' but got '{kind}'."
                )
            # The body of a denial does not reach a page: a native WebSocket hides it too.
            if not event.get("more_body", False):
                self._decide(Refused(self._status, self._headers))
        elif kind == "websocket.accept":
            headers = list(event.get("headers") or ())
            self._decide(Accepted(_subprotocol(event, headers), self._passed(headers) or ()))
        elif kind == "websocket.close":
            self._decide(Refused(403))
        elif kind == "websocket.http.response.start":
            headers = self._passed(list(event.get("headers") or ()))
            if not 100 <= event["status"] < 600:
                raise RuntimeError(f"Invalid HTTP status code '{event['status']}' in a denial.")
            self._headers, self._status = headers, event["status"]
        else:
            raise RuntimeError(
                "Expected ASGI message 'websocket.accept', 'websocket.close' or "
                f"'websocket.http.response.start' but got '{kind}'."
            )

    async def _send_later(self, message: Sendable) -> None:
        if self.session.closed_by_application:
            raise RuntimeError(
                "Unexpected ASGI message 'websocket.send', after sending 'websocket.close'."
            )
        await self.session.send(message)

    def _send_close(self, event: MutableMapping[str, Any]) -> None:
        session = self.session
        if session.closed_by_application:
            raise RuntimeError(
                "Unexpected ASGI message 'websocket.close', after sending 'websocket.close'."
            )
        if not session.owes_close:
            raise ClientDisconnected("the WebSocket is closed")
        session.close(event.get("code", CloseCode.NORMAL), event.get("reason") or "")


def _subprotocol(event: MutableMapping[str, Any], headers: GivenHeaders) -> str:
    """Return what the application has chosen; uvicorn takes it from the headers too."""
    chosen: object = event.get("subprotocol") or ""
    for name, value in () if chosen else headers:
        if name.lower() == b"sec-websocket-protocol":
            chosen = value.decode("latin-1")
    if not isinstance(chosen, str) or (chosen and not is_token(chosen)):
        raise LocalProtocolError(f"the subprotocol {chosen!r} is no token (RFC 6455 section 4.1)")
    return chosen
