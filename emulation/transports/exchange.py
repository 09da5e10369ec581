"""One HTTP request of ours: its body read within bounds, and its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any, Final

from anyio import BrokenResourceError, ClosedResourceError

from emulation.exceptions import RemoteProtocolError
from emulation.protocol.close import CloseCode
from emulation.protocol.codec import BinaryEncoder, Encoder, JSONEncoder, decode_body
from emulation.protocol.frames import DOCUMENT, WIRE_VERSION, Frame, document
from emulation.protocol.handshake import Body, RequestHead, parse_body, parse_request_head
from emulation.transports.headers import (
    OCTET_STREAM,
    Header,
    answer,
    check_upload,
    empty_answer,
    retry_after,
)

if TYPE_CHECKING:
    from emulation.bridge import Receive, Scope, Send
    from emulation.carrier import Carrier
    from emulation.registry import Registry
    from emulation.transports.marker import Marker

__all__ = ["GONE", "ClientGone", "Exchange", "Failure"]

# How a server, or a middleware around us (Starlette's BaseHTTPMiddleware), says to who sends that
# the client has left.
GONE: Final = (OSError, BrokenResourceError, ClosedResourceError)

# After which a refused page may ask again (seconds): long enough for a flood to be none.
_RETRY_SECONDS = 2.0


class ClientGone(Exception):
    """The client has left in the middle of its request; there is nobody to answer."""


class Failure(RemoteProtocolError):
    """An error answer that says more than its sentence."""

    def __init__(self, error: RemoteProtocolError, frames: Iterable[Frame]) -> None:
        super().__init__(error.status, error.close_code, error.text)
        self.frames = tuple(frames)


class Exchange:
    """One request with our marker, and the answer to it."""

    __slots__ = (
        "body",
        "head",
        "is_binary",
        "is_ended",
        "is_read",
        "marker",
        "needs_cors",
        "origin",
        "query",
        "receive",
        "registry",
        "scope",
        "send",
    )

    def __init__(
        self,
        registry: Registry,
        scope: Scope,
        receive: Receive,
        send: Send,
        marker: Marker,
        query: bytes,
    ) -> None:
        self.registry = registry
        self.scope = scope
        self.receive = receive
        self.send = send
        self.marker = marker
        self.query = query
        # The allowed Origin of the request, and whether the answer has to name it.
        self.origin: bytes | None = None
        self.needs_cors = True
        self.is_binary = False
        # Whether the request's body has all come, and whether it has its `end`.
        self.is_read = False
        self.is_ended = False
        self.head = RequestHead("", 0, "")
        self.body = Body([], [])

    def header(self, name: bytes) -> bytes:
        """Return the request's header of this lower-case name, b"" without one."""
        for key, value in self.scope["headers"]:
            if key == name:
                return bytes(value)
        return b""

    # --- The request ------------------------------------------------------------------------------

    async def read(self) -> None:
        """Read the body and its head.

        Raises RemoteProtocolError with the status of the answer, ClientGone when there is none to
        be given.
        """
        config = self.registry.config
        length, is_json = check_upload(self.marker.verb, self.scope["headers"], config.max_body)
        self.is_binary = not is_json
        body = await self._read_all(length, config.body_timeout)
        self.is_read = True
        frames, self.is_ended = decode_body(body, binary=self.is_binary, limit=config.max_body)
        self.head = parse_request_head(frames)
        self.body = parse_body(frames)

    async def _read_all(self, limit: int, seconds: float) -> bytes:
        deadline = self.registry.loop.time() + seconds
        pieces: list[bytes] = []
        size = 0
        while True:
            event = await _Receiving(deadline, self.receive)
            if event["type"] != "http.request":
                raise ClientGone
            body: bytes = event.get("body", b"")
            size += len(body)
            if not event.get("more_body", False):
                break
            pieces.append(body)
            if size > limit:
                raise RemoteProtocolError(413, CloseCode.TOO_BIG, "the body is over its length")
        return b"".join((*pieces, body)) if pieces else body

    async def drain(self) -> bool:
        """Read what is left of a refused body, so that the connection can be used again.

        Some proxies use a connection again although it still owes a body (Traffic Server); the
        answer False says that the connection must be closed instead.
        """
        config = self.registry.config
        size = 0
        try:
            deadline = self.registry.loop.time() + config.body_timeout
            while size <= config.max_body:
                event = await _Receiving(deadline, self.receive)
                if event["type"] != "http.request":
                    raise ClientGone
                size += len(event.get("body", b""))
                if not event.get("more_body", False):
                    return True
        except RemoteProtocolError:
            return False
        return False

    def find_carrier(self) -> Carrier:
        """Find the carrier that the head proves to be the request's own."""
        registry = self.registry
        return registry.find_carrier(
            self.marker.key,
            self.head.secret,
            self.head.node,
            self.origin or b"",
            self.principal(),
        )

    def principal(self) -> str | None:
        """Return who the configured hook says is asking."""
        hook = self.registry.config.principal
        return None if hook is None else hook(self.scope)

    # --- The answer -------------------------------------------------------------------------------

    def encoder(self) -> Encoder:
        """Return an encoder in the form of the request."""
        return BinaryEncoder() if self.is_binary else JSONEncoder()

    def answer_head(self, number: int | None = None) -> Frame:
        """Return the head that says which request this answers."""
        number = self.head.number if number is None else number
        return DOCUMENT, b'["head",%d,"%s",%d]' % (WIRE_VERSION, self.marker.key.encode(), number)

    @property
    def named_origin(self) -> bytes | None:
        """The Origin that the answer's CORS headers name, None where a page needs none."""
        return self.origin if self.needs_cors else None

    async def respond(
        self, frames: Iterable[Frame], *, status: int = 200, more: Iterable[Header] = ()
    ) -> None:
        """Answer with a body of these frames behind the head."""
        encoder = self.encoder()
        body = encoder.encode((self.answer_head(), *frames)) + encoder.end()
        headers = answer(OCTET_STREAM, origin=self.named_origin, length=len(body), more=more)
        await self.start(status, headers)
        await self.finish(body)

    async def start(self, status: int, headers: list[Header]) -> None:
        """Send the answer's status and headers; raises ClientGone."""
        await self._put({"type": "http.response.start", "status": status, "headers": headers})

    async def finish(self, body: bytes) -> None:
        """Send the answer's body, or the last of it; raises ClientGone."""
        await self._put({"type": "http.response.body", "body": body})

    async def _put(self, event: MutableMapping[str, Any]) -> None:
        try:
            await self.send(event)
        except GONE as error:
            raise ClientGone from error

    async def respond_empty(self, headers: Iterable[Header] = ()) -> None:
        """Answer 204; raises ClientGone."""
        await self.start(204, empty_answer(origin=self.named_origin, more=headers))
        await self.finish(b"")

    async def fail(self, error: RemoteProtocolError, *, more: Iterable[Header] = ()) -> None:
        """Answer with an error; what it says is constant and reflects nothing that came in."""
        if not self.is_read:
            self.is_binary = self.header(b"content-type").partition(b";")[0] == OCTET_STREAM[1]
        frames = [document("error", error.status, error.text)]
        if isinstance(error, Failure):
            frames += error.frames
        extra = list(more)
        if error.status in (429, 503):
            extra.append(retry_after(_RETRY_SECONDS))
        await self.respond(frames, status=error.status, more=extra)


