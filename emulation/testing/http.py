"""HTTP/1.1 as this client needs it: bodies as they come, cut ones included, and aborts at once."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Sequence

import h11

from emulation.testing.address import Address
from emulation.testing.exceptions import Failure
from emulation.testing.waiting import within

__all__ = ["Exchange", "HTTPClient", "Headers", "encoded"]

Headers = Sequence[tuple[str, str]]

# RFC 9110 sections 5.1 and 5.5.
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t -~\x80-\xff]*")

_READ_SIZE = 65_536
# No answer that is read whole comes near it: a poll's is about 1 MiB (section 7.1).
_MAX_WHOLE_BODY = 64 * 1024 * 1024
_CONNECT_TIMEOUT = 10.0


def encoded(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Return headers as they are sent. Raises ValueError, in a sentence, for what is none."""
    for name, value in headers:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} is no name of a header; give one of letters, digits and '-', such as"
                " 'X-Name'."
            )
        # The value itself may be a secret.
        if not _VALUE.fullmatch(value):
            raise ValueError(
                f"The value of the header {name!r} holds a line break, another control character"
                " or one beyond Latin-1; leave it out, or encode it as the server expects."
            )
    return [
        (name.lower().encode("ascii"), value.strip(" \t").encode("latin-1"))
        for name, value in headers
    ]


class Exchange:
    """One request, which has been sent, and its answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._protocol = h11.Connection(h11.CLIENT)
        self.status = 0
        self.headers: list[tuple[str, str]] = []

    async def send(self, request: h11.Request, body: bytes) -> None:
        """Send a request whole; raises Failure."""
        events = [request, h11.Data(data=body), h11.EndOfMessage()]
        try:
            self._writer.writelines([self._protocol.send(event) or b"" for event in events])
            await self._writer.drain()
        except OSError as error:
            raise Failure(f"the request was not sent: {error!r}") from error

    async def read_head(self, timeout: float) -> None:
        """Read status and headers within `timeout` seconds; raises Failure."""
        while True:
            event = await self._next_event(timeout)
            if isinstance(event, h11.Response):
                break
            if not isinstance(event, h11.InformationalResponse):
                raise Failure("the connection ended before its answer")
        self.status = event.status_code
        self.headers = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers
        ]

    async def read(self, timeout: float) -> bytes:
        """Return more of the body, and nothing at its end or where it was cut.

        Only `end` in the body itself tells one from the other: intermediaries complete the framing
        of what they cut. Raises Failure when `timeout` seconds have brought nothing.
        """
        while True:
            try:
                event = await self._next_event(timeout)
            except ConnectionError:
                return b""
            if not isinstance(event, h11.Data):
                return b""
            if event.data:
                return bytes(event.data)

    async def read_whole(self, timeout: float) -> bytes:
        """Return the whole body; `timeout` is for each piece."""
        pieces: list[bytes] = []
        size = 0
        while piece := await self.read(timeout):
            pieces.append(piece)
            size += len(piece)
            if size > _MAX_WHOLE_BODY:
                raise Failure("an answer without end")
        return b"".join(pieces)

    def header(self, name: str) -> str | None:
        """Return a header's value by its name in lower case."""
        return dict(self.headers).get(name)

    def abort(self) -> None:
        """Drop the TCP connection, as a network does that breaks."""
        self._writer.transport.abort()

    def recycle(self) -> bool:
        """Make ready for the next request, if the connection may be used again."""
        states = self._protocol.states
        if self._reader.at_eof() or states[h11.CLIENT] is not h11.DONE:
            return False
        if states[h11.SERVER] is not h11.DONE:
            return False
        self._protocol.start_next_cycle()
        return True

    @property
    def is_usable(self) -> bool:
        """Whether the server has kept the idle connection."""
        return not self._reader.at_eof() and not self._writer.is_closing()

    async def close(self) -> None:
        """Close the connection."""
        self._writer.transport.abort()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _next_event(self, timeout: float) -> h11.Event | None:
        """Return the next event, None behind the last; raises Cut where the message was cut."""
        while True:
            try:
                event = self._protocol.next_event()
                if isinstance(event, h11.Event):
                    return event
                if event is h11.PAUSED:
                    return None
                data = await within(timeout, self._reader.read(_READ_SIZE))
                self._protocol.receive_data(data)
            except TimeoutError:
                raise Failure(f"silence for {timeout:g} s") from None
            except (OSError, h11.RemoteProtocolError) as error:
                raise Cut(f"the connection was cut: {error!r}") from error


class Cut(Failure, ConnectionError):
    """Say that the connection ended inside a message."""


class HTTPClient:
    """Connections to one host, each for one request at a time."""

    def __init__(self, address: Address, headers: Headers, context: ssl.SSLContext | None) -> None:
        self._address = address
        self._context = context or ssl.create_default_context() if address.is_secure else None
        self._headers = encoded(headers)
        if not any(name == b"host" for name, _ in self._headers):
            self._headers.insert(0, (b"host", address.authority.encode("ascii")))
        self._idle: list[Exchange] = []

    @contextlib.asynccontextmanager
    async def request(
        self, method: str, target: str, headers: Headers, body: bytes = b""
    ) -> AsyncIterator[Exchange]:
        """Send a request; the connection is closed at the end unless the answer was read whole."""
        exchange = await self._connection()
        try:
            # RFC 9110 section 8.6: a POST says its length even where that is 0.
            length = [("content-length", str(len(body)))] if method == "POST" else []
            request = h11.Request(
                method=method,
                target=target,
                headers=[*self._headers, *encoded([*headers, *length])],
            )
            await exchange.send(request, body)
            yield exchange
        except BaseException:
            await exchange.close()
            raise
        if exchange.recycle():
            self._idle.append(exchange)
        else:
            await exchange.close()

    async def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            await self._idle.pop().close()

    async def _connection(self) -> Exchange:
        while self._idle:
            exchange = self._idle.pop()
            if exchange.is_usable:
                return exchange
            await exchange.close()
        connecting = asyncio.open_connection(
            self._address.host, self._address.port, ssl=self._context
        )
        try:
            return Exchange(*await within(_CONNECT_TIMEOUT, connecting))
        except OSError as error:
            raise Failure(f"no connection: {error!r}") from error
