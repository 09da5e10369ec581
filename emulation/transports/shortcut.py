"""Past all of uvicorn, for a request whose head is that of the one before.

A browser says request after request the same on the same connection; what differs are the verb and
the number of bytes in Content-Length. All that was found out of such a head is known: what it means
in HTTP, whose request it is, that its origin is allowed. What is left is the body, which proves by
its secret to be the page's own. To parse the head again, and make a scope and a task of it, is more
work than all that we do for a message.

So a connection on which a request of ours was answered is listened to here first. Everything but an
upload, a poll or a stream with the same head goes to uvicorn as it came; so does one that is to be
refused, for nothing is taken twice. No middleware is passed by: there must be none around us, for
one that only looks would miss these requests.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from emulation.diary import CUT
from emulation.exceptions import RemoteProtocolError
from emulation.transports.attach import begin, take_attach
from emulation.transports.direct import cycle_of, has_framing, head_of, is_bare
from emulation.transports.headers import OCTET_STREAM, answer
from emulation.transports.poll import Poll
from emulation.transports.stream import Stream
from emulation.transports.upstream import Upload

if TYPE_CHECKING:
    from emulation.carrier import Carrier
    from emulation.transports.exchange import Exchange
    from emulation.transports.headers import Headers

__all__ = ["expect_again"]

_VERBS: Final = (b"send", b"poll", b"stream")
_LONGEST_VERB = 6
# After this what has come of a request goes on to uvicorn, where the time that it has begins.
_WAIT_SECONDS = 1.0
# From this on (bytes) a body is not copied to be written with its head.
_LONG_BODY = 64 * 1024
# With its end, a Content-Length that is as long as any we read.
_MOST_DIGITS = 10


def expect_again(exchange: Exchange, app: Any) -> None:
    """Listen for requests like this one, which has been answered, where only `app` is called.

    Nothing is done where the server is another one, or has a middleware around `app`.
    """
    cycle = cycle_of(exchange.send)
    if cycle is None or not exchange.is_binary:
        return
    transport = cycle.transport
    listening = transport.get_protocol()
    if type(listening) is Shortcut:
        listening.expect(exchange)
    elif is_bare(listening, app):
        shortcut = Shortcut(listening)
        shortcut.expect(exchange)
        transport.set_protocol(shortcut)


class _Head:
    """How the head of a request looks: what stands around its verb and its length."""

    __slots__ = ("before", "behind", "between")

    def __init__(self, before: bytes, between: bytes, behind: bytes) -> None:
        self.before = before
        self.between = between
        self.behind = behind

    def split(self, data: bytes) -> tuple[bytes, int, int] | None:
        """Return verb, length of the body and where it begins; None for another head."""
        if not data.startswith(self.before):
            return None
        at = len(self.before)
        dot = data.find(b".", at, at + _LONGEST_VERB + 1)
        if dot < 0 or not data.startswith(self.between, dot):
            return None
        start = dot + len(self.between)
        end = data.find(b"\r", start, start + _MOST_DIGITS)
        digits = data[start:end]
        if end < 0 or not digits.isdigit() or not data.startswith(self.behind, end):
            return None
        return data[at:dot], int(digits), end + len(self.behind)


def _recognise(data: bytes, exchange: Exchange) -> _Head | None:
    """Return how a head looks that says the same as the one of this exchange; None for another."""
    scope = exchange.scope
    line = b"POST %s?emulation=" % scope["raw_path"][len(scope["root_path"]) :]
    if not data.startswith(line):
        return None
    dot = data.find(b".", len(line), len(line) + _LONGEST_VERB + 1)
    rest = b".%s HTTP/1.1\r\n" % exchange.marker.key.encode()
    if dot < 0 or not data.startswith(rest, dot):
        return None
    at = dot + len(rest)
    start = end = 0
    for name, value in scope["headers"]:
        colon = at + len(name)
        at = colon + 2
        if data[colon:at] != b": " or data[colon - len(name) : colon].lower() != name:
            return None
        if name == b"content-length":
            start, end = at, data.find(b"\r", at, at + _MOST_DIGITS)
            at = end
        elif data.startswith(value, at):
            at += len(value)
        else:
            return None
        if at < 0 or data[at : at + 2] != b"\r\n":
            return None
        at += 2
    if data[at : at + 2] != b"\r\n":
        return None
    return _Head(data[: len(line)], data[dot:start], data[end : at + 2])


class Shortcut:
    """Stands before uvicorn's object of a connection, as the protocol of its transport."""

    __slots__ = (
        "_answering",
        "_body_at",
        "_exchange",
        "_head",
        "_lacking",
        "_late",
        "_limit",
        "_pieces",
        "_protocol",
        "_timer",
        "_transport",
        "_verb",
    )

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self._transport = protocol.transport
        # The last request that came by way of uvicorn, and the head of those like it, once seen.
        self._exchange: Exchange | None = None
        self._head: _Head | None = None
        self._limit = 0
        # What has come of a request, how many bytes of its first piece are its head, how many lack,
        # and how long they are waited for.
        self._verb = b""
        self._pieces: list[bytes] = []
        self._body_at = 0
        self._lacking = 0
        self._timer: asyncio.TimerHandle | None = None
        # What is going to answer, and what came meanwhile.
        self._answering: Upload | Poll | _DirectStream | None = None
        self._late: list[bytes] = []

    def expect(self, exchange: Exchange) -> None:
        """Expect requests with the head of this one."""
        self._exchange = exchange
        self._head = None
        self._limit = exchange.registry.config.max_body
        exchange.forget_request()

    # --- What the transport calls -----------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take a request like the one before; let uvicorn have everything else."""
        if self._answering is not None:
            self._late.append(data)
            self._protocol.flow.pause_reading()
        elif self._lacking:
            self._go_on(data)
        elif not self._is_between() or not self._take(data):
            self._protocol.data_received(data)

    def eof_received(self) -> None:
        """See asyncio.Protocol."""
        self._protocol.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        """See asyncio.Protocol."""
        answering = self._answering
        if answering is not None:
            answering.lose(CUT)
        self._exchange = self._head = self._answering = None
        self._late = []
        self._let_go()
        self._protocol.connection_lost(error)

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self._protocol.resume_writing()
        if isinstance(self._answering, _DirectStream):
            self._answering.push()

    # --- Requests ---------------------------------------------------------------------------------

    def _is_between(self) -> bool:
        """Tell whether uvicorn is done with all that it was given."""
        protocol = self._protocol
        cycle = protocol.cycle
        return (
            cycle.response_complete
            and not cycle.more_body  # an answer may not wait for all of its request
            and cycle.scope is protocol.scope  # of the next request nothing has come
        )

    def _take(self, data: bytes) -> bool:
        """Take a request with a known head, or what has come of it; tell whether it is one."""
        exchange = self._exchange
        if exchange is None:
            return False
        if self._head is None:
            self._head = _recognise(data, exchange)
            if self._head is None:
                return False
        found = self._head.split(data)
        if found is None:
            return False
        self._verb, length, at = found
        lacking = length - (len(data) - at)
        protocol = self._protocol
        if (
            lacking < 0
            or length > self._limit
            or self._verb not in _VERBS
            or protocol.access_log
            or protocol.flow.write_paused
            or self._transport.is_closing()
            or has_framing(protocol.server_state.default_headers)
            or _is_crowded(protocol)
        ):
            return False
        if not lacking:
            return self._take_body(data[at:])
        protocol._unset_keepalive_if_required()
        self._pieces = [data]
        self._body_at = at
        self._lacking = lacking
        self._timer = exchange.registry.loop.call_later(_WAIT_SECONDS, self._give_up)
        return True

    def _go_on(self, data: bytes) -> None:
        """Take more of a request."""
        self._pieces.append(data)
        self._lacking -= len(data)
        if self._lacking > 0:
            return
        if self._lacking < 0:
            self._give_up()  # another request is behind it
            return
        pieces = self._let_go()
        first = memoryview(pieces[0])[self._body_at :]
        if not self._take_body(b"".join([first, *pieces[1:]])):
            self._protocol.data_received(b"".join(pieces))

    def _give_up(self) -> None:
        """Let uvicorn have what has come of a request."""
        self._protocol.data_received(b"".join(self._let_go()))

    def _let_go(self) -> list[bytes]:
        pieces, self._pieces = self._pieces, []
        self._lacking = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return pieces

    def _take_body(self, body: bytes) -> bool:
        """Take a request; tell whether it was, and is not to be refused."""
        exchange = self._exchange
        if exchange is None:
            return False
        self._protocol._unset_keepalive_if_required()
        try:
            exchange.read_body(body)
            if self._verb == b"send":
                self._upload(exchange)
            elif self._verb == b"poll":
                self._poll(exchange)
            else:
                self._stream(exchange)
        except RemoteProtocolError:
            return False  # to be answered by who answers all others
        return True

    # --- Answers ----------------------------------------------------------------------------------

    def _upload(self, exchange: Exchange) -> None:
        self._answering = upload = Upload(exchange)
        if upload.has_frames:
            self._answer_soon()
        else:
            self._answer()

    def _poll(self, exchange: Exchange) -> None:
        carrier = take_attach(exchange)
        self._answering = poll = Poll(exchange, carrier, self._answer_soon)
        begin(exchange, carrier, poll)

    def _stream(self, exchange: Exchange) -> None:
        carrier = take_attach(exchange)
        self._answering = stream = _DirectStream(exchange, carrier, self)
        headers = answer(OCTET_STREAM, origin=exchange.named_origin)
        self._write_head(200, headers, b"transfer-encoding: chunked\r\n\r\n")
        begin(exchange, carrier, stream)

    def _answer_soon(self) -> None:
        exchange = self._exchange
        if exchange is not None:
            exchange.registry.loop.call_soon(self._answer)

    def _answer(self) -> None:
        answering = self._answering
        if answering is None or isinstance(answering, _DirectStream):
            return  # the client has left meanwhile
        try:
            status, headers, body = answering.answer()
        except BaseException:
            self._transport.close()  # the page is not to wait for it
            raise
        if len(body) < _LONG_BODY:
            self._write_head(status, headers, b"\r\n" + body)
        else:
            self._write_head(status, headers, b"\r\n")
            self._write(body)
        self._complete()

    def _write_head(self, status: int, headers: Headers, rest: bytes) -> None:
        pieces = head_of(status, self._protocol.server_state.default_headers, headers)
        pieces.append(rest)
        self._write(b"".join(pieces))

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    @property
    def is_paused(self) -> bool:
        """Whether the client is slow to read."""
        paused: bool = self._protocol.flow.write_paused
        return paused

    def write_chunk(self, data: bytes, *, is_last: bool) -> None:
        """Write more of a stream."""
        end = b"\r\n0\r\n\r\n" if is_last else b"\r\n"
        self._write(b"".join((b"%x\r\n" % len(data), data, end)))
        if is_last:
            self._complete()

    def _complete(self) -> None:
        """Let the connection be used for the next request."""
        self._answering = None
        if self._exchange is not None:
            self._exchange.forget_request()
        self._protocol.on_response_complete()
        if self._late:
            late, self._late = self._late, []
            self.data_received(b"".join(late))


class _DirectStream(Stream):
    """A stream that is written past uvicorn."""

    __slots__ = ("_shortcut",)

    def __init__(self, exchange: Exchange, carrier: Carrier, shortcut: Shortcut) -> None:
        super().__init__(exchange, carrier)
        self._shortcut = shortcut

    def _write(self) -> None:
        shortcut = self._shortcut
        try:
            while not shortcut.is_paused and (event := self.next_event()) is not None:
                shortcut.write_chunk(event["body"], is_last=not event["more_body"])
        except Exception as error:
            self.fail(error)
        self._is_writing = False


def _is_crowded(protocol: Any) -> bool:
    """Tell whether uvicorn would answer 503, for `limit_concurrency`."""
    limit = protocol.limit_concurrency
    return limit is not None and (
        len(protocol.connections) >= limit or len(protocol.tasks) >= limit
    )