class _Receiving:
    """Wait for the next event; raises RemoteProtocolError with 408 at the deadline.

    There is a timer only where `receive` waits, which it rarely does, and no task for each wait, as
    asyncio.wait_for makes one.
    """

    __slots__ = ("_deadline", "_has_expired", "_receive", "_task")

    def __init__(self, deadline: float, receive: Receive) -> None:
        self._deadline = deadline
        self._receive = receive
        self._has_expired = False
        self._task: asyncio.Task[Any] | None = None

    def __await__(self) -> Generator[Any, Any, MutableMapping[str, Any]]:
        waiting = self._receive().__await__()
        try:
            first = next(waiting)
        except StopIteration as stop:
            event: MutableMapping[str, Any] = stop.value
            return event
        self._task = asyncio.current_task()
        timer = asyncio.get_running_loop().call_at(self._deadline, self._expire)
        try:
            event = yield from _Begun(first, waiting)
            return event
        except asyncio.CancelledError:
            if not self._has_expired:
                raise
            if hasattr(self._task, "uncancel"):  # Python 3.11
                self._task.uncancel()  # type: ignore[union-attr]
            text = "the body did not come in time"
            raise RemoteProtocolError(408, CloseCode.ABNORMAL, text) from None
        finally:
            timer.cancel()

    def _expire(self) -> None:
        self._has_expired = True
        if self._task is not None:
            self._task.cancel()


class _Begun:
    """An awaitable whose first step has been taken: what it yielded comes first."""

    __slots__ = ("_first", "_is_first", "_waiting")

    def __init__(self, first: Any, waiting: Generator[Any, Any, Any]) -> None:
        self._first = first
        self._is_first = True
        self._waiting = waiting

    def __iter__(self) -> _Begun:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        if self._is_first:
            self._is_first = False
            return self._first
        return next(self._waiting) if value is None else self._waiting.send(value)

    def throw(self, *exception: Any) -> Any:
        return self._waiting.throw(*exception)

    def close(self) -> None:
        self._waiting.close()
