"""The plain relay, and the hooks by which a mode changes what it does.

A client's connection is served request by request (keep-alive); each request is an `Exchange` with
a connection of its own to the server, so that no stale connection adds a failure that the mode did
not mean. Bodies pass live, piece by piece; after a 101 the bytes of a tunnel do.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter, deque
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any, ClassVar

import h11

from .wire import LINGER, Answer, Body, BodyTooLarge, Headers, Origin, Peer, reply

MAX_LOG = 10_000  # entries kept; older ones go first

_logger = logging.getLogger("emulation_server.lab")
_PUBLIC = re.compile(r"emulation=[a-z]+\.[\w-]+")  # behind another dot comes a ticket


async def hold() -> None:
    """Wait until cancelled."""
    await asyncio.Event().wait()


async def stop(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel the tasks, wait for them, and raise what one of them raised."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            raise result


async def race(*coroutines: Coroutine[Any, Any, object]) -> None:
    """Run all until the first is done, then cancel the others; raise what any of them raised."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await stop(tasks)


@dataclass(kw_only=True, eq=False)
class Mode:
    """Relay everything unchanged.

    A subclass overrides the hooks in which its intermediary differs. The options of every mode say
    which requests it touches; the others pass through the plain relay.
    """

    only: str = ""  # regular expression searched in the request target
    every: int = 1  # touches each k-th of the requests that match
    probability: float = 1.0  # touches these with this probability
    seed: int = 0  # of all the random numbers of the mode

    passes_upgrade: ClassVar[bool] = True  # False: Upgrade is removed, as hop-by-hop headers are
    version: ClassVar[bytes] = b"HTTP/1.1"  # spoken to both sides

    random: Random = field(init=False, repr=False)
    matches: int = field(init=False, default=0, repr=False)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)

    def concerns(self, exchange: Exchange) -> bool:
        """Tell whether the mode has anything to do with such a request."""
        return True

    def selects(self, exchange: Exchange) -> bool:
        """Draw whether this request is touched; asked once for each."""
        if not re.search(self.only, exchange.target) or not self.concerns(exchange):
            return False
        self.matches += 1
        return self.matches % self.every == 0 and self.random.random() < self.probability

    async def on_request(self, exchange: Exchange) -> Answer | None:
        """Change the request, or return an answer in the server's place."""
        return None

    async def deliver(self, exchange: Exchange) -> Answer:
        """Bring the request to the server and return the answer for the client."""
        return await exchange.deliver()

    async def on_response(self, exchange: Exchange, answer: Answer) -> None:
        """Change the head of the answer; without Content-Length its body goes out chunked."""

    def up(self, exchange: Exchange, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Return what the server gets of a request's body or of a tunnel."""
        return pieces

    def down(self, exchange: Exchange, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Return what the client gets of an answer's body or of a tunnel."""
        return pieces

    async def expire(self, exchange: Exchange) -> None:
        """Return when the exchange has to be given up: never, unless a mode says so."""
        await hold()

    def hides_departure(self, exchange: Exchange) -> bool:
        """Tell whether the server is kept from learning that the client has left."""
        return False


@dataclass(eq=False)
class Entry:
    """Say what became of one request."""

    request: str  # method and target
    deliveries: int = 0  # how often it was sent to the server
    status: int = 0  # that the client got, 0 for none
    sent: int = 0  # bytes of body or tunnel that went to the server
    received: int = 0  # bytes of body or tunnel that went to the client
    done: list[str] = field(default_factory=list)  # what the mode did


class Exchange:
    """Carry one request, and its answer or tunnel, through a mode."""

    def __init__(self, relay: Relay, client: Peer, request: h11.Request) -> None:
        self._relay = relay
        self.client = client
        self.method = request.method.decode("latin-1")
        self.target = request.target.decode("latin-1")
        self.headers = Headers(request.headers.raw_items())
        if "Host" not in self.headers:  # HTTP/1.0 needs none, the server may
            self.headers.set("Host", "{}:{}".format(*relay.to))
        self.is_upgrade = "Upgrade" in self.headers
        self.is_tunnel = False
        self.body = Body(self._client_body())
        self.origins: list[Origin] = []
        self.over = asyncio.Event()
        self.entry = Entry(f"{self.method} {self.target}")
        self.started = self._touched = self._time()
        self._body_read = asyncio.Event()
        self._client_failed = asyncio.Event()
        self.mode = relay.mode if relay.mode.selects(self) else relay.plain
        relay.log.append(self.entry)

    # What modes use.

    def did(self, what: str) -> None:
        """Note in the log and in the counts what was done to this request."""
        self.entry.done.append(what)
        self._relay.counts[what] += 1

    @property
    def age(self) -> float:
        """Seconds since the request came."""
        return self._time() - self.started

    @property
    def idle(self) -> float:
        """Seconds since a byte passed in either direction."""
        return self._time() - self._touched

    def account(self) -> str:
        """Say what became of the request, without the secrets that its query may hold."""
        entry = self.entry
        path, _, query = self.target.partition("?")
        if public := _PUBLIC.search(query):
            path += f"?{public[0]}"
        facts = [f"{self.method} {path}: {entry.status or 'no answer'}"]
        if entry.deliveries != 1:
            facts.append(f"delivered {entry.deliveries} times")
        facts.append(f"{entry.sent} bytes up and {entry.received} down in {self.age:.2f} s")
        return ", ".join(dict.fromkeys([*facts, *entry.done]))

    def set_body(self, data: bytes) -> None:
        """Replace the request's body, with a Content-Length that is true."""
        self.body = Body(kept=data)
        self.headers.remove("Transfer-Encoding")
        self.headers.set("Content-Length", str(len(data)))

    async def send(self) -> Origin:
        """Send the request to the server on a connection of its own. Raises OSError."""
        try:
            origin = Origin(*await asyncio.open_connection(*self._relay.to))
        except OSError as error:
            self.did(f"the server cannot be reached ({error.strerror or error})")
            raise
        self._relay.keep(origin)
        self.origins.append(origin)
        self.entry.deliveries += 1
        self._relay.deliveries += 1
        origin.version = self.mode.version
        head = h11.Request(method=self.method, target=self.target, headers=self.headers.raw())
        origin.upload = asyncio.create_task(self._upload(origin, head))
        origin.upload.add_done_callback(self._uploaded)
        return origin

    async def deliver(self) -> Answer:
        """Send the request and wait for the head of the answer; a cancelled delivery is closed."""
        origin = await self.send()
        try:
            return await origin.answer()
        except asyncio.CancelledError:
            await self.abandon(origin)
            raise

    def give(self, answer: Answer, other: Exchange) -> None:
        """Let another exchange relay the answer, and close its connection when that is done."""
        if answer.origin is not None:
            self.origins.remove(answer.origin)
            other.origins.append(answer.origin)

    async def abandon(self, origin: Origin) -> None:
        """Close a delivery whose answer is not wanted."""
        self.origins.remove(origin)
        origin.close()
        await stop([origin.upload])

    def close(self) -> None:
        """End the client's connection and the server's, with no valid end of what is under way."""
        for peer in (self.client, *self.origins):
            peer.close()
        self.over.set()

    def reset(self) -> None:
        """End the client's connection and the server's with a TCP reset."""
        for peer in (self.client, *self.origins):
            peer.reset()
        self.over.set()

    # How the relay runs it.

    async def run(self) -> None:
        """Serve the request to its end."""
        if not self.mode.passes_upgrade:
            self.headers.remove("Upgrade", "Connection")
            self.is_upgrade = False
        try:
            await self._until_over(self._respond(), self._watch_client())
            if self.is_tunnel:
                with suppress(ConnectionError):
                    await self._until_over(self._tunnel_up(), self._tunnel_down())
                self.close()
        finally:
            for origin in self.origins:
                origin.close()
            await stop(origin.upload for origin in self.origins)

    async def _until_over(self, *work: Coroutine[Any, Any, None]) -> None:
        await race(*work, self.mode.expire(self), self.over.wait())

    async def _respond(self) -> None:
        try:
            await self._continue()
            answer = await self._answer()
            await self.mode.on_response(self, answer)
            if not self.over.is_set():
                await self._relay_answer(answer)
        except (OSError, h11.RemoteProtocolError):
            if not self.over.is_set():
                self.did("broken")
                self.close()

    async def _continue(self) -> None:
        """Answer an expected 100 ourselves: modes may want the body before the server does."""
        self.headers.remove("Expect")
        if self.client.http.they_are_waiting_for_100_continue:
            await self.client.send(h11.InformationalResponse(status_code=100, headers=[]))

    async def _answer(self) -> Answer:
        try:
            return await self.mode.on_request(self) or await self.mode.deliver(self)
        except BodyTooLarge:
            return reply(413, "The body is larger than this mode keeps.\n")

    async def _relay_answer(self, answer: Answer) -> None:
        self.entry.status = answer.status
        self.client.version = self.mode.version
        if self.mode.version == b"HTTP/1.0":
            self.client.http.their_http_version = b"1.0"  # framed by the end of the connection
        headers = answer.headers.raw()
        if answer.status == 101:
            await self.client.send(h11.InformationalResponse(status_code=101, headers=headers))
            self.is_tunnel = True
            return
        if answer.origin is None:
            await self._drain_request()
        head = h11.Response(status_code=answer.status, headers=headers, reason=answer.reason)
        await self.client.send(head)
        async for piece in self.mode.down(self, answer.body.pieces()):
            await self.client.send(h11.Data(data=piece))
            self._passed_down(piece)
        if not self.over.is_set():
            await self.client.send(h11.EndOfMessage())
            await self._drain_request()

    async def _drain_request(self) -> None:
        """Read what is left of the request, or else closing would reset the answer on its way."""
        try:
            work = self._body_read.wait() if self.origins else self.body.drain()
            await asyncio.wait_for(work, LINGER)
        except asyncio.TimeoutError:
            self.close()

    async def _upload(self, origin: Origin, head: h11.Request) -> None:
        try:
            await origin.send(head)
            async for piece in self.mode.up(self, self.body.pieces()):
                await origin.send(h11.Data(data=piece))
                self._passed_up(piece)
            if not self.over.is_set():
                await origin.send(h11.EndOfMessage())
        except ConnectionError:
            # The server has closed without reading all. Its answer, if any, is what counts.
            await self.body.drain()

    def _uploaded(self, upload: asyncio.Task[None]) -> None:
        if not upload.cancelled() and upload.exception() is not None:
            self.close()  # run() raises it

    async def _client_body(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self.client.body():
                yield piece
        except (ConnectionError, h11.RemoteProtocolError):
            self._client_failed.set()
            await hold()
        self._body_read.set()

    async def _watch_client(self) -> None:
        """Return when the client has left and the server may know it."""
        await race(self._departure(), self._client_failed.wait())
        if self.mode.hides_departure(self):
            await self._hide_departure()
        self.close()

    async def _departure(self) -> None:
        await self._body_read.wait()
        await self.client.departure()

    async def _hide_departure(self) -> None:
        self.did("hidden")
        self.client.is_mute = True
        await hold()

    async def _tunnel_up(self) -> None:
        async for piece in self.mode.up(self, self.client.raw()):
            for origin in self.origins:
                await origin.write(piece)
            self._passed_up(piece)
        if self.mode.hides_departure(self):
            await self._hide_departure()

    async def _tunnel_down(self) -> None:
        source = self.origins[0].raw() if self.origins else _silence()
        async for piece in self.mode.down(self, source):
            await self.client.write(piece)
            self._passed_down(piece)

    def _passed_up(self, piece: bytes) -> None:
        self.entry.sent += len(piece)
        self._touched = self._time()

    def _passed_down(self, piece: bytes) -> None:
        self.entry.received += len(piece)
        self._touched = self._time()

    @staticmethod
    def _time() -> float:
        return asyncio.get_running_loop().time()


async def _silence() -> AsyncIterator[bytes]:
    await hold()
    yield b""


class Relay:
    """Serve connections in one mode at a time, and keep the log."""

    def __init__(self, to: tuple[str, int], mode: Mode) -> None:
        self.to = to
        self.mode = mode
        self.plain = Mode()
        self.log: deque[Entry] = deque(maxlen=MAX_LOG)
        self.counts: Counter[str] = Counter()
        self.deliveries = 0
        self.peers: set[Peer] = set()  # whose connections are not yet closed

    def keep(self, peer: Peer) -> None:
        """Count the peer in until its connection is closed."""
        self.peers.add(peer)
        peer.gone.add_done_callback(lambda _: self.peers.discard(peer))

    async def serve(self, client: Peer) -> None:
        """Serve one client's connection to its end."""
        try:
            while await self._serve_request(client):
                client.http.start_next_cycle()
        finally:
            client.close()

    async def _serve_request(self, client: Peer) -> bool:
        """Serve one request and tell whether the connection stays."""
        try:
            request = await client.next_event()
        except (ConnectionError, h11.RemoteProtocolError):
            return False
        if not isinstance(request, h11.Request):
            return False
        exchange = Exchange(self, client, request)
        try:
            await exchange.run()
        finally:
            _logger.info("%s", exchange.account())
        return not exchange.over.is_set() and (
            client.http.our_state is h11.DONE and client.http.their_state is h11.DONE
        )
