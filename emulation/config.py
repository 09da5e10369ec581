"""Every number of the library, with its unit and its reason."""

from __future__ import annotations

import functools
import inspect
import ipaddress
import os
import re
import secrets
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, TypeAlias

from emulation.observing import Observer

__all__ = ["TRANSPORTS", "Config", "Network", "Scope", "network"]

Scope: TypeAlias = MutableMapping[str, Any]
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

TRANSPORTS: Final = ("websocket", "stream", "sse", "xhr-stream", "poll")

KIB: Final = 1024
MIB: Final = 1024 * KIB

# Sections, heads and the last few frames' own bytes: 256 sockets need about 6 KiB.
_HEAD_SIZE: Final = 16 * KIB

# A timer of a page counts milliseconds in 31 bits, and fires at once beyond them.
_MAX_TIME: Final = 2_000_000
# The length of a frame has 35 bits, a number in JSON 53.
_MAX_COUNT: Final = 2**32

_NODE = re.compile(r"[A-Za-z0-9_-]{1,32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Hold the settings of one `WebSocketEmulation`; times are in seconds, sizes in bytes.

    Raises TypeError or ValueError, with a sentence that says what to change, when a value or
    a combination of values makes no sense.
    """

    # --- Presence -----------------------------------------------------------------------------

    # The shortest idle limits of proxies in their default configuration are 30 (Traffic Server),
    # 50 (HAProxy) and 60 (nginx, Varnish): half of the shortest survives one lost ping.
    heartbeat: float = 15.0

    # A parked poll is answered (empty) below the same 30 s, with room for a slow way back.
    poll_time: float = 20.0

    # How long a session outlives its last authenticated request: a phone that changes networks or
    # passes a tunnel is back within this; a longer time keeps replay buffers of pages that left.
    # What counts is at least 2 * `heartbeat` + 5, in which a page that is merely idle is heard: 35
    # with the defaults.
    resume_time: float = 30.0

    # --- Opening ------------------------------------------------------------------------------

    # An undecided `open` is answered after this, so that 25 sockets opening at once do not hold
    # the six connections of a browser while the application looks something up.
    open_answer_time: float = 1.0

    # An application that has neither accepted nor refused by then never will; websockets gives a
    # handshake 10, Daphne 5: ours includes the joins after a transport that failed.
    open_timeout: float = 30.0

    # A session that was opened and has had no downstream: its page has left, or never got the
    # answer. Time for two tries of a transport that is given up after 2 and one reconnect of 5.
    attach_timeout: float = 15.0

    # How long a try may join the start of its socket: the whole `open_timeout` of the page.
    nonce_time: float = 30.0

    # How long an EventSource may take to come with its ticket: one reconnect through a slow proxy.
    ticket_time: float = 30.0

    # --- Closing ------------------------------------------------------------------------------

    # From our close to the peer's, as in the websockets library.
    close_timeout: float = 10.0

    # The longest wait of an application in `send` without progress: a chat that awaits each member
    # in turn must not stand still for one sleeping laptop.
    send_timeout: float = 10.0

    # What is still on its way when a page says `bye`; longer than a round trip of a bad network.
    bye_grace: float = 2.0

    # From the signal that stops the server to the last answer: all is over within 2 s, as a
    # reloading developer and a container's 10 s of grace expect.
    drain_time: float = 1.5

    # --- Requests -----------------------------------------------------------------------------

    # To read one request body. uvicorn itself waits for ever for a body of 1 byte a second; nginx
    # gives each read 60, Apache a whole body 20 and more. The largest upload in this time is
    # 17 KB a second.
    body_timeout: float = 30.0

    # The body of one upload. nginx refuses more than 1 MiB by default; half of it leaves room for
    # whatever wraps it. With what stands around its parts, a message of 1 MiB fits into two.
    max_upload: int = 516 * KIB

    # The body of one answer to a poll: it is read whole, and memory is taken for it at both ends.
    max_batch: int = 1 * MIB

    # After this a stream is ended and renewed: fetch gives its bytes back, so the number only
    # bounds what a proxy that buffers collects.
    stream_renew: int = 16 * MIB

    # The same for `sse` and `xhr-stream`: the text of an XMLHttpRequest grows until it ends, and
    # engines keep two bytes for a character.
    text_stream_renew: int = 1 * MIB

    # --- Messages -----------------------------------------------------------------------------

    # The largest message in either direction, as uvicorn's `ws_max_size`.
    max_message_size: int = 16 * MIB

    # A larger message travels in parts, so that it passes every body limit, makes progress across
    # cuts and lets other sockets take turns.
    part_size: int = 64 * KIB

    # What one session keeps for replay downstream, and how far its page may run ahead of the
    # application upstream: 1 MiB fills 80 Mbit/s at a round trip of 100 ms.
    window_bytes: int = 1 * MIB

    # The same in frames, because an empty message costs memory too (about 100 bytes here).
    window_frames: int = 1024

    # --- Numbers ------------------------------------------------------------------------------

    # At most `max_sessions` * 2 * `window_bytes` is kept for replay; at about 10 KB for an idle
    # session 20,000 are 200 MB. uvicorn's own answer to too many is `limit_concurrency`.
    max_sessions: int = 20_000

    # A carrier without sockets costs little, but each page has one.
    max_carriers: int = 20_000

    # Browsers stop at 255 (Chromium) and 200 (Firefox) native WebSockets.
    max_sessions_per_carrier: int = 256

    # For one client address, 0 for no limit. An address is not a person: a school behind NAT has
    # one, and so has everybody behind a proxy whose X-Forwarded-For the server does not read. Who
    # knows that his clients have addresses of their own sets it; a tenth of max_sessions is sane.
    max_sessions_per_client: int = 0

    # --- Surroundings -------------------------------------------------------------------------

    # Addresses or networks of the proxies whose X-Forwarded-Host is believed. `"*"` believes
    # whoever connects: for Unix sockets, and where the server has already put the client's address
    # in the place of the proxy's (uvicorn's --proxy-headers does).
    trusted_proxies: Sequence[str] = ()

    # Names the authenticated user of a scope (None: nobody). A carrier is of no use to another.
    principal: Callable[[Scope], str | None] | None = None

    # Hears of sessions, for metrics.
    observer: Observer | None = None

    # What the server lets the page use, as it is called on the wire.
    transports: Sequence[str] = TRANSPORTS

    # What this process is called, so that a request that a balancer gave to the wrong one is told
    # from an unknown one. Empty: each process draws a name of its own (see `node_name`).
    node: str = ""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "float":
                _check_time(field.name, value)
            elif field.type == "int":
                _check_count(field.name, value)
            elif field.type == "Sequence[str]":
                object.__setattr__(self, field.name, _strings(field.name, value))
        self._check_names()
        self._check_together()

    @property
    def node_name(self) -> str:
        """Return the name of this process on the wire."""
        return self.node or _drawn_name(os.getpid())

    @property
    def max_body(self) -> int:
        """Return the largest request body that is read: an upload and what stands around it."""
        return self.max_upload + _HEAD_SIZE

    def _check_names(self) -> None:
        for proxy in self.trusted_proxies:
            if proxy != "*":
                network(proxy)
        unknown = [name for name in self.transports if name not in TRANSPORTS]
        if unknown or not self.transports:
            raise ValueError(
                f"Config: transports={list(self.transports)!r} must name at least one transport,"
                f" and only some of {', '.join(TRANSPORTS)}."
            )
        if self.principal is not None and not callable(self.principal):
            raise TypeError("Config: principal must be a function that takes the ASGI scope.")
        # Its coroutine would never run, and be the principal itself.
        if any(map(inspect.iscoroutinefunction, (self.principal, type(self.principal).__call__))):
            raise TypeError(
                "Config: principal must not be async: it is called, and its answer is not awaited."
            )
        if self.observer is not None and not isinstance(self.observer, Observer):
            raise TypeError("Config: observer must be an emulation.Observer.")
        if not isinstance(self.node, str):
            raise TypeError("Config: node must be a string.")
        if self.node and not _NODE.fullmatch(self.node):
            raise ValueError(
                f"Config: node={self.node!r} must be 1 to 32 of the characters A-Z a-z 0-9 _ -,"
                " because it travels in JSON and balancers match it."
            )

    def _check_together(self) -> None:
        # A carrier counts as absent after two heartbeats and 5 s without a request: a page that
        # polls makes none while its poll is parked.
        absent = 2 * self.heartbeat + 5
        if self.poll_time >= absent:
            raise ValueError(
                f"Config: poll_time={self.poll_time} must be less than 2 * heartbeat + 5 ="
                f" {absent}, or a page that waits in a poll counts as gone."
            )
        if self.open_answer_time >= self.open_timeout:
            raise ValueError(
                f"Config: open_answer_time={self.open_answer_time} must be less than"
                f" open_timeout={self.open_timeout}: an undecided open is answered before it fails."
            )
        for name in ("window_bytes", "max_upload", "max_batch"):
            if getattr(self, name) < self.part_size:
                raise ValueError(
                    f"Config: {name}={getattr(self, name)} must be at least"
                    f" part_size={self.part_size}, or a part of a message never fits."
                )


def network(text: str, setting: str = "trusted_proxies") -> Network:
    """Return the network that an address or a network in text means.

    Raises ValueError when it is neither; `setting` is what the text was given as.
    """
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(
            f"{setting}: {text!r} is no address or network; give one such as '10.0.0.7',"
            " '10.0.0.0/8' or 'fd00::/8', or '*' for whoever connects."
        ) from None


def _check_time(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"Config: {name}={value!r} must be a number of seconds.")
    if not 0 < value <= _MAX_TIME:
        raise ValueError(
            f"Config: {name}={value!r} must be more than 0 seconds and at most {_MAX_TIME}, as"
            " the timers of browsers hold no more."
        )


def _check_count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"Config: {name}={value!r} must be a whole number.")
    least = 0 if name == "max_sessions_per_client" else 1
    if value < least:
        raise ValueError(f"Config: {name}={value} must be at least {least}.")
    if value > _MAX_COUNT:
        raise ValueError(f"Config: {name}={value} must be at most {_MAX_COUNT}: nobody has more.")


def _strings(name: str, value: object) -> tuple[str, ...]:
    # A lone string is a sequence of strings too, of one character each: never what was meant.
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise TypeError(f"Config: {name}={value!r} must be a list or a tuple of strings.")
    values = tuple(value)
    if not all(isinstance(item, str) for item in values):
        raise TypeError(f"Config: {name}={values!r} must hold strings only.")
    return values


@functools.cache
def _drawn_name(pid: int) -> str:
    """Return the name of a process; those that were forked from one each draw their own."""
    del pid
    return secrets.token_urlsafe(6)
