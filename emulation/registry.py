"""The registry: finds, counts and expires carriers, sessions and starts."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import secrets
import threading
from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from emulation.carrier import Carrier
from emulation.deadlines import Deadlines, Look, Patience
from emulation.exceptions import RemoteProtocolError
from emulation.misuse import Misuse
from emulation.observing import Statistics
from emulation.protocol.close import CloseCode
from emulation.seldom import SILENCE, Seldom
from emulation.session import Session, limits_of

if TYPE_CHECKING:
    from emulation.bridge import Start
    from emulation.config import Config

__all__ = ["Registry"]

logger = logging.getLogger("emulation.registry")

# What a log line shows of another process's name.
_MAX_NODE = 32


# Between two pages that are told that the server goes down (seconds), in the mean, and how many of
# them are told at once: granian ends its loop as soon as it may.
_APART: Final = 0.005
_AT_ONCE: Final = 10

# The loop holds tasks weakly, and nobody else may hold their registry: an application that was
# mounted somewhere, without lifespan, is dropped with its loop.
_running: Final[set[asyncio.Task[None]]] = set()


class HangsUp(Protocol):
    """A native socket, as far as the registry knows it."""

    def hang_up(self) -> None:
        """Close without waiting."""


class Registry:
    """All that one `WebSocketEmulation` keeps, on one event loop."""

    def __init__(self, config: Config) -> None:
        self.config = config
        try:
            self.loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError(
                "WebSocketEmulation needs an event loop of asyncio, and runs in none; with"
                " hypercorn, start it with --worker-class asyncio or uvloop."
            ) from None
        self.thread = threading.get_ident()
        self.node = config.node_name
        self.limits = limits_of(config)
        # What every page is told of the configuration when its socket is open, as JSON.
        self.parameters = _parameters(config)
        self.deadlines = Deadlines(self.loop)
        # With who sends a body.
        self.patience = Patience(self.deadlines, config.body_timeout)
        self.misuse = Misuse()
        self.carriers: dict[str, Carrier] = {}
        self.starts: dict[str, Start] = {}
        self.sessions: set[Session] = set()
        # Those that run; held here, for the loop holds them weakly.
        self.applications: set[asyncio.Task[None]] = set()
        self.natives: set[HangsUp] = set()
        self.is_going_down = False
        # Made once, for all sessions and carriers.
        self._on_over = self._bury
        self._on_empty = self.drop_carrier
        self._on_end = self._note_end
        self._clients: Counter[str] = Counter()
        self._graves: deque[tuple[float, Session]] = deque()
        self.look: Look | None = None
        self._warned_of_node = False
        self._lines_of_limits = Seldom()

    def hold(self, application: asyncio.Task[None]) -> None:
        """Hold a task that runs an application, until it is done."""
        _running.add(application)
        self.applications.add(application)
        application.add_done_callback(self._on_end)

    def _note_end(self, application: asyncio.Task[None]) -> None:
        _running.discard(application)
        self.applications.discard(application)

    # --- Carriers ---------------------------------------------------------------------------------

    def new_carrier(self, key: str, origin: bytes, principal: str | None) -> Carrier:
        """Make the carrier of this key, which nobody has yet.

        Raises RemoteProtocolError with 503 at the limit.
        """
        if len(self.carriers) >= self.config.max_carriers:
            self._drop_empty_carriers()
        if len(self.carriers) >= self.config.max_carriers:
            raise self._refused("max_carriers", _too_many("too many carriers"))
        carrier = Carrier(
            key,
            secrets.token_urlsafe(24),  # 192 bits
            origin,
            principal,
            self.config,
            self.deadlines,
            self._on_empty,
        )
        self.carriers[key] = carrier
        return carrier

    def find_carrier(
        self, key: str, secret: str, node: str, origin: bytes, principal: str | None
    ) -> Carrier:
        """Find the carrier that a request names and proves to be its own.

        Raises RemoteProtocolError with 421 for another node's and 404 for all else, alike.
        """
        if node and node != self.node:
            self._warn_of_node(node[:_MAX_NODE])
            raise RemoteProtocolError(421, CloseCode.ABNORMAL, "this carrier is another process's")
        carrier = self.carriers.get(key)
        if (
            carrier is None
            or not carrier.has_secret(secret)
            or (origin and carrier.origin and origin != carrier.origin)
            or principal != carrier.principal
        ):
            raise unknown_carrier()
        carrier.hear()
        return carrier

    def _warn_of_node(self, node: str) -> None:
        if self._warned_of_node:
            return
        self._warned_of_node = True
        logger.error(
            "A request for a session of process %r has come to process %r. Sessions live in one "
            "process: run one process per port and let the proxy in front choose it by a hash of "
            "the key in the URL (emulation=<verb>.<key>); see docs/deploying.md. Said once.",
            node,
            self.node,
        )

    def drop_carrier(self, carrier: Carrier) -> None:
        """Forget a carrier; a downstream that is ending still says what is left to say."""
        if self.carriers.get(carrier.key) is carrier:
            del self.carriers[carrier.key]
            self.deadlines.forget(carrier)

    def _drop_empty_carriers(self) -> None:
        for carrier in list(self.carriers.values()):
            if carrier.downstream is None and not carrier.live and not self._is_awaited(carrier):
                self.drop_carrier(carrier)

    def _is_awaited(self, carrier: Carrier) -> bool:
        """Tell whether its first socket is about to say, on a native socket, which one it is."""
        start = self.starts.get(carrier.made_by)
        return start is not None and not start.session.connection.is_over

    # --- Sessions ---------------------------------------------------------------------------------

    def check_room(self, client: str) -> None:
        """Raise RemoteProtocolError with 503 or 429 where a limit forbids another session."""
        if self.is_going_down:
            raise going_down()
        if len(self.sessions) >= self.config.max_sessions:
            raise self._refused("max_sessions", _too_many("too many sessions"))
        limit = self.config.max_sessions_per_client
        if limit and self._clients[client] >= limit:
            error = RemoteProtocolError(429, CloseCode.POLICY_VIOLATION, "too many of one client")
            raise self._refused("max_sessions_per_client", error, f" of {client}")

    def _refused(
        self, setting: str, error: RemoteProtocolError, whose: str = ""
    ) -> RemoteProtocolError:
        """Log which limit keeps pages waiting, once a minute; return the error."""
        if self._lines_of_limits.note(setting, "", self.loop.time()) is not None:
            logger.warning(
                "Refused a socket%s: %s = %d is reached; its page tries again for a while. To admit"
                " more, raise it in Config. (Said once in %d s.)",
                whose,
                setting,
                getattr(self.config, setting),
                SILENCE,
            )
        return error

    def new_session(self, client: str) -> Session:
        """Make a session; `check_room` has found room for it."""
        session = Session(self.config, self.limits, self.deadlines, self.misuse, client)
        self.sessions.add(session)
        self._clients[client] += 1
        session.on_over = self._on_over
        return session

    def place(self, session: Session, carrier: Carrier, number: int) -> None:
        """Give the session its number on the carrier.

        Raises RemoteProtocolError with 400 for a number that another one has, and with 429 where
        the carrier is full.
        """
        if carrier.sessions.get(number) is session:
            return
        if session.number:
            raise _used_twice()
        self.check_place(carrier, number)
        session.carrier = carrier
        session.number = number
        carrier.add(session)

    def place_by_nonce(self, carrier: Carrier, number: int, nonce: str) -> Session | None:
        """Give its number to a session whose page's head was lost with its native socket.

        The key of that socket's URL and the secret of the request show that the page is the same.
        None where there is no such session, or no place on the carrier.
        """
        start = self.starts.get(nonce)
        if start is None or start.key != carrier.key or start.session.number:
            return None
        try:
            self.place(start.session, carrier, number)
        except RemoteProtocolError:
            return None
        return start.session

    def awaits_number(self, carrier: Carrier) -> bool:
        """Tell whether a socket of this carrier has no number yet, for its head was lost."""
        return any(
            start.key == carrier.key
            and not start.session.number
            and not start.session.connection.is_over
            for start in self.starts.values()
        )

    def check_place(self, carrier: Carrier, number: int) -> None:
        """Raise as `place` does where there is no place of this number on the carrier."""
        if number < 1 or number in carrier.sessions:
            raise _used_twice()
        if carrier.live >= self.config.max_sessions_per_carrier:
            text = "too many sockets of one carrier"
            raise RemoteProtocolError(429, CloseCode.POLICY_VIOLATION, text)

    def _bury(self, session: Session) -> None:
        """Keep of a session that is over what answers repeats, for the resume time."""
        self.sessions.discard(session)
        self._clients[session.client] -= 1
        if not self._clients[session.client]:
            del self._clients[session.client]
        expires = self.loop.time() + self.config.resume_time
        self._graves.append((expires, session))
        if len(self._graves) > self.config.max_sessions:
            self._forget(self._graves.popleft()[1])
        self.deadlines.watch(self, expires)

    def check(self, now: float) -> float | None:
        """Forget the graves that are old enough: see Guarded."""
        while self._graves and self._graves[0][0] <= now:
            self._forget(self._graves.popleft()[1])
        return self._graves[0][0] if self._graves else None

    def _forget(self, session: Session) -> None:
        start = self.starts.pop(session.nonce, None)
        if start is not None:
            self.deadlines.forget(start)
        if session.carrier is not None:
            session.carrier.forget(session)

    def statistics(self) -> Statistics:
        """Sum up what is kept at the moment."""
        connections = [session.connection for session in self.sessions]
        return Statistics(
            len(self.sessions),
            len(self.carriers),
            sum(connection.unreceived_bytes for connection in connections),
            sum(connection.unacknowledged_bytes for connection in connections),
        )

    # --- The end ----------------------------------------------------------------------------------

    def go_down(self, *, at_once: bool = False) -> None:
        """Tell every session 1012, end every parked request and refuse new sessions.

        Many pages are told one by one, in an order that is drawn, so that they do not come back all
        at the same moment. What is left of the applications and native sockets is ended within
        `drain_time`.
        """
        if self.is_going_down:
            return
        self.is_going_down = True
        logger.info("going down: %d sessions are closed with 1012", len(self.sessions))
        apart = 0 if at_once else (len(self.carriers) - _AT_ONCE) * _APART
        spread = max(0, min(apart, self.config.drain_time / 5))
        for carrier in list(self.carriers.values()):
            self._within(spread, self.take_leave, carrier)
        for session in list(self.sessions):
            if session.carrier is None:
                self._within(spread, session.go_away, CloseCode.SERVICE_RESTART)
        self.loop.call_later(self.config.drain_time / 2, self._hang_up)
        self.loop.call_later(self.config.drain_time, self._stop)

    def _within(self, seconds: float, callback: Callable[[Any], None], argument: Any) -> None:
        if seconds:
            self.loop.call_later(random.uniform(0, seconds), callback, argument)
        else:
            callback(argument)

    def take_leave(self, carrier: Carrier) -> None:
        """Tell the sessions of one page 1012, and end what is parked for them."""
        for session in list(carrier.sessions.values()):
            session.go_away(CloseCode.SERVICE_RESTART)
        if carrier.downstream is not None:
            carrier.downstream.finish()

    def is_done(self) -> bool:
        """Tell whether every session is over, and no native socket is left."""
        return not self.sessions and not self.natives

    def _hang_up(self) -> None:
        # A body that does not come would keep the server for as long as it may take.
        self.patience.give_up()
        for native in list(self.natives):
            native.hang_up()

    def _stop(self) -> None:
        for application in list(self.applications):
            application.cancel()
        self.deadlines.stop()


def going_down() -> RemoteProtocolError:
    """Make the answer to who wants a socket of a server that ends: another one may have it."""
    return RemoteProtocolError(503, CloseCode.SERVICE_RESTART, "the server is going down")


def unknown_carrier() -> RemoteProtocolError:
    """Make the one answer to an unknown carrier and a wrong secret."""
    return RemoteProtocolError(404, CloseCode.ABNORMAL, "no such carrier")


def _used_twice() -> RemoteProtocolError:
    text = "a socket's number is used twice"
    return RemoteProtocolError(400, CloseCode.PROTOCOL_ERROR, text)


def _too_many(text: str) -> RemoteProtocolError:
    return RemoteProtocolError(503, CloseCode.POLICY_VIOLATION, text)


def _parameters(config: Config) -> bytes:
    """Return the parameters of `opened` (docs/protocol.md section 4)."""
    parameters = {
        "heartbeat": config.heartbeat,
        "poll": config.poll_time,
        "resume": config.resume_time,
        "bytes": config.window_bytes,
        "frames": config.window_frames,
        "message": config.max_message_size,
        "upload": config.max_upload,
        "transports": list(config.transports),
    }
    return json.dumps(parameters, separators=(",", ":")).encode("ascii")
