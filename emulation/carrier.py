"""A carrier: the one downstream and one upload at a time that a page's sockets share."""

from __future__ import annotations

import hmac
import logging
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from emulation.protocol.connection import Connection, State
from emulation.protocol.frames import Frame, counts, credit, document, section

if TYPE_CHECKING:
    from emulation.config import Config
    from emulation.deadlines import Deadlines, Look
    from emulation.protocol.handshake import Section
    from emulation.session import Session

__all__ = ["Carrier", "Downstream", "Ticket"]

logger = logging.getLogger("emulation.carrier")

# What one socket may put into one write before the next one has its turn: a few parts.
_TURN_BYTES = 256 * 1024
# A poll's answer at first (bytes), which a line of 10 kB a second brings in its time, and at the
# least.
_FIRST_BATCH = 256 * 1024
_LEAST_BATCH = 16 * 1024
# The time that a full answer may take, until the next poll is here, to be longer the next time, and
# to be shorter (seconds).
_QUICK_SECONDS = 2.0
_SLOW_SECONDS = 8.0
# When credit in a poll's answer is told again for the first time (seconds).
_AGAIN_SECONDS = 1.0
# What an upload's answer brings at most of messages (bytes): the poll may bring them once more.
_REPLY_BYTES = 16 * 1024
# A page that has uploaded twice within this time (seconds) is expected to go on so. What it has not
# acknowledged by then, the poll brings again.
_REPLY_SECONDS = 1.0
# A stream says so long after its head (seconds) that it flows, in a piece of its own: some
# intermediaries let the first piece of an answer pass and hold all others back.
_FLOWS_SECONDS = 0.2
# A carrier without sockets keeps its downstream for this long: a page that closes one socket and
# opens the next should not pay for a new request.
_EMPTY_SECONDS = 2.0


class Downstream(Protocol):
    """A response that serves a carrier: what an attach becomes."""

    attach: int
    transport: str
    deadline: float | None

    @property
    def written(self) -> int:
        """The number of frames written so far, the head included."""

    def push(self) -> None:
        """Write what there is, at the end of this turn of the loop; never waits."""

    def flush(self) -> None:
        """Write what there is, now where that is possible; never waits."""

    def finish(self) -> None:
        """Write `end` and nothing more; never waits."""


class Ticket(NamedTuple):
    """What lets an EventSource, which has no body, be the downstream of an attach."""

    ticket: str
    attach: int
    expires: float


