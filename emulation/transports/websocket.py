"""`ws`: a native socket for one socket, which can be replaced (docs/protocol.md section 9)."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

from emulation.bridge import Accepted, Refused, Start
from emulation.diary import CANCELLED, UNWRITTEN, given_up, unacknowledged
from emulation.eager import Event, Writer, run_beside
from emulation.exceptions import ClientDisconnected, RemoteProtocolError
from emulation.protocol.close import CloseCode
from emulation.protocol.codec import frame_from_json, frame_to_json
from emulation.protocol.connection import Connection, State
from emulation.protocol.frames import (
    BINARY,
    BINARY_PART,
    CLOSE,
    DOCUMENT,
    TEXT,
    TEXT_PART,
    Frame,
    counts,
    credit,
    document,
)
from emulation.protocol.handshake import (
    RESUME_SUBPROTOCOL,
    SUBPROTOCOL_PREFIX,
    RequestHead,
    is_count,
    is_ours,
    is_token,
    parse_request_head,
)
from emulation.registry import unknown_carrier
from emulation.session import Session
from emulation.transports.opening import begin, bound_to_another, opened, secret_of
from emulation.transports.scope import binding_of, client_of, websocket_scope

if TYPE_CHECKING:
    from emulation.bridge import App, Receive, Scope, Send
    from emulation.carrier import Carrier
    from emulation.deadlines import Look
    from emulation.registry import Registry
    from emulation.transports.marker import Marker

__all__ = ["serve_websocket"]

logger = logging.getLogger("emulation.transports")

# What is acknowledged alone is acknowledged this late (seconds), so that `bufferedAmount` falls
# although the application answers nothing.
_ACK_SECONDS = 0.1
# The largest control document: a head, with room.
_MAX_DOCUMENT = 4096


async def serve_websocket(
    registry: Registry,
    app: App,
    scope: Scope,
    receive: Receive,
    send: Send,
    marker: Marker,
    query: bytes,
    origin: bytes | None,
) -> None:
    """Serve one native socket: start or join, or resume a session."""
    if (await receive())["type"] != "websocket.connect":
        return
    offered = scope.get("subprotocols") or [""]
    first = offered[0]
    native = NativeSocket(registry, scope, send, marker, origin)
    try:
        if not is_ours(first):
            await send({"type": "websocket.close", "code": CloseCode.PROTOCOL_ERROR})
            return
        if first == RESUME_SUBPROTOCOL:
            await native.accept(first, [])
        else:
            await _open(native, app, first, list(offered[1:]), query)
        await native.serve(receive)
    except RemoteProtocolError as error:
        await native.refuse(error)
    except OSError:
        native.lose(UNWRITTEN)  # the client has left; the session waits for its next transport
    finally:
        native.lose(CANCELLED)


async def _open(
    native: NativeSocket, app: App, selected: str, protocols: list[str], query: bytes
) -> None:
    registry, scope = native.registry, native.scope
    nonce = selected[len(SUBPROTOCOL_PREFIX) :]
    binding = binding_of(scope, query)
    start = registry.starts.get(nonce)
    if start is not None and binding.beside(start.binding) != start.binding:
        await native.accept(selected, [])
        raise bound_to_another()
    if start is not None and not start.joins:
        await native.accept(selected, [])
        await native.say(document("gone", start.session.number))
        await native.close()
        return
    try:
        if start is None:
            if not all(map(is_token, protocols)):
                raise _broken("a protocol that is no token")
            registry.check_room(client_of(scope))
        native.make_carrier(nonce)
    except RemoteProtocolError:
        await native.accept(selected, [])
        raise
    if start is None:
        started = websocket_scope(scope, query, nonce, protocols, registry.config)
        start = begin(registry, app, started, nonce, binding)
        start.session.serve_by("websocket", "")
    else:
        start.touch()
    start.key = native.key
    decision = await start.wait(registry.config.open_answer_time)
    await native.accept(selected, [] if decision is None else decision.headers)
    if native.carrier is not None:
        await native.say(secret_of(registry, native.carrier))
    native.start = start
    if decision is None:
        await native.say(document("hello"))
        native.await_decision()
    else:
        await native.tell(decision)


class NativeSocket(Writer):
    """A native socket as the home of one session."""

    __slots__ = (
        "_ack_timer",
        "_asked",
        "_behind_part",
        "_has_head",
        "_has_spoken",
        "_heard",
        "_is_accepted",
        "_is_closed",
        "_is_ending",
        "_is_over",
        "_is_part",
        "_is_told",
        "_next",
        "_opened",
        "_origin",
        "_pinged",
        "_resumed",
        "_resumed_number",
        "_say_ack",
        "_say_ping",
        "_waiting",
        "carrier",
        "key",
        "look",
        "registry",
        "scope",
        "session",
        "start",
        "transport",
    )

    def __init__(
        self,
        registry: Registry,
        scope: Scope,
        send: Send,
        marker: Marker,
        origin: bytes | None,
    ) -> None:
        super().__init__(registry.loop, send)
        self.registry = registry
        self.scope = scope
        self.transport = "websocket"
        self.carrier: Carrier | None = None
        self.start: Start | None = None
        self.session: Session | None = None
        self.look: Look | None = None
        self.key = marker.key
        self._origin = origin or b""
        self._is_accepted = False
        self._is_closed = False
        # Whether anything has been sent behind the accept.
        self._has_spoken = False
        self._is_over = False
        # Whether the page has been told that its session is gone.
        self._is_ending = False
        # Whether the page has been told `opened`, and has said which socket this is.
        self._is_told = False
        self._has_head = False
        self._is_part = False
        self._say_ping = False
        self._say_ack = False
        # When a ping was written that has had no answer, 0 for none.
        self._asked = 0.0
        self._resumed_number = 0
        # What is said before anything else on a resume, and the number of the page's next frame.
        self._resumed: Frame | None = None
        self._next = 1
        self._ack_timer: asyncio.TimerHandle | None = None
        self._heard = registry.loop.time()
        self._opened = self._pinged = self._heard
        self._waiting: asyncio.Task[None] | None = None
        # The message of a part of which the announcement has been written.
        self._behind_part: Event | None = None

    # --- What goes down ---------------------------------------------------------------------------

    async def accept(self, subprotocol: str, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Answer the upgrade."""
        self._is_accepted = True
        self.registry.natives.add(self)
        await self._put(
            {"type": "websocket.accept", "subprotocol": subprotocol, "headers": list(headers)}
        )

    async def _put(self, event: MutableMapping[str, Any]) -> None:
        """Send an event; nothing may follow a close, whoever still has something to say."""
        if self._is_closed:
            return
        self._is_closed = event["type"] == "websocket.close"
        try:
            await self._send(event)
        except RuntimeError as error:
            if self._has_spoken:
                raise
            # The server has dropped the accept, for the client had left: it says so in this way.
            raise ClientDisconnected("the client has left") from error
        self._has_spoken = self._is_accepted and event["type"] == "websocket.send"

    async def say(self, frame: Frame) -> None:
        """Send a document."""
        await self._put(_spoken(frame))

    async def close(self, how: str = "was ended here") -> None:
        """Close the native socket; what its code is means nothing."""
        self.lose(how)
        await self._put({"type": "websocket.close", "code": CloseCode.NORMAL})

    async def refuse(self, error: RemoteProtocolError) -> None:
        """Tell the page what it did wrong, and close."""
        registry = self.registry
        registry.misuse.note(client_of(self.scope), error, registry.loop.time())
        if not self._is_accepted:
            await self._put({"type": "websocket.close", "code": CloseCode.PROTOCOL_ERROR})
            return
        try:
            await self.say(document("error", error.status, error.text))
            await self.close(f"was ended here ({error.text})")
        except OSError:
            pass  # nobody is there to be told

    def make_carrier(self, nonce: str) -> None:
        """Make the carrier of this key if nobody has it, or join the one this nonce made."""
        registry, key = self.registry, self.key
        hook = registry.config.principal
        carrier = registry.carriers.get(key)
        if carrier is None:
            principal = None if hook is None else hook(self.scope)
            carrier = registry.new_carrier(key, self._origin, principal)
            carrier.made_by = nonce
        if carrier.made_by == nonce:
            self.carrier = carrier

    def await_decision(self) -> None:
        """Tell the decision when it comes; the page has had `hello`."""
        self._waiting = self.registry.loop.create_task(self._tell_later())

    async def _tell_later(self) -> None:
        assert self.start is not None
        try:
            decision = await self.start.wait(self.registry.config.open_timeout)
            if decision is not None:
                await self.tell(decision)
            else:
                await self.say(document("gone", self.start.session.number))
                await self.close()
        except RemoteProtocolError as error:
            await self.refuse(error)
        except OSError:
            pass  # the client has left; its next try joins the start

    async def tell(self, decision: Accepted | Refused) -> None:
        """Tell the decision of the application; an accepted session is at home here."""
        assert self.start is not None
        session = self.start.session
        if isinstance(decision, Refused):
            await self.say(document("refused", session.number, decision.status))
            await self.close()
            return
        await self.say(opened(self.registry, session.number, decision))
        self._is_told = True
        if session.home is None or self._has_head:
            self.settle(session)

    def settle(self, session: Session, ack: int | None = None) -> None:
        """Make this the session's home, unless the native socket is over already.

        `ack` is that of a resume, from which the page counts what comes.
        """
        if self._is_over:
            return
        observer = self.registry.config.observer
        if observer is not None:
            observer.attached(self.transport, self.start is not None)
        self.session = session
        session.attached = True
        session.move(self)
        if ack is not None:
            session.written = min(ack, session.written)
        session.serve_by(self.transport, "its page has a native WebSocket now")
        session.attaches += 1
        self.registry.deadlines.watch(self, self._next_check())
        self._push()

    def wake(self, session: Session) -> None:
        """Write what there is: see Home."""
        self._push()

    def leave(self, session: Session) -> None:
        """The session has moved: see Home."""
        if self.session is session:
            self.session = None
            session.note_lost(given_up(self.transport, self._age) + self._remains(session))
            self.hang_up()

    @property
    def _age(self) -> float:
        return self._loop.time() - self._opened

    def _remains(self, session: Session) -> str:
        """Say, for the diary, what has not come."""
        if self._heard == self._opened:
            return ", and nothing had come on it"
        return unacknowledged(session)

    def hang_up(self) -> None:
        """Close the native socket without waiting."""
        self._is_over = True
        run_beside(self._hang_up())

    async def _hang_up(self) -> None:
        try:
            await self._put({"type": "websocket.close", "code": CloseCode.NORMAL})
        except (OSError, RuntimeError):
            pass  # it is closed already: the server says so in one of these ways

    def heard(self) -> float:
        """Return when something was last heard: see Home."""
        return self._heard

    def _push(self) -> None:
        if not self._is_over:
            self.write_soon()

    def next_event(self) -> Event | None:
        """Make an event of the next thing there is to say: see Writer."""
        if self._resumed is not None:
            resumed, self._resumed = self._resumed, None
            return _spoken(resumed)
        session = self.session
        if session is None or self._is_over:
            return None  # it may have moved while something was being sent
        if self._behind_part is not None:
            event, self._behind_part = self._behind_part, None
            return event
        connection = session.connection
        if session.written < connection.acknowledged:
            # The page has had the frame since it said its ack: only its number counts.
            session.written += 1
            return _event(TEXT, b"")
        frame = connection.frame_after(session.written)
        if frame is None:
            return self._next_document(session)
        if frame[0] == CLOSE and connection.received > connection.ack_told:
            # Before it: who hears `close` shall find nothing left in `bufferedAmount`.
            return _spoken(counts("ack", connection.tell_ack()))
        session.written += 1
        kind, payload = frame
        event = _event(kind, payload)
        if kind == TEXT_PART or kind == BINARY_PART:
            self._behind_part = event
            return _spoken(_PART)
        return event

    def _next_document(self, session: Session) -> Event | None:
        connection = session.connection
        if self._say_ping:
            self._say_ping = False
            self._asked = self._asked or self.registry.loop.time()
            return _spoken(_PING)
        if session.ended_badly:
            if self._is_ending:
                return self._farewell()
            self._is_ending = True
            return _spoken(session.gone)
        if connection.owes_credit and not connection.is_over:
            return _spoken(credit(connection.tell_credit()))
        if connection.owes_ack or self._say_ack:
            self._say_ack = False
            return _spoken(counts("ack", connection.tell_ack()))
        if connection.state is State.CLOSED:
            return self._farewell()
        return None

    def _farewell(self) -> Event:
        self.lose("was ended here")
        self._is_closed = True
        return {"type": "websocket.close", "code": CloseCode.NORMAL}

    def fail(self, error: Exception) -> None:
        """Note that nothing more can be sent: see Writer."""
        if not isinstance(error, OSError):
            # Whoever has a message runs this: a fault of a server or a middleware around us must
            # not reach it.
            logger.exception("Writing to a native socket failed")
        self.lose(UNWRITTEN)  # the client has left, says the server

    # --- What comes up ----------------------------------------------------------------------------

    async def serve(self, receive: Receive) -> None:
        """Take what comes until the client leaves.

        Raises RemoteProtocolError where the page breaks the protocol.
        """
        loop = self._loop
        while not self._is_over:
            event = await receive()
            if event["type"] != "websocket.receive":
                self.lose(f"ended with close code {event.get('code', CloseCode.NO_STATUS)}")
                return
            self._heard = loop.time()
            text = event.get("text")
            if text is None:
                self._take(BINARY, event["bytes"])
            elif text[:1] != "\0":
                self._take(TEXT, text)
            elif text[1:2] == "[":
                await self._take_special(text[1:])
            else:
                self._take(TEXT, text[1:])

    def _take(self, kind: int, message: str | bytes) -> None:
        session = self.session
        if session is None:
            if self._is_over:
                return  # the session has moved while this was on its way
            raise _broken("a message before the socket is open")
        if self._is_part:
            self._is_part = False
            kind = TEXT_PART if kind == TEXT else BINARY_PART
        elif kind == BINARY or message.isascii():
            # It has as many bytes as characters, which need not be made to be counted.
            connection = session.connection
            is_next = self._next == connection.received + 1
            if is_next and session.take_message(message, len(message)):
                self._next += 1
                session.is_known = True
                self._owe_ack(connection)
                return
        if isinstance(message, str):
            message = message.encode("utf-8", "surrogatepass")
        self._take_numbered(session, (kind, message))

    def _take_numbered(self, session: Session, frame: Frame) -> None:
        connection = session.connection
        number = self._next
        try:
            session.take(number, [frame])
            if connection.received < number and not connection.is_over:
                raise _broken("a message beyond the credit")
        except RemoteProtocolError as error:
            session.reject(error)
            return
        self._next += 1
        session.is_known = True  # who sends has had the decision; a head may be earlier
        self._owe_ack(connection)

    def _owe_ack(self, connection: Connection) -> None:
        if connection.owes_ack:
            self._push()
        elif self._ack_timer is None:
            self._ack_timer = self._loop.call_later(_ACK_SECONDS, self._acknowledge)

    def _acknowledge(self) -> None:
        self._ack_timer = None
        session = self.session
        if session is not None and session.connection.received > session.connection.ack_told:
            self._say_ack = True
            self._push()

    async def _take_special(self, text: str) -> None:
        """Take what is no message; the page's fault ends its session, if it has one already."""
        session = self.session
        head: list[Any] = []
        try:
            kind, payload = _parse(text)
            if kind == DOCUMENT and payload[0] == "head":
                head = payload
            else:
                self._take_document(session, kind, payload)
        except RemoteProtocolError as error:
            if session is None:
                raise
            session.reject(error)
        if head:
            self._take_head(head)
            if len(head) > 5:
                await self._resume(*head[5:7])

    def _take_document(self, session: Session | None, kind: int, payload: Any) -> None:
        if session is None:
            if not self._is_over:
                raise _broken("a document before the head")
        elif kind != DOCUMENT:
            self._take_numbered(session, (kind, payload))
        elif payload[0] == "part":
            self._is_part = True
        elif payload[0] == "ping":
            # In its turn, for nothing may stand between a part and its message.
            self._say_ack = True
            self._push()
        elif payload[0] == "ack":
            if len(payload) < 2 or not is_count(payload[1]):
                raise _broken("an acknowledgement without its number")
            self._note_answer()
            session.take_ack(payload[1])

    def _note_answer(self) -> None:
        observer = self.registry.config.observer
        if self._asked and observer is not None:
            observer.answered(self.transport, self.registry.loop.time() - self._asked)
        self._asked = 0.0

    def _take_head(self, payload: list[Any]) -> None:
        """Learn which socket this is; raises RemoteProtocolError for a wrong secret."""
        if self._has_head:
            # The sessions of two would both be at home here, and one of them watched by nobody.
            raise _broken("a second head")
        head = parse_request_head([(DOCUMENT, payload)])
        carrier = self.carrier
        if head.secret or carrier is None:
            carrier = self._find_carrier(head)
        elif self.registry.carriers.get(self.key) is not carrier:
            raise unknown_carrier()  # its page has not been heard of for too long
        self._has_head = True
        if len(payload) > 5:
            self.carrier = carrier
            self._resumed_number = head.number
            return
        if self.start is None:
            raise _broken("a head without a start")
        session = self.start.session
        self.registry.place(session, carrier, head.number)
        if self.session is None and self._is_told:
            # An open over HTTP was answered too, and the page has chosen this socket.
            self.settle(session)

    def _find_carrier(self, head: RequestHead) -> Carrier:
        hook = self.registry.config.principal
        principal = None if hook is None else hook(self.scope)
        return self.registry.find_carrier(self.key, head.secret, head.node, self._origin, principal)

    async def _resume(self, ack: Any, nonce: Any = None) -> None:
        carrier = self.carrier
        if carrier is None or self.start is not None or not is_count(ack):
            raise _broken("a resume that is none")
        session = carrier.sessions.get(self._resumed_number)
        if session is None and type(nonce) is str:
            session = self.registry.place_by_nonce(carrier, self._resumed_number, nonce)
        if session is None:
            await self.say(document("gone", self._resumed_number))
            await self.close()
            return
        session.is_known = True
        try:
            session.take_ack(ack)
        except RemoteProtocolError as error:
            session.reject(error)
        connection = session.connection
        if ack + connection.limits.window_frames < connection.acknowledged:
            raise _broken("a resume far behind its page's own acknowledgements")
        self._resumed = document("resumed", connection.tell_ack(), *connection.tell_credit())
        self._next = connection.received + 1
        self.settle(session, ack)

    # --- The end ----------------------------------------------------------------------------------

    def lose(self, how: str) -> None:
        """Note that the native socket is gone: the session is at home on its carrier again."""
        if not self._is_over:
            self._note_lost(how)
        self._is_over = True
        self.registry.natives.discard(self)
        self.registry.deadlines.forget(self)
        if self._ack_timer is not None:
            self._ack_timer.cancel()
            self._ack_timer = None
        if self._waiting is not None and self._waiting is not asyncio.current_task():
            self._waiting.cancel()
        session, self.session = self.session, None
        if session is None or session.home is not self:
            return
        session.home = None
        if session.carrier is not None:
            session.carrier.hear()
            session.carrier.adopt(session)
        elif self.start is not None:
            # Its page has not said yet which socket of the carrier this is.
            session.attached = False
            self.start.await_attach()

    def _note_lost(self, how: str) -> None:
        session = self.session
        if session is None and self.start is not None and not self.start.session.attached:
            session = self.start.session  # it was to be its home, and has not come to that
        if session is not None and session.transport == self.transport:
            fate = f"{self.transport} {how} after {self._age:.1f} s"
            session.note_lost(fate + self._remains(session))

    def _next_check(self) -> float:
        config = self.registry.config
        when = self._pinged + config.heartbeat
        if self.session is not None and self.session.carrier is None:
            when = min(when, self._opened + config.attach_timeout)
        return when

    def check(self, now: float) -> float | None:
        """Ping, and give up a client that is not heard: see Guarded."""
        config = self.registry.config
        session = self.session
        if session is None or self._is_over:
            return None
        if now >= self._heard + max(config.resume_time, 2 * config.heartbeat + 5):
            session.fail("its page has not been heard of for the resume time")
            return None
        if session.carrier is None and now >= self._opened + config.attach_timeout:
            session.fail("its page has not sent its head (attach_timeout)")
            return None
        if now >= self._pinged + config.heartbeat:
            self._pinged = now
            self._say_ping = True
            self._push()
        return self._next_check()


def _parse(text: str) -> Frame:
    if len(text) > _MAX_DOCUMENT:
        raise _broken("a document over the limit")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise _broken("a document that is not JSON") from None
    if type(value) is not list:
        raise _broken("a document that is no array")
    return frame_from_json(value)


def _event(kind: int, payload: bytes | memoryview) -> Event:
    """Make the message that is this numbered frame, and never an empty one: Daphne sends none."""
    if kind == TEXT or kind == TEXT_PART:
        text = str(payload, "utf-8")
        return {"type": "websocket.send", "text": text if text[:1] > "\0" else "\0" + text}
    if kind == CLOSE or not payload:
        return _spoken((kind, payload))
    return {"type": "websocket.send", "bytes": bytes(payload)}


def _spoken(frame: Frame) -> Event:
    """Make the message that is this document or close."""
    return {"type": "websocket.send", "text": "\0" + frame_to_json(frame).decode()}


def _broken(text: str) -> RemoteProtocolError:
    return RemoteProtocolError(400, CloseCode.PROTOCOL_ERROR, text)


_PING = document("ping")
_PART = document("part")
