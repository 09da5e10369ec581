"""The doctor for terminals: try each transport against a running server, and say what passes.

Where the server has the doctor's page, its checks are used: messages are echoed and streams timed.
Elsewhere each transport opens a WebSocket at the URL and closes it, which takes a frame each way.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import socket
import ssl as tls
import statistics
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import anyio

from emulation.exceptions import EmulationError
from emulation.testing import NATIVE, TRANSPORTS, Closed, Refused, WebSocket, connect
from emulation.testing.address import Address
from emulation.testing.exceptions import Failure
from emulation.testing.http import Headers, HTTPClient

from .page import PREFIX

__all__ = ["BEST", "FALLBACKS", "NOTHING", "Unreachable", "examine"]

BEST: Final = 0
FALLBACKS: Final = 1
NOTHING: Final = 2

_CONNECT_SECONDS: Final = 10.0
_SESSION_SECONDS: Final = 5.0
_STREAM_SECONDS: Final = 12.0
_ECHOES: Final = 15
# A page gives up a stream on which what was written is this late (docs/protocol.md section 8.1);
# what a proxy holds back until the answer's end comes later.
_LATE_SECONDS: Final = 1.0
# Past the pause between two pieces of the server's timed stream.
_HELD_SECONDS: Final = 0.35

_JSON: Final = "application/json"
_REFUSED: Final = "refused with"

_GIVEAWAYS = re.compile(r"via|forwarded|x-forwarded-.*|x-real-ip|x-cache.*|x-served-by|cf-.*|age")

_Say = Callable[[str], None]


class Unreachable(Exception):
    """Say in a sentence why there is nothing to examine."""


@dataclass(slots=True)
class _Try:
    """What became of one transport; times in seconds."""

    name: str
    error: str = ""
    opened: float = 0.0
    first: float = 0.0
    round_trips: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.round_trips) if self.round_trips else 0.0

    def __str__(self) -> str:
        if self.error:
            return f"no: {self.error}"
        text = f"opens in {_ms(self.opened)}"
        if self.first:
            text += f", first message after {_ms(self.first)}"
        text += f", round trip {_ms(self.median)}"
        if len(self.round_trips) > 1:
            slow = sorted(self.round_trips)[int(0.95 * len(self.round_trips))]
            text += f" (p95 {_ms(slow)})"
        return text


async def examine(url: str, *, headers: Headers = (), ca: Path | None = None, say: _Say) -> int:
    """Examine the server at a URL, saying line by line what is found; return the exit status.

    Raises ValueError, in a sentence, for what is no URL, and Unreachable.
    """
    address = Address.parse(url)
    context = tls.create_default_context(cafile=ca) if address.is_secure else None
    await _reach(address, context)
    doctor = await _find_doctor(address, headers, context, say)
    if doctor is None:
        tries = await _try_endpoint(address, headers, context, say)
    else:
        try:
            tries = await doctor.run(say)
        finally:
            await doctor.close()
    return _conclude(address, tries, say)


def _conclude(address: Address, tries: Sequence[_Try], say: _Say) -> int:
    works = [a_try for a_try in tries if not a_try.error]
    if not works:
        say(f"Nothing passes at {address.websocket_origin}{address.path}. {_hint(tries)}")
        return NOTHING
    best = works[0]
    about = f"at about {_ms(max(best.median, 0.001))} for a round trip"
    if best.name == "websocket":
        say(f"WebSocket works here: pages use it, {about}.")
        return BEST
    say(f"WebSocket does not work here; {best.name} does: pages will use it, {about}.")
    return FALLBACKS


def _hint(tries: Sequence[_Try]) -> str:
    if not tries:
        return "Is the middleware in its place, and the path right?"
    if all(a_try.error.startswith(_REFUSED) for a_try in tries if a_try.name != "websocket"):
        return "The server is there and refuses: is this the URL of a WebSocket, are its headers?"
    return "Somebody on the way lets nothing through."


# --- Reaching the server --------------------------------------------------------------------------


async def _reach(address: Address, context: tls.SSLContext | None) -> None:
    """Connect once, to tell apart what may be wrong before HTTP begins. Raises Unreachable."""
    where = f"{address.host} on port {address.port}"
    try:
        with anyio.fail_after(_CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
    except TimeoutError:
        text = f"{where} does not answer within {_CONNECT_SECONDS:g} s: a firewall may be silent."
        raise Unreachable(text) from None
    except tls.SSLCertVerificationError as error:
        text = f"The certificate of {where} is not trusted: {error.verify_message}."
        raise Unreachable(f"{text} Name its authority with --ca.") from None
    except tls.SSLError as error:
        reason = (error.reason or "").replace("_", " ").lower()
        text = f"{where} does not speak TLS as it should ({reason})."
        raise Unreachable(f"{text} Is it http: instead of https:?") from None
    except socket.gaierror:
        raise Unreachable(f"There is no host called {address.host}.") from None
    except ConnectionRefusedError:
        raise Unreachable(f"Nothing listens at {where}: the connection is refused.") from None
    except OSError as error:
        raise Unreachable(f"{where} cannot be reached: {error.strerror or error}.") from None
    writer.transport.abort()


# --- With the doctor's page -----------------------------------------------------------------------


async def _find_doctor(
    address: Address, headers: Headers, context: tls.SSLContext | None, say: _Say
) -> _Doctor | None:
    """Begin an examination where the server has the page."""
    mount = address.path.partition(PREFIX)[0] if PREFIX in address.path else ""
    doctor = _Doctor(address._replace(path=mount + PREFIX, query=""), headers, context)
    try:
        status, answer = await doctor.ask("start")
    except Failure as failure:
        await doctor.close()
        say(f"A POST brought no answer: {failure}.")
        return None
    if status == 200 and answer.get("run") == doctor.name:
        doctor.transports = answer["transports"]
        return doctor
    await doctor.close()
    if status == 429:
        say(f"Without its doctor: {answer.get('error')}")
    return None


class _Doctor:
    """An examination by the checks of the server's doctor."""

    def __init__(self, base: Address, headers: Headers, context: tls.SSLContext | None) -> None:
        self.name = secrets.token_urlsafe(16)
        self.transports: Sequence[str] = TRANSPORTS
        self._base = base
        self._headers = headers
        self._context = context
        self._client = HTTPClient(base, headers, context)
        self._answered: Headers = ()
        self._round_trip = 0.0

    async def close(self) -> None:
        await self._client.close()

    async def ask(self, check: str, headers: Headers = ()) -> tuple[int, dict[str, Any]]:
        """POST to a check; return the status and what JSON there is. Raises Failure."""
        async with self._client.request("POST", self._target(check), headers) as exchange:
            await exchange.read_head(_SESSION_SECONDS)
            body = await exchange.read_whole(_SESSION_SECONDS)
            self._answered = exchange.headers
        try:
            answer = json.loads(body)
        except ValueError:
            answer = {}
        return exchange.status, answer if isinstance(answer, dict) else {}

    async def run(self, say: _Say) -> list[_Try]:
        say(f"{self._base.origin} has the doctor's checks.")
        try:
            await self._look_around(say)
            say(f"{'native':<12}{await self._converse(NATIVE, 'native?run=' + self.name)}")
            tries = []
            for name in TRANSPORTS:
                a_try = _Try(name, "the server does not allow it")
                if name in self.transports:
                    a_try = await self._converse(name, f"session/{self.name}/{name}")
                tries.append(a_try)
                say(f"{name:<12}{a_try}")
            say(f"{'pieces':<12}{await self._watch_stream()}")
        except Failure as failure:
            raise Unreachable(f"The server stopped to answer: {failure}.") from None
        finally:
            try:
                await self.ask("end")
            except Failure:
                pass  # the server misses it by itself
        return tries

    async def _look_around(self, say: _Say) -> None:
        times = []
        answer: dict[str, Any] = {}
        for _ in range(_ECHOES):
            began = time.monotonic()
            _, answer = await self.ask("seen")
            times.append(time.monotonic() - began)
        self._round_trip = statistics.median(times)
        say(f"{'reached':<12}in HTTP/{answer.get('http')}, round trip {_ms(self._round_trip)}")
        shown = [
            f"{name}: {value}"
            for name, value in (*answer.get("headers", []), *self._answered)
            if _GIVEAWAYS.fullmatch(name)
        ]
        seen = "; ".join(dict.fromkeys(shown))
        say(f"{'between':<12}{seen or 'nobody gives itself away'}")

    async def _converse(self, transport: str, path: str) -> _Try:
        a_try = _Try(transport)
        async with _noting(a_try):
            began = time.monotonic()
            url = f"{self._base.origin}{self._base.path}/{path}"
            async with _connected(url, transport, self._headers, self._context) as websocket:
                a_try.opened = time.monotonic() - began
                if transport == NATIVE:
                    await websocket.receive(None)  # "hello"
                for turn in range(_ECHOES):
                    sent = time.monotonic()
                    await websocket.send(str(turn))
                    await websocket.receive(None)
                    a_try.round_trips.append(time.monotonic() - sent)
                    a_try.first = a_try.first or time.monotonic() - began
        return a_try

    async def _watch_stream(self) -> str:
        """Say whether an answer that is written piece by piece arrives so."""
        late = 0.0
        pending = b""
        began = time.monotonic()
        try:
            async with self._client.request("POST", self._target("stream"), ()) as exchange:
                await exchange.read_head(_STREAM_SECONDS)
                while piece := await exchange.read(_STREAM_SECONDS):
                    lines = (pending + piece).split(b"\n")
                    pending = lines.pop()
                    arrived = time.monotonic() - began
                    for line in lines:
                        written = int(line.partition(b" ")[0]) / 1000
                        late = max(late, arrived - written - self._round_trip)
        except (Failure, ValueError) as error:
            return f"a stream was cut or altered: {error}"
        if late < _HELD_SECONDS:
            return "streams arrive as they are written"
        return f"streams are held back, for up to {late:.1f} s"

    def _target(self, check: str) -> str:
        return f"{self._base.path}/{check}?run={self.name}"