class Carrier:
    """The sockets of one page below one path, and what serves them."""

    __slots__ = (
        "_again",
        "_asked",
        "_batch",
        "_batched_at",
        "_config",
        "_deadlines",
        "_dirty",
        "_empty_since",
        "_flows_at",
        "_gone",
        "_greet",
        "_heard",
        "_is_chatty",
        "_is_held",
        "_loop",
        "_on_empty",
        "_pinged",
        "_replied",
        "_say_flows",
        "_say_ping",
        "_silence",
        "_since",
        "_uploaded_at",
        "attach",
        "downstream",
        "key",
        "lasted",
        "live",
        "look",
        "lost",
        "made_by",
        "named",
        "origin",
        "principal",
        "secret",
        "sessions",
        "ticket",
        "transport",
        "wait",
    )

    def __init__(
        self,
        key: str,
        secret: str,
        origin: bytes,
        principal: str | None,
        config: Config,
        deadlines: Deadlines,
        on_empty: Callable[[Carrier], None],
    ) -> None:
        self._loop = deadlines.loop
        self.key = key
        self.secret = secret
        self.origin = origin
        self.principal = principal
        self._config = config
        self._deadlines = deadlines
        self._on_empty = on_empty
        self.sessions: dict[int, Session] = {}
        # How many of them are not over: there may be thousands of graves.
        self.live = 0
        self.downstream: Downstream | None = None
        # The nonce of the socket whose first try made this carrier.
        self.made_by = ""
        self.attach = 0
        # How long the page of the newest attach wants silence to last at most.
        self.wait = math.inf
        self.transport = ""
        self.ticket: Ticket | None = None
        # Sessions with something to say, in the order of their turns.
        self._dirty: dict[Session, None] = {}
        # Sessions that a new downstream still has to be told the ack and credit of.
        self._greet: dict[Session, None] = {}
        # Whether what is said waits for the end of a turn, and what uploads there were: see `hold`.
        self._is_held = False
        self._is_chatty = False
        self._uploaded_at = -math.inf
        # Sessions of which an upload's answer brought something, and when the poll brings it again.
        self._replied: dict[Session, float] = {}
        # What a poll's answer holds at most, and when the last one that was as long went out, 0 for
        # none: see `batch`.
        self._batch = min(_FIRST_BATCH, config.max_batch)
        self._batched_at = 0.0
        # After how many seconds, 0 for none, the newest poll is answered to tell credit again.
        self._again = 0.0
        # What the newest attach names, and what of it there is not.
        self.named: Sequence[int] = ()
        self._gone: Sequence[int] = ()
        self._heard = self._loop.time()
        self._pinged = self._heard
        self._say_ping = False
        # When the newest stream says that it flows, and whether it is to say so now.
        self._flows_at = math.inf
        self._say_flows = False
        # When a ping was written that has had no answer, 0 for none.
        self._asked = 0.0
        # For the diary: since when the newest downstream serves; how the one before came to its
        # end, "" while it is open, and how long it served.
        self._since = self._heard
        self.lost = ""
        self.lasted = 0.0
        self._empty_since: float | None = self._heard
        # How long a page may be silent: the resume time, and never less than two heartbeats.
        self._silence = max(config.resume_time, 2 * config.heartbeat + 5)
        self.look: Look | None = None
        # Sooner than anything is due: by then there is a downstream to be watched.
        deadlines.watch(self, self._heard + min(config.heartbeat, self._silence))

    def has_secret(self, secret: str) -> bool:
        """Compare in constant time."""
        return hmac.compare_digest(self.secret, secret)  # ASCII: see parse_request_head

    def hear(self) -> None:
        """Note that something authenticated has come."""
        self._heard = self._loop.time()
        if self._asked:
            if self._config.observer is not None:
                self._config.observer.answered(self.transport, self._heard - self._asked)
            self._asked = 0.0

    def heard(self) -> float:
        """Return when something authenticated was last heard."""
        return self._heard

    # --- Sockets ----------------------------------------------------------------------------------

    def add(self, session: Session) -> None:
        """Take in a session that has its number here."""
        self.sessions[session.number] = session
        self.live += 1
        if session.connection.is_over:
            self.note_over()

    def adopt(self, session: Session) -> None:
        """Make this carrier the session's home."""
        if not session.connection.is_over:
            self._empty_since = None
        session.named_at = self._loop.time()
        session.move(self)
        if self.transport:
            session.serve_by(
                self.transport, f"its page's other requests are served by {self.transport}"
            )
        if self.downstream is not None:
            session.attached = True
            session.attaches += 1
            self._greet[session] = None
        self.wake(session)

    def forget(self, session: Session) -> None:
        """Drop the session, its grave included."""
        if self.sessions.get(session.number) is session:
            del self.sessions[session.number]
        self.leave(session)

    def leave(self, session: Session) -> None:
        """Serve the session no longer."""
        self._dirty.pop(session, None)
        self._greet.pop(session, None)
        self._replied.pop(session, None)

    def wake(self, session: Session) -> None:
        """Note that the session has something to say, and say it where nobody is writing."""
        self._dirty[session] = None
        if self.downstream is not None and not self._is_held:
            self.downstream.push()

    def hold(self) -> None:
        """Let what is said wait for `reply` and `release`, at most a turn of the loop later."""
        self._is_held = True
        self._is_chatty = self._heard < self._uploaded_at + _REPLY_SECONDS
        self._uploaded_at = self._heard

    def reply(self, said: Section) -> list[Frame]:
        """Gather what the answer to an upload of one socket says in the place of a parked poll.

        Nothing, where the poll is to say it. Where message follows message it saves a request for
        each. It counts as written nowhere, for the answer may be lost: only the page's
        acknowledgement keeps the poll from saying it again.
        """
        downstream = self.downstream
        session = self.sessions.get(said.socket)
        if (
            not self._is_chatty
            or session is None
            or session.home is not self
            or len(self._dirty) > (session in self._dirty)
            or downstream is None
            or downstream.deadline is None
            or downstream.deadline == math.inf  # it is about to be answered
            or not session.has_all_of(said)
        ):
            return []
        connection = session.connection
        written = session.passed
        numbered = connection.frames_after(written, _REPLY_BYTES)
        if (
            not numbered
            or written + len(numbered) < connection.numbered
            or _size_of(numbered) > _REPLY_BYTES
        ):
            return []
        if not self._replied:
            self._deadlines.watch(self, self._heard + _REPLY_SECONDS)
        self._replied[session] = self._heard + _REPLY_SECONDS
        self._dirty.pop(session, None)
        return [section(session.number, connection.tell_ack(), written + 1), *numbered]

    def release(self) -> None:
        """Say what has been said since `hold` and has not gone, at once."""
        self._is_held = False
        if self._dirty and self.downstream is not None:
            self.downstream.flush()

    def ask(self) -> None:
        """Let the page say again what it has: an upload was cut, and acknowledgements with it."""
        downstream = self.downstream
        if downstream is None:
            return
        if downstream.deadline is not None:
            downstream.finish()  # the next poll says it
            return
        self._say_ping = True
        downstream.push()

    def note_over(self) -> None:
        """Note that a session is over: without another one the downstream is not needed."""
        self.live -= 1
        if not self.live:
            self._empty_since = self._loop.time()
            self._deadlines.watch(self, self._empty_since + _EMPTY_SECONDS)

    def name(self, sections: list[Section]) -> None:
        """Take the sections of an attach; the sockets that they name are at home here then."""
        # Tuples of numbers: the collector looks at these once.
        self._gone = tuple(self.take_sections(sections))
        self.named = tuple([section.socket for section in sections])
        for number in self.named:
            session = self.sessions.get(number)
            if session is not None and session.home is not self:
                self.adopt(session)

    # --- Downstreams ------------------------------------------------------------------------------

    def take_over(self, downstream: Downstream) -> bool:
        """Let the newest attach serve every socket at home here; an old one is refused."""
        if downstream.attach < self.attach:
            return False
        if self._config.observer is not None:
            self._config.observer.attached(downstream.transport, not self.attach)
        now = self._loop.time()
        older, self.downstream = self.downstream, downstream
        self.attach = downstream.attach
        self.transport = downstream.transport
        if older is not None:
            self.lasted = now - self._since
            older.finish()
        for session in self.sessions.values():
            if session.home is self:
                self._greet_anew(session)
        self._replied = {}
        self.lost = ""
        if self._batched_at:
            self._adapt_batch(now - self._batched_at)
        self._since = self._pinged = now
        self._flows_at = now + _FLOWS_SECONDS if downstream.deadline is None else math.inf
        self._say_ping = self._say_flows = False
        self._asked = 0.0
        self._plan()
        return True

    def _greet_anew(self, session: Session) -> None:
        """Let a new downstream say all that the page has not acknowledged."""
        connection = session.connection
        if session.transport != self.transport:
            session.serve_by(self.transport, f"its page attached anew, number {self.attach}")
        session.written = connection.acknowledged
        session.attached = True
        session.attaches += 1
        # Of a grave that is not asked for, and of which the page has all, nothing is to be said.
        is_wanted = not connection.is_over or session.number in self.named
        has_frames = connection.numbered > connection.acknowledged
        if is_wanted or has_frames:
            self._greet[session] = None
        if has_frames or (is_wanted and session.has_news):
            self._dirty[session] = None

    def detach(self, downstream: Downstream, how: str) -> None:
        """Note that this downstream writes no more, and how it came to that."""
        if self.downstream is downstream:
            self.downstream = None
            self.lost = how
            self.lasted = self._loop.time() - self._since

    @property
    def has_news(self) -> bool:
        """Whether there is something to say for which a parked poll is answered."""
        if self._gone:
            return True
        return any(session.has_news for session in self._dirty)

    def batch(self, downstream: Downstream) -> list[Frame]:
        """Gather what a poll's answer should say: as much as comes within some seconds.

        An answer counts when it is whole, and a page does not wait for ever.
        """
        size = self._batch
        frames = self.pack(downstream, size)
        if _size_of(frames) >= size:
            self._batched_at = self._loop.time()
        return frames

    def _adapt_batch(self, seconds: float) -> None:
        """Answer with more, or with less, as the page has come back so long after a full batch."""
        self._batched_at = 0.0
        if seconds < _QUICK_SECONDS:
            self._batch = min(self._batch * 2, self._config.max_batch)
        elif seconds > _SLOW_SECONDS:
            self._batch = max(self._batch // 2, min(_LEAST_BATCH, self._batch))

    def pack(self, downstream: Downstream, max_bytes: int) -> list[Frame]:
        """Gather what this downstream should write next, about `max_bytes` at most.

        The sockets take turns; each has its section.
        """
        frames: list[Frame] = []
        if self.downstream is not downstream:
            return frames
        if self._say_ping:
            self._say_ping = False
            self._asked = self._asked or self._loop.time()
            frames.append(_PING)
        if self._say_flows:
            self._say_flows = False
            frames.append(_FLOWS)
        if self._gone:
            frames += [counts("gone", number) for number in self._gone]
            self._gone = ()
        size = 0
        turns = {**self._greet, **self._dirty} if self._greet else self._dirty
        while turns and size < max_bytes:
            for session in tuple(turns):
                size += self._pack_section(session, frames, min(_TURN_BYTES, max_bytes - size))
                if size >= max_bytes:
                    break
            turns = self._dirty
        # What has been used keeps its room, and idle carriers are many.
        if not self._greet:
            self._greet = {}
        if not self._dirty:
            self._dirty = {}
        return frames

    def _pack_section(self, session: Session, frames: list[Frame], max_bytes: int) -> int:
        connection = session.connection
        greet = bool(self._greet) and self._greet.pop(session, self) is None
        written = session.passed
        numbered = connection.frames_after(written, max_bytes)
        is_credited = (greet or connection.owes_credit) and not connection.is_over
        if numbered or is_credited or greet:
            first = written + 1 if numbered else 0
            frames.append(section(session.number, connection.tell_ack(), first))
            if is_credited:
                self._doubt(connection)
                frames.append(credit(connection.tell_credit()))
            frames += numbered
        written += len(numbered)
        session.written = written
        self._dirty.pop(session, None)
        if connection.numbered > written:
            self._dirty[session] = None  # behind the others: their turn comes first
        elif connection.state is State.FAILED:
            frames.append(session.gone)
        return _size_of(numbered)

    def _doubt(self, connection: Connection) -> None:
        """Let credit be told again soon where a page may stand still that does not get it.

        A poll's answer is whole or nothing, and such a page has nothing to send.
        """
        downstream = self.downstream
        if (
            connection.owes_credit
            and downstream is not None
            and downstream.deadline is not None
            and connection.may_wait_for_credit
        ):
            self._again = _AGAIN_SECONDS

    # --- Requests ---------------------------------------------------------------------------------

    def take_sections(self, sections: list[Section]) -> list[int]:
        """Take what a body says of its sockets; return the numbers that nobody has here.

        All acknowledgements come first, so that no frame waits for room that there is.
        """
        unknown = []
        for one in sections:
            session = self.sessions.get(one.socket)
            if session is None:
                unknown.append(one.socket)
            else:
                session.is_known = True
                session.named_at = self._heard
                if one.frames:
                    self._again = 0.0  # it has the credit that it was told
                session.take_section(one)
        return unknown

    # --- Deadlines --------------------------------------------------------------------------------

    def _plan(self) -> None:
        self._deadlines.watch(self, self._next_check())

    def _next_check(self) -> float:
        when = self._heard + self._silence
        downstream = self.downstream
        if downstream is not None:
            if downstream.deadline is None:
                when = min(when, self._next_ping(), self._flows_at)
            else:
                when = min(when, downstream.deadline, self._tell_at, *self._replied.values())
        if self._empty_since is not None and downstream is not None:
            when = min(when, self._empty_since + _EMPTY_SECONDS)
        return when

    @property
    def _tell_at(self) -> float:
        """When the newest poll is answered to tell credit again."""
        return self._since + self._again if self._again else math.inf

    def _next_ping(self) -> float:
        return self._pinged + min(self._config.heartbeat, max(self.wait, _SHORTEST_HEARTBEAT))

    def check(self, now: float) -> float | None:
        """Do what is due: see Guarded."""
        if now >= self._heard + self._silence:
            self._expire()
            return None
        downstream = self.downstream
        if downstream is not None:
            if self._empty_since is not None and now >= self._empty_since + _EMPTY_SECONDS:
                self._empty_since = None
                downstream.finish()
            elif downstream.deadline is not None:
                self._repeat_replies(now)
                if now >= self._tell_at:
                    self._again = self._again * 2 if self._again < self._config.poll_time else 0.0
                    downstream.finish()
                if now >= downstream.deadline:
                    downstream.finish()
            else:
                self._check_stream(downstream, now)
        self._give_up_unnamed(now)
        return self._next_check()

    def _check_stream(self, downstream: Downstream, now: float) -> None:
        if now >= self._flows_at:
            self._flows_at = math.inf
            self._say_flows = True
            downstream.push()
        if now >= self._next_ping():
            self._pinged = now
            self._say_ping = True
            downstream.push()

    def _repeat_replies(self, now: float) -> None:
        """Let the poll say what an upload's answer said and the page has not acknowledged."""
        for session, when in list(self._replied.items()):
            if now >= when:
                del self._replied[session]
                if session.has_news:
                    self.wake(session)

    def _give_up_unnamed(self, now: float) -> None:
        """End sessions that their page does not have any more.

        It names all at home here in its answers to pings, and in its polls. One that is not among
        them was given up by the page, and no request has come that says so. Twice the time, for it
        may be at home here alone: its page is about to miss a native socket that is dead.
        """
        for session in list(self.sessions.values()):
            if session.home is self and now >= session.named_at + 2 * self._silence:
                session.fail("its page has named others, and it no more")

    def _expire(self) -> None:
        for session in list(self.sessions.values()):
            if session.home is self or session.home is None:
                session.fail("its page has not been heard of for the resume time")
        if self.downstream is not None:
            self.downstream.finish()
        if not self.live:
            self._on_empty(self)
        else:
            # The others are at home on native sockets, which have their own watch.
            self._heard = self._loop.time()
            self._deadlines.watch(self, self._heard + self._silence)


def _size_of(frames: list[Frame]) -> int:
    return sum([len(payload) for _, payload in frames])


_PING = document("ping")
_FLOWS = document("flows")

# What a page may ask for.
_SHORTEST_HEARTBEAT = 1.0
