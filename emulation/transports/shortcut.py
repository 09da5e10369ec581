"""Past all of uvicorn, for an upload whose head is, byte for byte, that of the one before.

A browser says upload after upload the same on the same connection; what differs is the number of
bytes in Content-Length. All that was found out of such a head is known: what it means in HTTP,
whose request it is, that its origin is allowed. What is left is the body, which proves by its
secret to be the page's own. To parse the head again, and make a scope and a task of it, is more
work than all that we do for a message.

So a connection on which an upload was answered is listened to here first. Everything but a request
with the same head goes to uvicorn as it came; so does one that is to be refused, for nothing is
taken twice. No middleware is passed by: there must be none around us, for one that only
looks would miss these requests.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from emulation.exceptions import RemoteProtocolError
from emulation.transports.direct import cycle_of, head_of, is_bare
from emulation.transports.upstream import Upload

if TYPE_CHECKING:
    from emulation.transports.exchange import Exchange

__all__ = ["expect_again"]

_LENGTH = b"\r\ncontent-length:"
_END = b"\r\n\r\n"
# What is kept of a request at most (bytes), until it is seen to be an upload.
_MOST_SEEN = 16 * 1024
# After this what has come of an upload goes on to uvicorn, where the time that it has begins.
_WAIT_SECONDS = 1.0
# Ends a Content-Length that is as long as any we read (digits).
_MOST_DIGITS = 10


def expect_again(exchange: Exchange, app: Any) -> None:
    """Listen for uploads like this one, which has been answered, where `app` is all that is called.

    Nothing is done where the server is another one, has a middleware around `app` or logs requests.
    """
    cycle = cycle_of(exchange.send)
    if cycle is None or not exchange.is_binary or not cycle.keep_alive or cycle.access_log:
        return
    transport = cycle.transport
    listening = transport.get_protocol()
    if type(listening) is Shortcut:
        listening.learn(exchange, cycle)
    elif is_bare(listening, app):
        transport.set_protocol(Shortcut(listening))


class Shortcut:
    """Stands before uvicorn's object of a connection, as the protocol of its transport."""

    __slots__ = (
        "_body_at",
        "_cycle",
        "_exchange",
        "_lacking",
        "_late",
        "_limit",
        "_pieces",
        "_protocol",
        "_rest",
        "_seen",
        "_start",
        "_timer",
        "_transport",
        "_upload",
    )

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self._transport = protocol.transport
        # What came last and began where a request does, and uvicorn's object of this request.
        self._seen = b""
        self._cycle: Any = None
        # The head of an upload before and behind the digits of its length, and what it has become.
        self._start = b""
        self._rest = b""
        self._exchange: Exchange | None = None
        self._limit = 0
        # What has come of an upload, how many bytes of its first piece are its head, how many lack,
        # and how long they are waited for.
        self._pieces: list[bytes] = []
        self._body_at = 0
        self._lacking = 0
        self._timer: asyncio.TimerHandle | None = None
        # The upload whose answer waits for the next turn of the loop, and what came meanwhile.
        self._upload: Upload | None = None
        self._late: list[bytes] = []

    def learn(self, exchange: Exchange, cycle: Any) -> None:
        """Take from an upload that uvicorn has passed on how its head looks."""
        seen, self._seen = self._seen, b""
        if cycle is not self._cycle:
            return
        end = seen.find(_END) + len(_END)
        head = seen[:end].lower()
        start = head.find(_LENGTH) + len(_LENGTH)
        if end < len(_END) or start < len(_LENGTH):
            return
        while head[start : start + 1] == b" ":
            start += 1
        rest = head.find(b"\r\n", start)
        self._start, self._rest = seen[:start], seen[rest:end]
        self._exchange = exchange
        self._limit = exchange.registry.config.max_body

    # --- What the transport calls -----------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take an upload; let uvicorn have everything else."""
        if self._upload is not None:
            self._late.append(data)
            return
        if self._lacking:
            self._go_on(data)
            return
        protocol = self._protocol
        cycle = protocol.cycle
        if (
            not cycle.response_complete
            or cycle.more_body  # the answer did not wait for all of the request
            or cycle.scope is not protocol.scope  # of the next request something has come
        ):
            protocol.data_received(data)
            return
        if self._start and data.startswith(self._start) and self._take(data):
            return
        self._seen = data if len(data) <= _MOST_SEEN else b""
        protocol.data_received(data)
        self._cycle = protocol.cycle

    def eof_received(self) -> None:
        """See asyncio.Protocol."""
        self._protocol.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._exchange = self._cycle = None
        self._start = b""
        self._let_go()
        self._protocol.connection_lost(error)

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self._protocol.resume_writing()

    # --- Uploads ----------------------------------------------------------------------------------

    def _take(self, data: bytes) -> bool:
        """Take an upload with a known head, or what has come of it; tell whether it is one."""
        start = len(self._start)
        rest = data.find(b"\r\n", start, start + _MOST_DIGITS)
        digits = data[start:rest]
        if rest < 0 or not digits.isdigit() or not data.startswith(self._rest, rest):
            return False
        protocol, exchange = self._protocol, self._exchange
        at = rest + len(self._rest)
        lacking = int(digits) - (len(data) - at)
        if (
            exchange is None
            or lacking < 0
            or int(digits) > self._limit
            or protocol.access_log
            or protocol.flow.write_paused
            or self._transport.is_closing()
            or head_of(204, protocol.server_state.default_headers, []) is None
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
        """Take more of an upload."""
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
        """Let uvicorn have what has come of an upload."""
        self._protocol.data_received(b"".join(self._let_go()))

    def _let_go(self) -> list[bytes]:
        pieces, self._pieces = self._pieces, []
        self._lacking = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return pieces

    def _take_body(self, body: bytes) -> bool:
        """Take an upload; False where it is in another than the plain form, or to be refused."""
        exchange = self._exchange
        if exchange is None or not exchange.read_next(body):
            return False
        try:
            upload = Upload(exchange)
        except RemoteProtocolError:
            return False  # to be answered by who answers all others
        self._protocol._unset_keepalive_if_required()
        self._upload = upload
        if upload.has_frames:
            exchange.registry.loop.call_soon(self._answer)
        else:
            self._answer()
        return True

    def _answer(self) -> None:
        upload, self._upload = self._upload, None
        assert upload is not None
        protocol, transport = self._protocol, self._transport
        try:
            status, headers, body = upload.answer()
        except BaseException:
            transport.close()  # the page is not to wait for it
            raise
        if not transport.is_closing():
            pieces = head_of(status, protocol.server_state.default_headers, headers)
            assert pieces is not None  # they are of the same turn of the loop, or the next
            pieces += (b"\r\n", body)
            transport.write(b"".join(pieces))
        if self._exchange is not None:
            self._exchange.forget_request()
        protocol.on_response_complete()
        if self._late:
            late, self._late = self._late, []
            self.data_received(b"".join(late))


def _is_crowded(protocol: Any) -> bool:
    """Tell whether uvicorn would answer 503, for `limit_concurrency`."""
    limit = protocol.limit_concurrency
    return limit is not None and (
        len(protocol.connections) >= limit or len(protocol.tasks) >= limit
    )
