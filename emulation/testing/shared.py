"""The carrier: what the sockets of one page share (docs/protocol.md sections 2, 4, 6 and 7)."""

from __future__ import annotations

import asyncio
import ssl as tls
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Final

from emulation.config import TRANSPORTS
from emulation.protocol.codec import Encoder
from emulation.protocol.frames import WIRE_VERSION, Frame, document
from emulation.testing.address import Address
from emulation.testing.answers import Answer, find, read_answer, take_status
from emulation.testing.delivery import Delivery
from emulation.testing.downstream import PROOF_TIME, READERS, Attach
from emulation.testing.exceptions import Closed, Failure, GivenUp, KeyTaken, TooLarge
from emulation.testing.http import Exchange, Headers, HTTPClient
from emulation.testing.native_home import NativeHome
from emulation.testing.patience import Patience
from emulation.testing.socket import EmulatedWebSocket, Parameters, WebSocket, draw
from emulation.testing.upload import SMALLEST_BODY, Upload, build, encoder
from emulation.testing.waiting import sleep, within

__all__ = ["Carrier"]

# How long a socket may be CONNECTING without any answer of the server.
_OPEN_PATIENCE: Final = 10.0
_ANSWER_TIMEOUT: Final = 10.0
# The largest frame that is read before the server has told its largest message.
_FRAME_LIMIT: Final = 16 * 1024 * 1024
_MAX_OPENS: Final = 2
# Section 7.1: pauses after empty answers that came early; an upload that the server took nothing of
# is no different.
_EMPTY_PAUSE: Final = 0.25
_LONGEST_EMPTY_PAUSE: Final = 5.0
_BYE_SIZE: Final = 60_000
# At the end: for the last acknowledgement, and for `bye`.
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
        self._sockets: dict[int, EmulatedWebSocket] = {}
        self._last_socket = 0
        self._path: Address | None = None
        self._opens = asyncio.Semaphore(_MAX_OPENS)
        # Set unless a socket is being opened that brings the secret.
        self._made = asyncio.Event()
        self._made.set()

        self._attach_number = 0
        self._attach: Attach | None = None
        self._attach_wake = asyncio.Event()
        self._is_attached = False

        self._upload_number = 0
        self._upload_wake = asyncio.Event()
        self._upload_exchange: Exchange | None = None
        self._upload_limit = 0
        self._is_answer_due = False
        self._is_idle = asyncio.Event()
        self._is_idle.set()

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
            await self._open(socket, transport or self._transport)
        except Failure as failure:
            raise Closed(1006, "", False) from failure
        except asyncio.CancelledError:
            await self._cancel(socket)
            raise
        finally:
            if not socket.is_open:
                self._sockets.pop(socket.number, None)
        try:
            yield socket
        except BaseException:
            await self.bye(socket)
            raise
        finally:
            if socket.closed is None:
                await socket.close()

    async def bye(self, *sockets: EmulatedWebSocket) -> None:
        """Say, as a page that is left, that these sockets will not come back, and end them.

        Without arguments it says so of all. It is a hint: whether it arrives is not known.
        """
        leaving = [s for s in sockets or self._sockets.values() if s.is_open and not s.closed]
        if not leaving or not self.secret:
            return
        body = self._bye_body(leaving)
        for socket in leaving:
            socket.fail(Failure("left"))
        with suppress(Failure, TimeoutError):
            await within(_LAST_WORDS, self._say_bye(body))

    def drop(self) -> None:
        """Break the connection of the downstream, as a network does; the next one follows."""
        if self._attach:
            self._attach.abort()

    def drop_upload(self) -> None:
        """Break the connection of the upload in flight, so that its answer is lost."""
        if self._upload_exchange:
            self._upload_exchange.abort()

    def abort(self) -> None:
        """Vanish without a word, as a page does whose machine fails."""
        for socket in self._sockets.values():
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
        return self.parameters.silence if self.parameters else _ANSWER_TIMEOUT

    @property
    def resume(self) -> float:
        """For how many seconds a session is tried to be saved."""
        if self._resume is not None:
            return self._resume
        return max(self.parameters.resume, self.silence) if self.parameters else _OPEN_PATIENCE

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

    async def read_answer(
        self, exchange: Exchange, number: int, delivery: Delivery | None = None
    ) -> Answer:
        """Read an answer whole and deliver it; raises Failure where it is an error or not ours.

        What an error says of sockets holds too.
        """
        answer = await read_answer(
            exchange, self.key, number, limit=self.frame_limit, timeout=self.silence
        )
        if delivery:
            delivery.take(answer.frames)
        if exchange.status != 200:
            take_status(exchange, answer.frames)
        return answer

    def delivery(self) -> Delivery:
        """Make what sorts the frames of one answer."""
        return Delivery(self._sockets, self._on_ping, self._on_written)

    # --- Opening ----------------------------------------------------------------------------------

    async def _open(self, socket: EmulatedWebSocket, transport: str) -> None:
        for settled in [s for s in self._sockets.values() if s.is_settled]:
            del self._sockets[settled.number]
        self._sockets[socket.number] = socket
        async with self._opens:
            await self._wait_for_secret()
            try:
                if _checked(transport) == "websocket":
                    await self._open_native(socket)
                else:
                    socket.home = self
                    await self._open_http(socket)
            finally:
                self._made.set()
        if not self._is_running:
            self._is_running = True
            self.spawn(self._attach_forever())
            self.spawn(self._upload_forever())
        self._attach_wake.set()

    async def _wait_for_secret(self) -> None:
        """Let one socket make the carrier, and others wait for its secret (section 4)."""
        while not self.secret:
            if self._made.is_set():
                self._made.clear()
                return
            await self._made.wait()

    def take_secret(self, secret: list[Any] | None) -> None:
        """Learn the secret and the node; sockets that waited for it go on."""
        if secret and len(secret) > 2 and not self.secret:
            self.secret, self.node = str(secret[1]), str(secret[2])
            self._made.set()

    def take_parameters(self, members: Any) -> Parameters:
        """Read the parameters of `opened`, which hold for the whole carrier."""
        parameters = Parameters.parse(members)
        self.parameters = parameters
        self._upload_limit = min(self._upload_limit or parameters.upload, parameters.upload)
        return parameters

    async def _open_native(self, socket: EmulatedWebSocket) -> None:
        home = NativeHome(self, socket)
        socket.home = home
        await home.open(Patience(_OPEN_PATIENCE))
        home.start()

    async def _open_http(self, socket: EmulatedWebSocket) -> None:
        patience = Patience(_OPEN_PATIENCE)
        while not socket.is_open:
            try:
                answer = await self._ask_open(socket, "open", socket.offered, self.transport)
                patience.renew()
                self.take_secret(find(answer.frames, "secret"))
                self._take_decision(socket, answer)
            except KeyTaken as failure:
                if self.secret:
                    raise GivenUp("the key of a carrier in use is taken") from failure
                self.key = draw()
                await patience.pause(failure)
            except Failure as failure:
                await patience.pause(failure)

    async def _ask_open(self, socket: EmulatedWebSocket, name: str, *more: Any) -> Answer:
        writer = encoder(is_binary=self.is_binary)
        frames = [self.head(socket.number), document(name, socket.number, socket.nonce, *more)]
        body = writer.encode(frames) + writer.end()
        is_binary = self.is_binary
        async with self.post("open", body, is_binary=is_binary, address=socket.address) as exchange:
            await exchange.read_head(_ANSWER_TIMEOUT)
            return await self.read_answer(exchange, socket.number)

    def _take_decision(self, socket: EmulatedWebSocket, answer: Answer) -> None:
        opened = find(answer.frames, "opened")
        if opened and len(opened) > 3:
            socket.open(opened[2], self.take_parameters(opened[3]), answer.headers)
        elif find(answer.frames, "gone"):
            raise GivenUp("the application did not decide in time")
        elif not find(answer.frames, "opening"):
            raise Failure("an answer to `open` without a decision")

    async def _cancel(self, socket: EmulatedWebSocket) -> None:
        """Give a socket up that is CONNECTING."""
        if isinstance(socket.home, NativeHome):
            await socket.home.stop()
            return
        with suppress(Failure, TimeoutError):
            await within(_LAST_WORDS, self._ask_open(socket, "cancel"))

    # --- Downstream -------------------------------------------------------------------------------

    def attach_body(self, number: int, *, is_binary: bool) -> bytes:
        """Make the body of an attach: the sockets that are wanted, and their acks."""
        writer = encoder(is_binary=is_binary)
        frames = [self.head(number)]
        for socket in self._at_home():
            frames.append(document("section", socket.number, socket.connection.tell_ack(), 0))
        return writer.encode(frames) + writer.end()

    def attached(self, attach: Attach) -> None:
        """Say that a downstream works, or, for a poll, that it was asked for."""
        if attach is self._attach:
            self._is_attached = True
            for socket in self._sockets.values():
                socket.update()

    def _at_home(self) -> list[EmulatedWebSocket]:
        """The sockets that have something to say, or to hear, on this carrier."""
        sockets = [s for s in self._sockets.values() if s.is_open and s.home is self]
        return [socket for socket in sockets if not socket.is_settled]

    async def _attach_forever(self) -> None:
        patience = Patience(self.resume)
        empty = 0
        while True:
            self._attach_wake.clear()
            if all(socket.closed for socket in self._at_home()):
                await self._attach_wake.wait()
                patience.renew()
                continue
            patience.limit = self.resume
            started = asyncio.get_running_loop().time()
            self._attach_number += 1
            attach = Attach(self._attach_number, self._transport, self)
            self._attach = attach
            try:
                await READERS[attach.transport](self, attach)
                if not attach.is_proved:
                    raise Failure("a downstream that ended before its head")
            except Failure as failure:
                if attach.is_proved:
                    patience.renew()
                await self._pause(patience, failure)
                continue
            patience.renew()
            took = asyncio.get_running_loop().time() - started
            is_early = took < (self.parameters.poll if self.parameters else 0) * 0.9
            if attach.delivery.is_empty and is_early and not attach.is_aborted:
                await sleep(_pause_after(empty), self._attach_wake)
                empty += 1
            else:
                empty = 0

    async def _pause(self, patience: Patience, failure: Failure) -> None:
        try:
            await patience.pause(failure, self._attach_wake)
        except GivenUp as final:
            self._give_up(final)
            patience.renew()

    def _on_ping(self) -> None:
        self._is_answer_due = True
        self.wake()

    def _on_written(self, attach: int, frames: int) -> None:
        """Check in a moment whether what was written down has arrived (section 8.1)."""
        current = self._attach
        if current is None or current.number != attach or current.transport == "poll":
            return
        if current.frames < frames:
            loop = asyncio.get_running_loop()
            loop.call_later(PROOF_TIME, self._check_proof, current, frames)

    def _check_proof(self, attach: Attach, frames: int) -> None:
        if attach is self._attach and attach.frames < frames:
            attach.abort()

    # --- Uploads ----------------------------------------------------------------------------------

    def wake(self) -> None:
        """Say that a socket has something to send."""
        self._upload_wake.set()

    async def _upload_forever(self) -> None:
        patience = Patience(self.resume)
        fruitless = 0
        while True:
            await self._upload_wake.wait()
            self._upload_wake.clear()
            while (upload := self._next_upload()) is not None:
                self._is_idle.clear()
                patience.limit = self.resume
                before = self._acknowledged(upload)
                if not await self._deliver(upload, patience):
                    continue
                if upload.last and self._acknowledged(upload) == before:
                    await sleep(_pause_after(fruitless))
                    fruitless += 1
                else:
                    fruitless = 0
            self._is_idle.set()

    def _acknowledged(self, upload: Upload) -> int:
        sockets = self._sockets
        return sum(sockets[n].connection.acknowledged for n in upload.last if n in sockets)

    def _next_upload(self) -> Upload | None:
        sockets = self._at_home()
        # Each upload begins with another socket, so that none waits behind a large message.
        turn = self._upload_number % len(sockets) if sockets else 0
        number = self._upload_number + 1
        upload = build(
            self.head(number),
            number,
            sockets[turn:] + sockets[:turn],
            is_binary=self.is_binary,
            limit=self._upload_limit,
            is_due=self._is_answer_due,
        )
        if upload is not None:
            self._upload_number = number
            self._is_answer_due = False
        return upload

    async def _deliver(self, upload: Upload, patience: Patience) -> bool:
        """Send an upload until it is answered; False says that it was abandoned."""
        while True:
            try:
                await within(upload.deadline, self._send(upload))
                patience.renew()
                return True
            except TimeoutError:
                failure, is_abandoned = Failure("an upload without an answer"), True
            except TooLarge as error:
                failure, is_abandoned = error, True
                if self._upload_limit > SMALLEST_BODY:
                    self._upload_limit = max(self._upload_limit // 2, SMALLEST_BODY)
                    patience.renew()
            except Failure as error:
                failure, is_abandoned = error, upload.is_binary and not self.is_binary
            try:
                await patience.pause(failure)
            except GivenUp as final:
                self._give_up(final)
                patience.renew()
                is_abandoned = True
            if is_abandoned:
                # Its acknowledgements are lost too; the next one says them all.
                self._is_answer_due = bool(self._at_home())
                return False

    async def _send(self, upload: Upload) -> None:
        async with self.post("send", upload.body, is_binary=upload.is_binary) as exchange:
            self._upload_exchange = exchange
            try:
                await exchange.read_head(upload.deadline)
                if exchange.status == 204:
                    await exchange.read(upload.deadline)
                    self._take_short_answer(exchange, upload)
                    return
                answer = await self.read_answer(exchange, upload.number, self.delivery())
            finally:
                self._upload_exchange = None
        if not answer.is_whole:
            raise Failure("an answer that was cut")

    def _take_short_answer(self, exchange: Exchange, upload: Upload) -> None:
        """Read the header of a 204: all was taken (section 6)."""
        said = (exchange.header("emulation") or "").split(" ")
        ours = [str(WIRE_VERSION), self.key, str(upload.number)]
        if said[:3] != ours or len(said) < 5 or not all(map(str.isdigit, said[3:5])):
            self._is_json = True
            raise Failure("a 204 that is not ours")
        for number, last in upload.last.items():
            if number in self._sockets:
                self._sockets[number].take_ack(last)
        self._on_written(int(said[3]), int(said[4]))

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
            if not self._at_home():
                self.drop()
        else:
            self._transport = transport
            socket.home = self
            self._is_attached = False
            self._attach_wake.set()
            self.wake()
            self.drop()
            await socket.wait(lambda: self._is_attached or socket.closed is not None, self.resume)

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
            for socket in self._sockets.values():
                socket.fail(error)

    def _give_up(self, error: BaseException) -> None:
        for socket in self._at_home():
            socket.fail(error)

    async def _settle(self) -> None:
        """Wait, but not for long, until the last closes are acknowledged on both sides."""
        self.wake()
        with suppress(TimeoutError):
            for socket in list(self._sockets.values()):
                if socket.closed:
                    await socket.wait(lambda s=socket: s.is_settled, _LAST_WORDS)  # type: ignore[misc]
            await within(_LAST_WORDS, self._is_idle.wait())

    def _bye_body(self, sockets: Sequence[EmulatedWebSocket]) -> bytes:
        writer: Encoder = encoder(is_binary=True)
        room = _BYE_SIZE
        frames = [self.head(0)]
        for socket in sockets:
            connection = socket.connection
            first, kept = connection.acknowledged + 1, list[Frame]()
            for frame in connection.frames_after(connection.acknowledged, room):
                if len(frame[1]) > room:
                    break
                room -= len(frame[1]) + 6
                kept.append(frame)
            ack = connection.tell_ack()
            frames.append(document("section", socket.number, ack, first if kept else 0))
            frames += [*kept, document("last", connection.numbered)]
        return writer.encode(frames) + writer.end()

    async def _say_bye(self, body: bytes) -> None:
        async with self.post("bye", body, is_binary=True) as exchange:
            await exchange.read_head(_LAST_WORDS)
            await exchange.read(_LAST_WORDS)


def _checked(transport: str) -> str:
    if transport not in TRANSPORTS:
        raise ValueError(f"no transport is called {transport!r}; there are {', '.join(TRANSPORTS)}")
    return transport


def _pause_after(times: int) -> float:
    return min(_EMPTY_PAUSE * 2.0**times, _LONGEST_EMPTY_PAUSE)
