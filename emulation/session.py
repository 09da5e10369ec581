"""A session: a connection plus waiting; it outlives every request and every transport."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from emulation import diary
from emulation.exceptions import ClientDisconnected, RemoteProtocolError
from emulation.protocol.close import CloseCode
from emulation.protocol.connection import Connection, Limits, Sendable, State
from emulation.protocol.frames import Frame, counts
from emulation.protocol.handshake import is_count

if TYPE_CHECKING:
    from emulation.carrier import Carrier
    from emulation.config import Config
    from emulation.deadlines import Deadlines, Look
    from emulation.misuse import Misuse
    from emulation.protocol.handshake import Section

__all__ = ["Disconnect", "Home", "Session", "limits_of"]


# How long an application may go on sending after a close that it has not been told of (seconds).
_UNAWARE_SECONDS = 1.0
# A page that leaves says `bye` on each of the events that tell it so; what its listeners say on the
# later ones comes this much later at the most (seconds).
_LAST_WORDS_SECONDS = 0.25


class Disconnect(NamedTuple):
    """How a session ended, as the application is told."""

    code: int
    reason: str


class Home(Protocol):
    """What serves a session: a carrier, or a native socket of its own."""

    transport: str

    def wake(self, session: Session) -> None:
        """Note that the session has something to say; never waits."""

    def leave(self, session: Session) -> None:
        """Serve the session no longer."""

    def heard(self) -> float:
        """Return when something authenticated was last heard."""


def limits_of(config: Config) -> Limits:
    """Return what the configuration allows one connection."""
    return Limits(
        config.window_bytes,
        config.window_frames,
        config.max_message_size,
        config.part_size,
        config.close_timeout,
    )


class Session:
    """One emulated WebSocket on the server.

    The application's side are `receive`, `send` and `close`; a transport's side are `take`,
    `fail` and what a home reads: `connection`, `written`, `ended_badly`.
    """

    __slots__ = (
        "_answer_by",
        "_has_told",
        "_is_failed",
        "_loop",
        "_lost",
        "_made_at",
        "_misuse",
        "_receivers",
        "_senders",
        "_unaware_until",
        "_why",
        "attached",
        "attaches",
        "bye_at",
        "bye_number",
        "carrier",
        "client",
        "closed_by_application",
        "config",
        "connection",
        "deadlines",
        "disconnect",
        "extension",
        "home",
        "id",
        "is_known",
        "look",
        "moves",
        "named_at",
        "nonce",
        "number",
        "on_over",
        "over_at",
        "written",
    )

    def __init__(
        self, config: Config, limits: Limits, deadlines: Deadlines, misuse: Misuse, client: str
    ) -> None:
        self._loop = deadlines.loop
        self.id = secrets.token_hex(4)  # for logs: no authority
        self.client = client
        self.config = config
        self.deadlines = deadlines
        self._misuse = misuse
        self.connection = Connection(limits)
        # Its place on the wire: the carrier, the number there, and the nonce that started it.
        self.carrier: Carrier | None = None
        self.number = 0
        self.nonce = ""
        self.home: Home | None = None
        # For the diary: since when it is, how often it was served anew and by another transport,
        # and why it ends.
        self._made_at = self._loop.time()
        self.attaches = 0
        self.moves = 0
        self._why = ""
        # How its native socket came to its end, until another transport serves it.
        self._lost = ""
        # What the application finds in scope["extensions"]["emulation"].
        self.extension: dict[str, Any] = {"session": self.id, "transport": ""}
        # The highest number written on the present transport.
        self.written = 0
        self.attached = False
        # When its page last said, on the carrier, that there is this socket.
        self.named_at = 0.0
        # Whether the page has shown that it knows the decision about its socket.
        self.is_known = False
        self.disconnect: Disconnect | None = None
        self.closed_by_application = False
        self._has_told = False
        # Whether the other end of a relay broke the protocol: see `gone`.
        self._is_failed = False
        self._unaware_until = 0.0
        # Until when an application that answers closes itself may do so.
        self._answer_by: float | None = None
        # Who is told that it is over, beside its carrier.
        self.on_over: Callable[[Session], None] | None = None
        # Tuples, for the empty one is no object more for the collector to look at.
        self._receivers: tuple[asyncio.Future[None], ...] = ()
        self._senders: tuple[asyncio.Future[None], ...] = ()
        self.over_at: float | None = None
        self.bye_at: float | None = None
        self.bye_number = 0
        self.look: Look | None = None

    @property
    def transport(self) -> str:
        """The transport that serves the session now, or is about to: "" before anybody knows."""
        name: str = self.extension["transport"]
        return name

    def serve_by(self, name: str, how: str) -> None:
        """Note which transport serves the session from now on, and how it came to that."""
        before = self.transport
        lost, self._lost = self._lost, ""
        if name == before:
            return
        self.extension["transport"] = name
        if not before:
            return
        self.moves += 1
        diary.note_move(self, before, how, lost, self._age)
        if self.config.observer is not None:
            self.config.observer.moved(self.id, before, name)

    def note_lost(self, how: str) -> None:
        """Note, for the diary, how a native socket that served the session came to its end."""
        self._lost = how

    @property
    def _age(self) -> float:
        """The seconds since the page's first try."""
        return self._loop.time() - self._made_at

    def note_open(self) -> None:
        """Note that the application has accepted."""
        diary.note_open(self, self._age)

    # --- The application's side -------------------------------------------------------------------

    def next_message(self) -> str | bytes | Disconnect | None:
        """Return the next message; behind the last one how the session ended, None before."""
        connection = self.connection
        message = connection.next_message()
        if message is None:
            self._has_told = self.disconnect is not None
            return self.disconnect
        if connection.owes_credit and self.home is not None:
            self.home.wake(self)
        return message

    def arrival(self) -> asyncio.Future[None]:
        """Return what is done when something has come, for `next_message` or for another waiter."""
        waiter = self._loop.create_future()
        if self._receivers:
            # Who gave up waiting is not waited for.
            others = [other for other in self._receivers if not other.done()]
            self._receivers = (*others, waiter)
        else:
            self._receivers = (waiter,)
        return waiter

    def offer(self, message: Sendable) -> bool:
        """Send a message if that needs no waiting; tell whether it was sent."""
        if not self.connection.offer(message):
            return False
        if self.home is not None:
            self.home.wake(self)
        return True

    async def send(self, message: Sendable) -> None:
        """Send a message; waits while the window is full.

        Raises ClientDisconnected when the session has ended, also while it waits: the latter after
        `send_timeout` seconds without an acknowledgement, which ends the session with 1006.
        """
        connection = self.connection
        while not self.offer(message):
            if connection.state is State.OPEN:
                await self._wait_for_room()
            elif self._is_unaware:
                return
            else:
                raise ClientDisconnected("the WebSocket is closed")

    @property
    def _is_unaware(self) -> bool:
        """Whether the application still answers what came before the page's close or `bye`.

        Natively that is a race of two frames on the wire. Here they often come in one upload, and
        an application that echoes the last message should not fail for it: the page hears nothing
        after its close anyway. One that never receives learns of the close soon all the same.
        """
        return not self._has_told and self._loop.time() < self._unaware_until

    @property
    def owes_close(self) -> bool:
        """Whether it is the application's turn to close: see `_answer_close`."""
        return self.connection.state in (State.OPEN, State.CLOSE_TAKEN)

    def close(self, code: int | None, reason: str) -> None:
        """Send a close behind all that was sent; nothing that still comes in is received.

        Raises LocalProtocolError for a code or a reason that a close frame may not have.
        """
        connection = self.connection
        if not self.owes_close:
            return
        connection.send_close(self._loop.time(), code, reason)
        self.closed_by_application = True
        self._why = self._why or "the application closed it"
        connection.clear_inbox()
        self._end(_disconnect(code, reason))

    async def _wait_for_room(self) -> None:
        timer = self._loop.call_later(self.config.send_timeout, self._stand_still)
        waiter = self._loop.create_future()
        self._senders = (*self._senders, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            self._senders = tuple([other for other in self._senders if other is not waiter])

    def _stand_still(self) -> None:
        self.fail(f"nothing was acknowledged for {self.config.send_timeout} s (send_timeout)")

    # --- The transport's side ---------------------------------------------------------------------

    @property
    def has_news(self) -> bool:
        """Whether there is more to say than acknowledgements."""
        connection = self.connection
        return (
            connection.numbered > self.passed
            or self.ended_badly
            or (connection.owes_credit and not connection.is_over)
        )

    @property
    def passed(self) -> int:
        """The highest number that need not be written on the present transport any more."""
        return max(self.written, self.connection.acknowledged)

    def has_all_of(self, said: Section) -> bool:
        """Tell whether all frames of the section were taken, and no credit or end is to be told."""
        connection = self.connection
        return (
            connection.received >= said.first + len(said.frames) - 1
            and not connection.owes_credit
            and not self.ended_badly
        )

    @property
    def ended_badly(self) -> bool:
        """Whether the page has to be told that there will be no close (1006)."""
        return self.connection.state is State.FAILED

    @property
    def gone(self) -> Frame:
        """The document that tells the page so; a failed connection has an `error` event too."""
        return counts("gone", self.number, *((1,) if self._is_failed else ()))

    def take_section(self, section: Section) -> None:
        """Take what a body says of this session; a fault in it ends this session alone."""
        try:
            if section.ack > self.connection.acknowledged:
                self.take_ack(section.ack)
            for document in section.documents:
                if document[0] == "last" and len(document) > 1 and is_count(document[1]):
                    self._say_bye(document[1])
            if section.frames:
                self.take(section.first, section.frames)
        except RemoteProtocolError as error:
            self.reject(error)

    def take_ack(self, number: int) -> None:
        """Take an acknowledgement; raises RemoteProtocolError for what was never sent."""
        if self.connection.take_ack(number) and self._senders:
            self._wake_senders()

    def take(self, first: int, frames: list[tuple[int, bytes]]) -> None:
        """Take numbered frames as far as credit allows; raises RemoteProtocolError with 1002,
        1007 or 1009 for what no session survives."""
        connection = self.connection
        was_open = connection.close_taken is None
        try:
            connection.take(first, frames, bounded=True)
        finally:
            if self._receivers and connection.inbox:
                self._wake_receivers()
        if was_open and connection.close_taken is not None:
            self._answer_close()
        elif self.bye_at is not None and connection.received >= self.bye_number:
            self._leave_in(_LAST_WORDS_SECONDS)

    def take_message(self, message: str | bytes, size: int) -> bool:
        """Take the next frame as Connection.take_message does."""
        if self.bye_at is not None or not self.connection.take_message(message, size):
            return False
        if self._receivers:
            self._wake_receivers()
        return True

    def _answer_close(self) -> None:
        connection = self.connection
        if connection.close_taken is None:
            return
        code, reason = connection.close_taken
        self._why = self._why or "its page closed it"
        now = self._loop.time()
        self._unaware_until = now + _UNAWARE_SECONDS
        if connection.state is State.CLOSE_TAKEN:
            if self.extension.get("answers_close"):
                # The application relays a close handshake whose other end is elsewhere.
                self._answer_by = now + self.config.close_timeout
            else:
                connection.send_close(now, code, reason)
        self._end(_disconnect(code, reason))

    def reject(self, error: RemoteProtocolError) -> None:
        """End the session for what the page did wrong, with a close that says so."""
        if self.connection.state is not State.OPEN:
            return  # the page repeats its fault until it has our close
        now = self._loop.time()
        self._misuse.note(self.client, error, now, "A frame")
        self._why = f"its page broke the protocol: {error.text}"
        self.connection.send_close(now, error.close_code, error.text)
        self._end(Disconnect(error.close_code, error.text))

    def fail(self, why: str, *, is_failed: bool = False) -> None:
        """End the session without a close (1006 at both ends).

        `is_failed` where a native connection would have been failed (RFC 6455 section 7.1.7), and
        not lost.
        """
        if self.connection.is_over:
            return
        self._is_failed = is_failed
        self.connection.fail()
        self._why = self._why or why
        self._end(Disconnect(CloseCode.ABNORMAL, ""))

    def go_away(self, code: int) -> None:
        """End the session because the server goes down."""
        if self.owes_close:
            self._why = self._why or "the server goes down"
            self.connection.send_close(self._loop.time(), code)
            self._end(Disconnect(code, ""))

    def _end(self, disconnect: Disconnect) -> None:
        if self.disconnect is None:
            self.disconnect = disconnect
        self._wake_receivers()
        self._wake_senders()
        if self.home is not None:
            self.home.wake(self)
        if self.connection.is_over and self.over_at is None:
            self.over_at = self._loop.time()
            diary.note_end(self, self.disconnect.code, self._why, self._age)
            if self.on_over is not None:
                self.on_over(self)
            if self.carrier is not None:
                self.carrier.note_over()
        self._watch()

    def _wake_receivers(self) -> None:
        waiters, self._receivers = self._receivers, ()
        _wake(waiters)

    def _wake_senders(self) -> None:
        waiters, self._senders = self._senders, ()
        _wake(waiters)

    def _watch(self) -> None:
        if self.connection.is_over:
            self.deadlines.forget(self)
            return
        deadline = self._next_check()
        if deadline is not None:
            self.deadlines.watch(self, deadline)

    def move(self, home: Home | None) -> None:
        """Make this the session's home; what is unacknowledged is written again there."""
        if self.home is not None and self.home is not home:
            self.home.leave(self)
        self.home = home
        self.written = self.connection.acknowledged

    # --- The end of a page ------------------------------------------------------------------------

    def _say_bye(self, number: int) -> None:
        """The page is gone for good once what it sent has come, up to this number."""
        if self.connection.state is State.OPEN:
            self.bye_number = max(self.bye_number, number)
            is_whole = self.connection.received >= self.bye_number
            self._leave_in(_LAST_WORDS_SECONDS if is_whole else self.config.bye_grace)

    def _leave_in(self, seconds: float) -> None:
        self.bye_at = self._loop.time() + seconds
        self.deadlines.watch(self, self.bye_at)

    def _leave_by_bye(self) -> None:
        if not self.connection.is_over:
            self._why = self._why or "its page went away"
            self._unaware_until = self._loop.time() + _UNAWARE_SECONDS
            self.connection.fail()
            self._end(Disconnect(CloseCode.GOING_AWAY, ""))

    # --- Deadlines --------------------------------------------------------------------------------

    def check(self, now: float) -> float | None:
        """Do what is due: see Guarded."""
        if self.connection.is_over:
            return None
        self.connection.check(now)
        if self.connection.is_over:
            self._why += ", and its close was not answered"
            self._end(Disconnect(CloseCode.ABNORMAL, ""))
            return None
        if self.bye_at is not None and now >= self.bye_at:
            self._leave_by_bye()
            return None
        if self._answer_by is not None and now >= self._answer_by:
            self.fail("the application did not answer its close")
            return None
        return self._next_check()

    def _next_check(self) -> float | None:
        times = (self.connection.close_deadline, self.bye_at, self._answer_by)
        return min((time for time in times if time is not None), default=None)


def _wake(waiters: tuple[asyncio.Future[None], ...]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)


def _disconnect(code: int | None, reason: str) -> Disconnect:
    return Disconnect(CloseCode.NO_STATUS if code is None else code, reason)
