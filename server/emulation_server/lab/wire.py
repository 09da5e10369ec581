"""HTTP/1.1 as the laboratory handles it: asyncio carries, h11 parses and frames."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

import h11

PIECE = 64 * 1024  # bytes read at once
MAX_HEAD = 256 * 1024  # larger than any server's own limit, so that the server's is the one seen
MAX_HELD = 64 * 1024 * 1024  # bytes of one body that a mode may keep
LINGER = 5.0  # seconds for the last bytes to leave before a closed connection is aborted


class BodyTooLarge(Exception):
    """A mode wanted to keep a body larger than MAX_HELD."""


class Headers:
    """Hold header fields in their order and spelling; names compare without case."""

    def __init__(self, fields: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self._fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields]

    def __contains__(self, name: str) -> bool:
        return any(field.lower() == name.lower() for field, _ in self._fields)

    def get(self, name: str) -> str:
        """Return the values joined with commas, "" when there is none."""
        return ", ".join(value for field, value in self._fields if field.lower() == name.lower())

    def set(self, name: str, value: str) -> None:
        self.remove(name)
        self._fields.append((name, value))

    def remove(self, *names: str) -> None:
        lower = {name.lower() for name in names}
        self.keep(lambda name: name not in lower)

    def keep(self, wanted: Callable[[str], bool]) -> None:
        """Keep the fields whose lower-case name is wanted."""
        self._fields = [field for field in self._fields if wanted(field[0].lower())]

    def raw(self) -> list[tuple[bytes, bytes]]:
        return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self._fields]


class Body:
    """Give the pieces of a body as they come; what was read ahead can be given again."""

    def __init__(self, rest: AsyncIterator[bytes] | None = None, kept: bytes = b"") -> None:
        self._rest = rest
        self._kept = bytearray(kept)

    @property
    def is_whole(self) -> bool:
        """Tell whether nothing is still to come."""
        return self._rest is None

    async def pieces(self) -> AsyncIterator[bytes]:
        if self._kept:
            yield bytes(self._kept)
        if self._rest is not None:
            async for piece in self._rest:
                yield piece
            self._rest = None

    async def peek(self, limit: int) -> bytes:
        """Return what there is once the body has ended or exceeds limit bytes, and keep it."""
        while self._rest is not None and len(self._kept) <= limit:
            try:
                self._kept += await anext(self._rest)
            except StopAsyncIteration:
                self._rest = None
        return bytes(self._kept)

    async def read(self) -> bytes:
        """Return the whole body and keep it. Raises BodyTooLarge."""
        data = await self.peek(MAX_HELD)
        if not self.is_whole:
            raise BodyTooLarge
        return data

    async def drain(self) -> None:
        """Read to the end and keep nothing more."""
        if self._rest is not None:
            async for _ in self._rest:
                pass
            self._rest = None


class Peer:
    """Join one TCP connection with the HTTP/1.1 state of its two ends."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        role: type[h11.CLIENT] | type[h11.SERVER],
    ) -> None:
        self._reader = reader
        self._writer = writer
        writer.transport.set_write_buffer_limits(0)  # what was written has left before a reset
        self.http = h11.Connection(role, max_incomplete_event_size=MAX_HEAD)
        self.version = b"HTTP/1.1"
        self.is_mute = False  # what is written goes nowhere
        self.gone = asyncio.create_task(self._wait_closed())  # done when the connection is closed

    async def _wait_closed(self) -> None:
        with suppress(OSError):  # which ended it
            await self._writer.wait_closed()

    async def next_event(self) -> h11.Event | type[h11.PAUSED]:
        while (event := self.http.next_event()) is h11.NEED_DATA:
            self.http.receive_data(await self._reader.read(PIECE))
        return event  # type: ignore[return-value]  # NEED_DATA is excluded above

    async def send(self, event: h11.Event) -> None:
        data = self.http.send(event) or b""
        if isinstance(event, h11.Request | h11.Response):
            data = data.replace(b"HTTP/1.1", self.version, 1)  # h11 sends no other version
        await self.write(data)

    async def write(self, data: bytes) -> None:
        if data and not self.is_mute:
            self._writer.write(data)
            await self._writer.drain()

    async def body(self) -> AsyncIterator[bytes]:
        """Give the body of the message whose head was the last event."""
        while isinstance(event := await self.next_event(), h11.Data):
            yield bytes(event.data)

    async def raw(self) -> AsyncIterator[bytes]:
        """Give the bytes that follow a switch of protocols, until the other side is gone."""
        piece, is_closed = self.http.trailing_data
        while piece or not is_closed:
            yield piece
            try:
                piece = await self._reader.read(PIECE)
            except ConnectionError:
                return
            is_closed = not piece

    async def departure(self) -> None:
        """Return when the other side has closed; what it still sends is kept for the next cycle."""
        try:
            data = await self._reader.read(PIECE)
            while data and len(self.http.trailing_data[0]) < PIECE:
                self.http.receive_data(data)
                data = await self._reader.read(PIECE)
        except ConnectionError:
            return
        if data:  # a client that pipelines more than we keep is not watched any longer
            self.http.receive_data(data)
            await asyncio.Event().wait()

    def close(self) -> None:
        """End the connection as a well-behaved peer does, after what was written."""
        self._writer.close()
        asyncio.get_running_loop().call_later(LINGER, self._writer.transport.abort)

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        sock = self._writer.get_extra_info("socket")
        if sock is not None and sock.fileno() != -1:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


@dataclass(eq=False)
class Answer:
    """Hold a response on its way: its head, and its body as it comes."""

    status: int
    headers: Headers
    body: Body
    reason: bytes = b""
    origin: Origin | None = None  # None when the laboratory answers itself


def reply(status: int, text: str = "") -> Answer:
    """Return a short answer of the laboratory's own."""
    headers = Headers([(b"Content-Type", b"text/plain"), (b"Content-Length", b"%d" % len(text))])
    return Answer(status, headers, Body(kept=text.encode("ascii")))


class Origin(Peer):
    """Carry one delivery of a request to the server."""

    upload: asyncio.Task[None]

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer, h11.CLIENT)
        self._answer: Answer | None = None

    async def answer(self) -> Answer:
        """Wait for the head of the answer. Raises ConnectionError, h11.RemoteProtocolError."""
        while self._answer is None:
            event = await self.next_event()
            if isinstance(event, h11.Response) or (
                isinstance(event, h11.InformationalResponse) and event.status_code == 101
            ):
                headers = Headers(event.headers.raw_items())
                body = Body(self.body() if isinstance(event, h11.Response) else None)
                self._answer = Answer(event.status_code, headers, body, event.reason, self)
            elif isinstance(event, h11.ConnectionClosed):
                raise ConnectionResetError("the server closed without an answer")
        return self._answer

    async def settle(self, seconds: float) -> None:
        """Wait at most so long for the answer, whatever it is; answer() tells."""
        with suppress(asyncio.TimeoutError, ConnectionError, h11.RemoteProtocolError):
            await asyncio.wait_for(self.answer(), seconds)
