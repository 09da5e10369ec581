"""Intermediaries: models of proxies, firewalls and filters as they stand in the field."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import zlib
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import ClassVar

from .faults import Duplicate
from .relay import Exchange, Mode, hold
from .wire import Answer, Body, Headers, reply

WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3


async def swallow(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Take everything and pass nothing."""
    async for piece in pieces:
        yield piece[:0]


class Strip(Mode):
    """Remove Upgrade and Connection, so that the server sees an ordinary GET.

    nginx with proxy_pass alone, Squid, Varnish, Apache without upgrade=websocket, tinyproxy.
    """

    passes_upgrade = False


@dataclass(kw_only=True, eq=False)
class Blind101(Mode):
    """Answer every upgrade with a right 101 and never pass a byte; the server sees nothing.

    Accelerators and filters that end WebSockets themselves and reach nobody behind.
    """

    is_right: ClassVar[bool] = True

    def concerns(self, exchange: Exchange) -> bool:
        return exchange.is_upgrade

    async def on_request(self, exchange: Exchange) -> Answer | None:
        key = exchange.headers.get("Sec-WebSocket-Key").encode() if self.is_right else b"another"
        accept = base64.b64encode(hashlib.sha1(key + WEBSOCKET_GUID).digest())
        fields = [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")]
        exchange.did("answered")
        return Answer(101, Headers([*fields, (b"Sec-WebSocket-Accept", accept)]), Body())

    def up(self, exchange: Exchange, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        return swallow(pieces)


class Blind101Bad(Blind101):
    """Answer every upgrade with a 101 whose Sec-WebSocket-Accept belongs to another key.

    Caches that keep the 101 of somebody else's handshake.
    """

    is_right = False


class BlackHole(Mode):
    """Relay the handshake with its 101, then swallow every byte and hold both sides open.

    Privoxy in its default configuration.
    """

    def concerns(self, exchange: Exchange) -> bool:
        return exchange.is_upgrade

    def up(self, exchange: Exchange, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        return swallow(pieces) if exchange.is_tunnel else pieces

    def down(self, exchange: Exchange, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        return self._swallow_and_hold(exchange, pieces) if exchange.is_tunnel else pieces

    async def _swallow_and_hold(
        self, exchange: Exchange, pieces: AsyncIterator[bytes]
    ) -> AsyncIterator[bytes]:
        exchange.did("swallowed")
        async for piece in swallow(pieces):
            yield piece
        await hold()


@dataclass(kw_only=True, eq=False)
class Buffer(Mode):
    """Hold every answer, head included, until it has ended or exceeds a limit; no upgrade passes.

    mitmproxy and virus scanners hold it whole, Privoxy holds event streams up to 4 MiB.
    """

    limit: int = 16 * 1024 * 1024  # bytes

    passes_upgrade = False

    async def deliver(self, exchange: Exchange) -> Answer:
        answer = await exchange.deliver()
        if answer.status != 101:
            await answer.body.peek(self.limit)
            exchange.did("buffered")
        return answer


class HttpBytes(Buffer):
    """Relay the handshake, then take the frames for HTTP: 400 as text in the tunnel, and close.

    Firewalls that inspect everything on port 80 as HTTP, and hold answers to inspect them.
    """

    passes_upgrade = True

    async def _refuse(
        self, exchange: Exchange, pieces: AsyncIterator[bytes]
    ) -> AsyncIterator[bytes]:
        async for piece in pieces:
            if exchange.is_tunnel:
                await exchange.client.write(
                    b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
                )
                exchange.did("refused")
                exchange.close()
                return
            yield piece

    def up(self, exchange: Exchange, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        return self._refuse(exchange, pieces)

    def down(self, exchange: Exchange, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        return self._refuse(exchange, pieces)


@dataclass(kw_only=True, eq=False)
class Buffer4K(Mode):
    """Pass answers in blocks of 4096 bytes only, the rest at the end; no upgrade passes.

    nginx before a server that speaks HTTP/1.0 to it.
    """

    first: int = 0  # bytes that pass at once

    passes_upgrade = False

    async def down(self, exchange: Exchange, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        buffer = b""
        free = self.first
        async for piece in pieces:
            if free:
                yield piece[:free]
            buffer += piece[free:]
            free = max(free - len(piece), 0)
            whole = len(buffer) - len(buffer) % 4096
            yield buffer[:whole]
            buffer = buffer[whole:]
        yield buffer


@dataclass(kw_only=True, eq=False)
class FirstBytes(Buffer4K):
    """Pass the first bytes of an answer at once, and blocks of 4096 bytes behind them.

    Virus scanners that keep the client awake so; no upgrade passes.
    """

    first: int = 64


@dataclass(kw_only=True, eq=False)
class CacheAll(Mode):
    """Keep the answer of every GET, whatever Cache-Control says, and give it again for the URL.

    Caches of schools, ships and providers set to save traffic. No upgrade passes.
    """

    entries: int = 100
    limit: int = 1024 * 1024  # bytes of one kept answer

    passes_upgrade = False
    _kept: OrderedDict[str, tuple[int, Headers, bytes]] = field(
        init=False, default_factory=OrderedDict
    )

    def concerns(self, exchange: Exchange) -> bool:
        return exchange.method == "GET"

    def key(self, exchange: Exchange) -> str:
        return exchange.target

    async def on_request(self, exchange: Exchange) -> Answer | None:
        if self.key(exchange) not in self._kept:
            return None
        exchange.did("cached")
        status, headers, data = self._kept[self.key(exchange)]
        return Answer(status, headers, Body(kept=data))

    async def deliver(self, exchange: Exchange) -> Answer:
        answer = await exchange.deliver()
        data = await answer.body.peek(self.limit)
        if answer.body.is_whole:
            self._kept[self.key(exchange)] = (answer.status, answer.headers, data)
            if len(self._kept) > self.entries:
                self._kept.popitem(last=False)
        return answer


class CachePath(CacheAll):
    """Keep the answer of every GET and give it again for the path, whatever the query."""

    def key(self, exchange: Exchange) -> str:
        return exchange.target.partition("?")[0]


class Http10(Mode):
    """Speak HTTP/1.0 to both sides: no chunks, no keep-alive, no upgrade; uploads need a length.

    tinyproxy, nginx towards its servers, old appliances.
    """

    passes_upgrade = False
    version = b"HTTP/1.0"

    async def on_request(self, exchange: Exchange) -> Answer | None:
        exchange.headers.set("Connection", "close")
        return reply(411) if "Transfer-Encoding" in exchange.headers else None


@dataclass(kw_only=True, eq=False)
class IdleKill(Mode):
    """Forget a connection on which nothing has passed for a while: no byte and no end passes.

    Address translation and firewalls of homes and mobile networks.
    """

    limit: float = 3.0  # seconds

    async def _forget_if_idle(self, exchange: Exchange) -> None:
        if exchange.idle > self.limit:
            exchange.did("forgotten")
            await hold()

    async def _while_busy(
        self, exchange: Exchange, pieces: AsyncIterator[bytes]
    ) -> AsyncIterator[bytes]:
        async for piece in pieces:
            await self._forget_if_idle(exchange)
            yield piece
        await self._forget_if_idle(exchange)

    async def on_response(self, exchange: Exchange, answer: Answer) -> None:
        await self._forget_if_idle(exchange)

    def up(self, exchange: Exchange, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        return self._while_busy(exchange, pieces)

    def down(self, exchange: Exchange, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        return self._while_busy(exchange, pieces)

    def hides_departure(self, exchange: Exchange) -> bool:
        return exchange.idle > self.limit


@dataclass(kw_only=True, eq=False)
class MaxDuration(Mode):
    """Close every request and tunnel after a fixed time, however busy it is.

    Balancers and gateways of clouds with a limit on the duration of a request.
    """

    limit: float = 3.0  # seconds

    async def expire(self, exchange: Exchange) -> None:
        await asyncio.sleep(self.limit - exchange.age)
        exchange.did("expired")
        exchange.close()


@dataclass(kw_only=True, eq=False)
class Retry(Mode):
    """Send a request again, up to four times, when its answer is late; then 504.

    Traffic Server with its 30 seconds. No upgrade passes.
    """

    limit: float = 2.0  # seconds
    tries: int = 4

    passes_upgrade = False

    async def deliver(self, exchange: Exchange) -> Answer:
        await exchange.body.read()
        for _ in range(self.tries):
            try:
                return await asyncio.wait_for(exchange.deliver(), self.limit)
            except asyncio.TimeoutError:
                exchange.did("late")
        return reply(504, "The server did not answer in time.\n")


class Dup(Duplicate):
    """Deliver every POST twice and return the second answer; no upgrade passes.

    HAProxy with retry-on all-retryable-errors, nginx with proxy_next_upstream non_idempotent.
    """

    passes_upgrade = False

    def concerns(self, exchange: Exchange) -> bool:
        return exchange.is_upgrade or super().concerns(exchange)

    async def deliver(self, exchange: Exchange) -> Answer:
        if exchange.method != "POST":
            return await exchange.deliver()
        return await super().deliver(exchange)


class NoChunk(Mode):
    """Refuse chunked requests with 411; no upgrade passes.

    nginx before 1.3.9, Squid before 3.2, many appliances.
    """

    passes_upgrade = False

    async def on_request(self, exchange: Exchange) -> Answer | None:
        return reply(411) if "Transfer-Encoding" in exchange.headers else None


class HalfOpen(Mode):
    """Keep the server's connection when the client has left, so that it never learns.

    HAProxy, Apache, Varnish and Traffic Server while the server is silent.
    """

    def hides_departure(self, exchange: Exchange) -> bool:
        return True


@dataclass(kw_only=True, eq=False)
class Gzip(Mode):
    """Compress every answer for a client that accepts it, no-transform or not, without flushing.

    Compressing gateways; nginx with gzip_types on the type; with `identity` also what says that it
    is not encoded, as Apache's mod_deflate takes it. No upgrade passes.
    """

    identity: bool = False  # also answers with Content-Encoding: identity

    passes_upgrade = False

    def compresses(self, exchange: Exchange, answer: Answer) -> bool:
        accepts = "gzip" in exchange.headers.get("Accept-Encoding")
        has_body = answer.status not in (204, 304)
        encoding = answer.headers.get("Content-Encoding")
        return accepts and has_body and (not encoding or (self.identity and encoding == "identity"))

    async def on_response(self, exchange: Exchange, answer: Answer) -> None:
        if self.compresses(exchange, answer) and exchange.method != "HEAD":
            answer.headers.remove("Content-Length")
            answer.headers.set("Content-Encoding", "gzip")
            answer.body = Body(self._compress(answer.body.pieces()))
            exchange.did("compressed")

    async def _compress(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        compressor = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
        async for piece in pieces:
            yield compressor.compress(piece)
        yield compressor.flush()


class StripHeaders(Mode):
    """Remove Origin, Cookie, Authorization, Referer, Sec-Fetch-* and every X- header of requests.

    Privoxy (Referer), Squid as an accelerator (Authorization), filters that mean privacy.
    """

    removed: ClassVar[tuple[str, ...]] = ("origin", "cookie", "authorization", "referer")

    async def on_request(self, exchange: Exchange) -> Answer | None:
        exchange.headers.keep(
            lambda name: name not in self.removed and not name.startswith(("x-", "sec-fetch-"))
        )
        return None


@dataclass(kw_only=True, eq=False)
class Reorder(Mode):
    """Let a POST be overtaken by the next one that comes while it is held.

    Balancers that spread the requests of one page over paths of different length.
    """

    window: float = 0.3  # seconds a POST is held for another to overtake it

    _held: asyncio.Event | None = field(init=False, default=None)

    def concerns(self, exchange: Exchange) -> bool:
        return exchange.method == "POST"

    async def deliver(self, exchange: Exchange) -> Answer:
        held, self._held = self._held, None
        if held is not None:
            answer = await exchange.deliver()
            held.set()
            return answer
        self._held = overtaken = asyncio.Event()
        try:
            await asyncio.wait_for(overtaken.wait(), self.window)
            exchange.did("overtaken")
        except asyncio.TimeoutError:
            self._held = None if self._held is overtaken else self._held
        return await exchange.deliver()


class GetPost(Mode):
    """Refuse every method but GET, HEAD and POST with 405.

    Filters of companies and hotels.
    """

    async def on_request(self, exchange: Exchange) -> Answer | None:
        return None if exchange.method in ("GET", "HEAD", "POST") else reply(405)


@dataclass(kw_only=True, eq=False)
class Limit2K(Mode):
    """Refuse URLs over 2 KiB with 414 and bodies over 64 KiB with 413.

    Filters with small buffers; nginx has 8 KiB and 1 MiB.
    """

    url: int = 2 * 1024  # bytes
    body: int = 64 * 1024  # bytes

    async def on_request(self, exchange: Exchange) -> Answer | None:
        if len(exchange.target) > self.url:
            return reply(414)
        is_large = len(await exchange.body.peek(self.body)) > self.body
        return reply(413) if is_large else None


@dataclass(kw_only=True, eq=False)
class Swallow(Mode):
    """Answer 200 with an empty body when the server has not answered in time; no upgrade passes.

    Captive portals and savers of power or traffic that end slow requests politely.
    """

    limit: float = 3.0  # seconds

    passes_upgrade = False

    async def deliver(self, exchange: Exchange) -> Answer:
        try:
            return await asyncio.wait_for(exchange.deliver(), self.limit)
        except asyncio.TimeoutError:
            exchange.did("swallowed")
            return reply(200)
