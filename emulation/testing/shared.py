"""The carrier: what the sockets of one page share (docs/protocol.md sections 2, 4, 6 and 7)."""

from __future__ import annotations

import asyncio
import ssl as tls
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Final

from emulation.config import TRANSPORTS
from emulation.protocol.frames import WIRE_VERSION, Frame, document
from emulation.testing.address import Address
from emulation.testing.answers import Answer, read_answer, take_status
from emulation.testing.attaching import Attaching
from emulation.testing.delivery import Delivery
from emulation.testing.downstream import Attach
from emulation.testing.exceptions import Closed, Failure
from emulation.testing.http import Exchange, Headers, HTTPClient
from emulation.testing.leaving import bye_body, say_bye
from emulation.testing.native_home import NativeHome
from emulation.testing.opening import Opening
from emulation.testing.socket import EmulatedWebSocket, Parameters, WebSocket, draw
from emulation.testing.upload import encoder
from emulation.testing.uploading import Uploading
from emulation.testing.waiting import within

__all__ = ["Carrier"]

# Before the server has told its own: the longest silence, and the largest frame that is read.
_SILENCE: Final = 10.0
_FRAME_LIMIT: Final = 16 * 1024 * 1024
# How long the end waits for the last acknowledgements.
_LAST_WORDS: Final = 2.0


