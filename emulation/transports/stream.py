"""`stream` and `xhr-stream`: a response that goes on (docs/protocol.md section 8.1)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from emulation.diary import CANCELLED, CUT, RENEWED, UNWRITTEN
from emulation.eager import Event, Writer
from emulation.protocol.codec import Encoder
from emulation.transports.attach import begin, read_attach
from emulation.transports.exchange import GONE
from emulation.transports.headers import OCTET_STREAM, answer

if TYPE_CHECKING:
    from emulation.carrier import Carrier
    from emulation.transports.exchange import Exchange

__all__ = ["Stream", "serve_stream"]

logger = logging.getLogger("emulation.transports")

# What one write holds at most: the server's buffer for a slow reader grows by no more.
_WRITE_BYTES = 256 * 1024


async def serve_stream(exchange: Exchange) -> None:
    """Serve the carrier with this response until it is displaced, renewed or lost."""
    carrier = await read_attach(exchange)
    await exchange.start(answer(OCTET_STREAM, origin=exchange.named_origin))
    stream = Stream(exchange, carrier)
    begin(exchange, carrier, stream)
    how = CANCELLED
    try:
        while (await exchange.receive())["type"] != "http.disconnect":
            pass  # the client has left, or the response is complete
        how = CUT
    finally:
        stream.lose(how)


class Stream(Writer):
    """A response that writes what a carrier has to say, as long as it is the newest."""

    __slots__ = (
        "_carrier",
        "_encoder",
        "_exchange",
        "_is_ending",
        "_is_over",
        "_renew_bytes",
        "attach",
        "deadline",
        "transport",
    )

    def __init__(self, exchange: Exchange, carrier: Carrier) -> None:
        registry = exchange.registry
        config = registry.config
        super().__init__(registry.loop, exchange.send)
        self._exchange = exchange
        self._carrier = carrier
        self._encoder: Encoder = exchange.encoder()
        self._renew_bytes = config.stream_renew if exchange.is_binary else config.text_stream_renew
        self._is_ending = False
        self._is_over = False
        self.attach = exchange.number
        self.transport = "stream" if exchange.is_binary else "xhr-stream"
        self.deadline: float | None = None

    @property
    def written(self) -> int:
        """The number of frames written so far."""
        return self._encoder.frames

    def push(self) -> None:
        """Write what there is: see Downstream."""
        if not self._is_over:
            self.write_soon()

    def flush(self) -> None:
        """Write what there is, now: see Downstream."""
        if not self._is_over:
            self.write_now()

    def finish(self) -> None:
        """Write `end` and nothing more: see Downstream."""
        self._is_ending = True
        self.push()

    def lose(self, how: str) -> None:
        """Note that nothing more is written, and how it came to that."""
        self._is_over = True
        self._carrier.detach(self, how)

    def next_event(self) -> Event | None:
        """Pack what there is to say: see Writer."""
        if self._is_over:
            return None
        encoder = self._encoder
        frames = self._carrier.pack(self, _WRITE_BYTES)
        data = b""
        if not encoder.frames:
            # On a line of its own: it tells whose answer it is, however soon the rest is cut.
            data = encoder.encode([self._exchange.answer_head()])
        if frames:
            data += encoder.encode(frames)
        if self._is_ending or encoder.size >= self._renew_bytes:
            data += encoder.end()
            self.lose(RENEWED)
        if not data:
            return None
        return {"type": "http.response.body", "body": data, "more_body": not self._is_over}

    def fail(self, error: Exception) -> None:
        """Note that nothing more can be written: see Writer."""
        if not isinstance(error, GONE):
            # Whoever has a message runs this: a fault of a server or a middleware around us must
            # not reach it.
            logger.exception("Writing a downstream failed")
        self.lose(UNWRITTEN)
