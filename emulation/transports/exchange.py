"""One HTTP request of ours: its body read within bounds, and its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from anyio import BrokenResourceError, ClosedResourceError

from emulation.exceptions import ClientGone, RefusedWith, RemoteProtocolError
from emulation.protocol.close import CloseCode
from emulation.protocol.codec import BinaryEncoder, Encoder, JSONEncoder, decode_body
from emulation.protocol.frames import DOCUMENT, WIRE_VERSION, Frame, document
from emulation.protocol.handshake import RequestHead, parse_body, parse_request_head
from emulation.protocol.requests import Request, read_plain
from emulation.transports.direct import answer_at_once, body_at_once
from emulation.transports.headers import (
    OCTET_STREAM,
    Header,
    Headers,
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

__all__ = ["GONE", "Answer", "Exchange"]

# Its status, its headers and its body.
Answer: TypeAlias = tuple[int, Headers, bytes]

# How a server, or a middleware around us (Starlette's BaseHTTPMiddleware), says to who sends that
# the client has left.
GONE: Final = (OSError, BrokenResourceError, ClosedResourceError)

# After which a refused page may ask again (seconds): long enough for a flood to be none.
_RETRY_SECONDS = 2

# No head is as long (bytes), nor the line that it is in.
_LONG_BODY = 8192

_NO_REQUEST = Request(RequestHead("", 0, ""), [], [], False)
_NO_FIELDS: dict[bytes, bytes] = {}


class Exchange:
    """One request with our marker, and the answer to it."""

    __slots__ = (
        "fields",
        "is_binary",
        "is_read",
        "marker",
        "needs_cors",
        "number",
        "origin",
        "query",
        "receive",
        "registry",
        "request",
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
        # The headers of the request; of those that came twice the last.
        self.fields: dict[bytes, bytes] = dict(scope["headers"])
        # The allowed Origin of the request, and whether the answer has to name it.
        self.origin: bytes | None = None
        self.needs_cors = True
        self.is_binary = False
        # Whether the request's body has all come, what it says, and which number it has.
        self.is_read = False
        self.request = _NO_REQUEST
        self.number = 0

    def header(self, name: bytes) -> bytes:
        """Return the request's header of this lower-case name, b"" without one."""
        return self.fields.get(name, b"")

    # --- The request ------------------------------------------------------------------------------

    async def read(self) -> None:
        """Read the body and its head.

        Raises RemoteProtocolError with the status of the answer, ClientGone when there is none to
        be given.
        """
        limit = self.registry.config.max_body
        length, is_json = check_upload(self.marker.verb, self.scope["headers"], limit, self.fields)
        self.is_binary = not is_json
        self.fields = _NO_FIELDS  # a parked request needs them no more
        body = await self._read_all(length)
        self.is_read = True
        self.read_body(body, is_plain=self.marker.verb != "open")  # its document is not plain

    def read_body(self, body: bytes, *, is_plain: bool = True) -> None:
        """Read a body that has come, `is_plain` where it may be in the plain form.

        It may be that of another request with these headers.

        Raises RemoteProtocolError with the status of the answer.
        """
        request = read_plain(body) if is_plain and self.is_binary else None
        if request is None:
            limit = self.registry.config.max_body
            frames, is_ended = decode_body(body, binary=self.is_binary, limit=limit)
            if not frames and len(body) >= _LONG_BODY:
                # Something has cut it before anything was whole: the page sends less then.
                raise RemoteProtocolError(413, CloseCode.TOO_BIG, "nothing of the body came whole")
            head = parse_request_head(frames)
            self.number = head.number  # for the answer, also where the rest is malformed
            request = Request(head, *parse_body(frames), is_ended)
        self.request = request
        self.number = request.head.number

    async def _read_all(self, limit: int, *, is_kept: bool = True) -> bytes:
        """Read the whole body; raises RemoteProtocolError with 408 or 413, and ClientGone."""
        at_once = body_at_once(self.receive)
        if at_once is not None:
            return at_once
        patience = self.registry.patience
        task = asyncio.current_task(self.registry.loop)
        assert task is not None  # every server runs an application in one
        patience.begin(task)
        pieces: list[bytes] = []
        size = 0
        try:
            while True:
                event = await self.receive()
                if event["type"] != "http.request":
                    raise ClientGone
                body: bytes = event.get("body", b"")
                size += len(body)
                if not event.get("more_body", False):
                    return b"".join((*pieces, body)) if pieces else body
                if is_kept:
                    pieces.append(body)
                if size > limit:
                    raise RemoteProtocolError(413, CloseCode.TOO_BIG, "the body is over its length")
        except asyncio.CancelledError:
            if task in patience:
                raise
            if hasattr(task, "uncancel"):  # Python 3.11
                task.uncancel()
            text = "the body did not come in time"
            raise RemoteProtocolError(408, CloseCode.ABNORMAL, text) from None
        finally:
            patience.end(task)

    def forget_request(self) -> None:
        """Let go of what the request said, and has been taken."""
        self.request = _NO_REQUEST

    async def drain(self) -> bool:
        """Read what is left of a refused body, so that the connection can be used again.

        Some proxies use a connection again although it still owes a body (Traffic Server); the
        answer False says that the connection must be closed instead.
        """
        try:
            await self._read_all(self.registry.config.max_body, is_kept=False)
        except RemoteProtocolError:
            return False
        return True

    def find_carrier(self) -> Carrier:
        """Find the carrier that the head proves to be the request's own."""
        registry = self.registry
        return registry.find_carrier(
            self.marker.key,
            self.request.head.secret,
            self.request.head.node,
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

    def answer_head(self) -> Frame:
        """Return the head that says which request this answers."""
        key = self.marker.key.encode()
        return DOCUMENT, b'["head",%d,"%s",%d]' % (WIRE_VERSION, key, self.number)

    @property
    def named_origin(self) -> bytes | None:
        """The Origin that the answer's CORS headers name, None where a page needs none."""
        return self.origin if self.needs_cors else None

    def compose(
        self, frames: Iterable[Frame], *, status: int = 200, more: Iterable[Header] = ()
    ) -> Answer:
        """Make an answer with a body of these frames behind the head."""
        body = self.encoder().encode((self.answer_head(), *frames), is_last=True)
        headers = answer(OCTET_STREAM, origin=self.named_origin, length=len(body), more=more)
        return status, headers, body

    async def respond(
        self, frames: Iterable[Frame], *, status: int = 200, more: Iterable[Header] = ()
    ) -> None:
        """Answer so; raises ClientGone."""
        await self.answer(*self.compose(frames, status=status, more=more), are_ours=not more)

    async def respond_empty(self) -> None:
        """Answer 204; raises ClientGone."""
        await self.answer(204, empty_answer(self.named_origin))

    async def answer(
        self, status: int, headers: Headers, body: bytes = b"", *, are_ours: bool = True
    ) -> None:
        """Send a whole answer; raises ClientGone.

        Headers in which somebody else has a say are looked at by the server: they are not all ours.
        """
        try:
            if are_ours and answer_at_once(self.send, status, headers, body):
                return
            await self.send({"type": "http.response.start", "status": status, "headers": headers})
            await self.send({"type": "http.response.body", "body": body})
        except GONE as error:
            raise ClientGone from error

    async def start(self, headers: Headers) -> None:
        """Begin an answer that goes on; raises ClientGone."""
        try:
            if answer_at_once(self.send, 200, headers, None):
                return
            await self.send({"type": "http.response.start", "status": 200, "headers": headers})
        except GONE as error:
            raise ClientGone from error

    async def fail(self, error: RemoteProtocolError, *, more: Iterable[Header] = ()) -> None:
        """Answer with an error; what it says is constant and reflects nothing that came in."""
        if self.fields:  # they have not been looked at
            self.is_binary = self.header(b"content-type").partition(b";")[0] == OCTET_STREAM[1]
        extra = list(more)
        said: list[Any] = ["error", error.status, error.text]
        if error.status in (429, 503):
            extra.append(retry_after(_RETRY_SECONDS))
            said.append(_RETRY_SECONDS)
        frames = [document(*said)]
        if isinstance(error, RefusedWith):
            frames += error.frames
        await self.respond(frames, status=error.status, more=extra)