class Carrier:
    """Emulated WebSockets that share one downstream and one upload at a time. Made by `carrier`."""

    def __init__(
        self,
        url: str,
        *,
        transport: str,
        headers: Headers = (),
        origin: str | None = None,
        ssl: tls.SSLContext | None = None,
        json: bool = False,
        resume: float | None = None,
    ) -> None:
        self.address = Address.parse(url)
        self.key = draw()
        self.secret = ""
        self.node = ""
        self.headers = list(headers)
        self.origin = self.address.origin if origin is None else origin
        self.ssl = ssl
        self.parameters: Parameters | None = None
        self._transport = _checked(transport)
        self._is_json = json
        self._resume = resume
        self._http = HTTPClient(self.address, self.headers, ssl)
        self.sockets: dict[int, EmulatedWebSocket] = {}
        self._last_socket = 0
        self._path: Address | None = None
        self.attaching = Attaching(self)
        self._uploading = Uploading(self)
        self._opening = Opening(self)
        self._is_running = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._error: BaseException | None = None

    # --- What tests use ---------------------------------------------------------------------------

    @property
    def transport(self) -> str:
        """The name of the transport of those sockets that have no native one of their own."""
        return self._transport

    @asynccontextmanager
    async def connect(
        self, path: str = "", *, subprotocols: Sequence[str] = (), transport: str | None = None
    ) -> AsyncIterator[WebSocket]:
        """Open one more socket at a path (with its query), relative to the carrier's URL.

        It is closed at the end of the block. Raises Refused when the application refuses, Closed
        when the server cannot be reached or the handshake goes wrong.
        """
        self._last_socket += 1
        address = self.address.join(path) if path else self.address
        socket = EmulatedWebSocket(self._last_socket, address, subprotocols, self)
        self._path = self._path or address
        try:
            await self._open(socket, _checked(transport or self._transport))
        except Failure as failure:
            raise Closed(1006, "", False) from failure
        except asyncio.CancelledError:
            await self._opening.cancel(socket)
            raise
        finally:
            if not socket.is_open:
                self.sockets.pop(socket.number, None)
        try:
            yield socket
        except BaseException:
            await self.bye(socket)
            raise
        finally:
            if socket.closed is None:
                await socket.close()

    async def _open(self, socket: EmulatedWebSocket, transport: str) -> None:
        for settled in [s for s in self.sockets.values() if s.is_settled]:
            del self.sockets[settled.number]
        self.sockets[socket.number] = socket
        socket.home = self
        if transport not in ("websocket", self._transport):
            self._transport = transport
            self.attaching.renew()
        await self._opening.open(socket, transport)
        if not self._is_running:
            self._is_running = True
            self.spawn(self.attaching.run())
            self.spawn(self._uploading.run())
        self.attaching.wake()

    async def bye(self, *sockets: EmulatedWebSocket) -> None:
        """Say, as a page that is left, that these sockets will not come back, and end them.

        Without arguments it says so of all. It is a hint: whether it arrives is not known.
        """
        leaving = [s for s in sockets or self.sockets.values() if s.is_open and not s.closed]
        if not leaving or not self.secret:
            return
        body = bye_body(self.head(0), leaving)
        for socket in leaving:
            socket.fail(Failure("left"))
        await say_bye(self, body)

    def drop(self) -> None:
        """Break the connection of the downstream, as a network does; the next one follows."""
        self.attaching.drop()

    def drop_upload(self) -> None:
        """Break the connection of the upload in flight, so that its answer is lost."""
        self._uploading.drop()

    def abort(self) -> None:
        """Vanish without a word, as a page does whose machine fails."""
        for socket in self.sockets.values():
            socket.fail(Failure("aborted"))
            if socket.is_open:
                socket.home.drop()
        self.drop()
        self.drop_upload()

    async def close(self) -> None:
        """End what is left; raises what went wrong in the client itself."""
        try:
            await self._settle()
            await self.bye()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._http.close()
        if self._error is not None:
            raise self._error

    # --- Requests ---------------------------------------------------------------------------------

    @property
    def is_binary(self) -> bool:
        """Whether uploads, and polls, are in the binary form."""
        return not self._is_json and self._transport not in ("sse", "xhr-stream")

    @property
    def silence(self) -> float:
        """After how many seconds without a byte a downstream is given up."""
        return self.parameters.silence if self.parameters else _SILENCE

    @property
    def poll_time(self) -> float:
        """After how many seconds a downstream that brought nothing did not end early."""
        return self.parameters.poll * 0.9 if self.parameters else 0.0

    @property
    def resume(self) -> float:
        """For how many seconds a session is tried to be saved."""
        if self._resume is not None:
            return self._resume
        return max(self.parameters.resume, self.silence) if self.parameters else _SILENCE

    @property
    def frame_limit(self) -> int:
        """The largest payload of a frame."""
        return max(self.parameters.message, _FRAME_LIMIT) if self.parameters else _FRAME_LIMIT

    def head(self, number: int) -> Frame:
        """Make the head of a request."""
        return document("head", WIRE_VERSION, self.secret, number, self.node)

    def post(
        self, verb: str, body: bytes, *, is_binary: bool, address: Address | None = None
    ) -> AbstractAsyncContextManager[Exchange]:
        """Send a request of the carrier, or one to a socket's own URL."""
        marker = f"{verb}.{self.key}"
        path = address or self._path or self.address
        target = path.target(marker, own_query=address is not None)
        content_type = "application/octet-stream" if is_binary else "application/json"
        headers = [("content-type", content_type)]
        if self.origin:
            headers.append(("origin", self.origin))
        return self._http.request("POST", target, headers, body)

    def get_events(self, ticket: str) -> AbstractAsyncContextManager[Exchange]:
        """Ask for the event stream of a ticket."""
        target = (self._path or self.address).target(f"sse.{self.key}.{ticket}", own_query=False)
        headers = [("accept", "text/event-stream"), ("cache-control", "no-store")]
        # Browsers send no Origin with a GET to their page's own origin (WHATWG Fetch, 3.1).
        if self.origin and self.origin != self.address.origin:
            headers.append(("origin", self.origin))
        return self._http.request("GET", target, headers)

    async def read_answer(self, exchange: Exchange, number: int) -> Answer:
        """Read an answer whole; raises Failure where it is not ours."""
        return await read_answer(
            exchange, self.key, number, limit=self.frame_limit, timeout=self.silence
        )

    async def deliver_answer(
        self, exchange: Exchange, number: int, delivery: Delivery | None = None
    ) -> Answer:
        """Read an answer whole and deliver it; raises Failure where it is an error or not ours.

        What an error says of sockets holds too.
        """
        answer = await self.read_answer(exchange, number)
        if delivery:
            delivery.take(answer.frames)
        take_status(answer)
        return answer

    def delivery(self) -> Delivery:
        """Make what sorts the frames of one answer."""
        return Delivery(self.sockets, self._uploading.answer, self.attaching.on_written)

    def take_secret(self, secret: list[Any] | None) -> None:
        """Learn the secret and the node."""
        if secret and len(secret) > 2 and not self.secret:
            self.secret, self.node = str(secret[1]), str(secret[2])
            self._opening.made()

    def take_parameters(self, members: Any) -> Parameters:
        """Read the parameters of `opened`, which hold for the whole carrier."""
        self.parameters = Parameters.parse(members)
        self._uploading.limit_to(self.parameters.upload)
        return self.parameters

    def use_json(self) -> None:
        """Go on in the JSON form, which is always answered with a body (section 6)."""
        self._is_json = True

    def attach_body(self, number: int, *, is_binary: bool) -> bytes:
        """Make the body of an attach: the sockets that are wanted, and their acks."""
        writer = encoder(is_binary=is_binary)
        frames = [self.head(number)]
        for socket in self.at_home():
            ack = socket.connection.tell_ack()
            frames.append(document("section", socket.number, ack, 0, socket.nonce))
        return writer.encode(frames) + writer.end()

    def attached(self, attach: Attach) -> None:
        """Say that a downstream works, or, for a poll, that it was asked for."""
        self.attaching.on_up(attach)
        for socket in self.sockets.values():
            socket.update()

    def at_home(self) -> list[EmulatedWebSocket]:
        """The sockets that have something to say, or to hear, on this carrier."""
        sockets = [s for s in self.sockets.values() if s.is_open and s.home is self]
        return [socket for socket in sockets if not socket.is_settled]

    def wake(self) -> None:
        """Say that a socket has something to send."""
        self._uploading.wake()

    # --- Switching and the end --------------------------------------------------------------------

    async def switch(self, socket: EmulatedWebSocket, transport: str) -> None:
        """Move a socket to a native WebSocket, or it and the carrier to another transport."""
        if isinstance(socket.home, NativeHome):
            await socket.home.stop()
        if _checked(transport) == "websocket":
            home = NativeHome(self, socket)
            socket.home = home
            home.start()
            await socket.wait(lambda: home.is_up or socket.closed is not None, self.resume)
            if not self.at_home():
                self.drop()
        else:
            self._transport = transport
            socket.home = self
            self.attaching.renew()
            self.wake()
            await socket.wait(
                lambda: self.attaching.is_up or socket.closed is not None, self.resume
            )

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a part of the client; a bug in it ends the sockets and is raised by `close`."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._error = self._error or error
            for socket in self.sockets.values():
                socket.fail(error)

    def give_up(self, error: BaseException) -> None:
        """End the sockets at home on the carrier."""
        for socket in self.at_home():
            socket.fail(error)

    async def _settle(self) -> None:
        """Wait, but not for long, until the last closes are acknowledged on both sides."""
        self.wake()
        with suppress(TimeoutError):
            for socket in list(self.sockets.values()):
                if socket.closed:
                    await socket.wait(lambda s=socket: s.is_settled, _LAST_WORDS)  # type: ignore[misc]
            await within(_LAST_WORDS, self._uploading.is_idle.wait())


def _checked(transport: str) -> str:
    if transport not in TRANSPORTS:
        raise ValueError(f"no transport is called {transport!r}; there are {', '.join(TRANSPORTS)}")
    return transport