# --- Without it -----------------------------------------------------------------------------------


async def _try_endpoint(
    address: Address, headers: Headers, context: tls.SSLContext | None, say: _Say
) -> list[_Try]:
    """Open and close a WebSocket at the URL itself over each transport."""
    url = f"{address.websocket_origin}{address.target()}"
    say(f"{url} is tried itself: its server has no doctor (serve --doctor).")
    stranger = await _find_stranger(address, headers, context)
    if stranger:
        say(stranger)
    tries = []
    for name in (NATIVE, *(() if stranger else TRANSPORTS)):
        a_try = _Try(name)
        async with _noting(a_try):
            began = time.monotonic()
            async with _connected(url, name, headers, context) as websocket:
                a_try.opened = time.monotonic() - began
                sent = time.monotonic()
                await websocket.close(1000)
                a_try.round_trips.append(time.monotonic() - sent)
            if websocket.closed is None or not websocket.closed.was_clean:
                a_try.error = "its close was not answered"
            elif a_try.median > _LATE_SECONDS:
                a_try.error = f"answers are held back, for {a_try.median:.1f} s"
        if name != NATIVE:
            tries.append(a_try)
        say(f"{name:<12}{a_try}")
    return tries


async def _find_stranger(address: Address, headers: Headers, context: tls.SSLContext | None) -> str:
    """Ask something senseless, and return a sentence where the answer is not the emulation's."""
    client = HTTPClient(address, headers, context)
    target = address.target(f"open.{secrets.token_urlsafe(16)}")
    try:
        async with client.request("POST", target, [("content-type", _JSON)]) as exchange:
            await exchange.read_head(_SESSION_SECONDS)
            body = await exchange.read_whole(_SESSION_SECONDS)
    except Failure:
        return ""  # the transports say what is wrong
    finally:
        await client.close()
    if body.startswith(b'[["head"'):
        return ""
    return f"A POST is answered with {exchange.status}, but not by the emulation."


@asynccontextmanager
async def _connected(
    url: str, transport: str, headers: Headers, context: tls.SSLContext | None
) -> AsyncIterator[WebSocket]:
    async with connect(url, transport=transport, headers=headers, ssl=context) as websocket:
        try:
            yield websocket
        except BaseException:
            # No close would be answered where nothing comes through.
            websocket.abort()
            raise


@asynccontextmanager
async def _noting(a_try: _Try) -> AsyncIterator[None]:
    """Bound a try, and turn what goes wrong into its error."""
    try:
        with anyio.fail_after(_SESSION_SECONDS):
            yield
    except TimeoutError:
        a_try.error = (
            "it opened, and no message came back" if a_try.opened else "it does not open in time"
        )
    except Refused as refused:
        a_try.error = f"{_REFUSED} {refused.status}"
    except Closed as closed:
        a_try.error = _root(closed)
    except EmulationError as error:
        a_try.error = str(error)


def _root(error: BaseException) -> str:
    """Return what was at the bottom of a failure."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error) or type(error).__name__


def _ms(seconds: float) -> str:
    milliseconds = seconds * 1000
    return f"{milliseconds:.1f} ms" if milliseconds < 10 else f"{milliseconds:.0f} ms"
