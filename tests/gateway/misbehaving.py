"""A backend that breaks RFC 6455, in the way that the path says."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from anyio.from_thread import start_blocking_portal

from tests.support.streams import streams_server

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

# --- Handshakes -----------------------------------------------------------------------------------

UPGRADE = "Upgrade: websocket\r\nConnection: Upgrade\r\n"
GOOD = "HTTP/1.1 101 Switching Protocols\r\n" + UPGRADE + "Sec-WebSocket-Accept: {accept}\r\n"

HANDSHAKES = {
    "wrong accept key": "HTTP/1.1 101 Yes\r\n" + UPGRADE + "Sec-WebSocket-Accept: AAAA\r\n\r\n",
    "no accept key": "HTTP/1.1 101 Yes\r\n" + UPGRADE + "\r\n",
    "unasked subprotocol": GOOD + "Sec-WebSocket-Protocol: chat\r\n\r\n",
    "unasked extension": GOOD + "Sec-WebSocket-Extensions: x-unknown\r\n\r\n",
    "no Upgrade": GOOD.replace("Upgrade: websocket\r\n", "") + "\r\n",
    "another Upgrade": GOOD.replace("Upgrade: websocket", "Upgrade: h2c") + "\r\n",
    "no Connection": GOOD.replace("Connection: Upgrade\r\n", "") + "\r\n",
    "HTTP/1.0": GOOD.replace("HTTP/1.1", "HTTP/1.0") + "\r\n",
    "half a handshake": "HTTP/1.1 101 Switching Protocols\r\nUpgr",
    "nothing, and hangs up": "",
    "no HTTP": "SSH-2.0-OpenSSH_9.2\r\n\r\n",
}

STATUSES = {
    200: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    301: "HTTP/1.1 301 Moved\r\nLocation: http://{host}/good\r\nContent-Length: 0\r\n\r\n",
    401: 'HTTP/1.1 401 Who\r\nWWW-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n',
    404: "HTTP/1.1 404 Where\r\nContent-Length: 0\r\n\r\n",
    503: "HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n",
}

# --- Frames, behind a good handshake and a first message ------------------------------------------

FIRST = b"\x81\x05first"

FRAMES = {
    "reserved bit": b"\xc1\x02no",
    "reserved opcode": b"\x83\x02no",
    "reserved control opcode": b"\x8b\x00",
    "masked frame": b"\x81\x82\x00\x00\x00\x00no",
    "bad UTF-8": b"\x81\x02\xc3\x28",
    "continuation of nothing": b"\x80\x02no",
    "message within a message": b"\x01\x01a\x81\x01b",
    "control frame in pieces": b"\x09\x01a",
    "control frame that is too long": b"\x89\x7e\x00\x7e" + b"a" * 126,
    "length beyond all bounds": b"\x82\x7f" + b"\xff" * 8,
    "close code 1005": b"\x88\x02\x03\xed",
    "close code 1006": b"\x88\x02\x03\xee",
    "close code 1015": b"\x88\x02\x03\xf7",
    "close code 999": b"\x88\x02\x03\xe7",
    "close of one byte": b"\x88\x01\x03",
    "close reason that is not UTF-8": b"\x88\x04\x03\xe8\xc3\x28",
    "no close at all": b"",
}

# What is odd, but a close all the same: the code that the page sees.
CLOSES = {
    "close without a code": (b"\x88\x00", 1005, False),
    "close, and TCP stays open": (b"\x88\x02\x0f\xa0", 4000, True),
    "message behind the close": (b"\x88\x02\x0f\xa1\x81\x04late", 4001, False),
}


@contextmanager
def misbehaving() -> Iterator[str]:
    """Serve all of the above on a free port, in a thread; yield host and port."""
    with start_blocking_portal() as portal:
        with portal.wrap_async_context_manager(_server()) as host:
            yield host


def path_of(what: str) -> str:
    return "/" + re.sub(r"\W", "-", what)


def accept_key(request: bytes) -> str:
    """Return the Sec-WebSocket-Accept for a request (RFC 6455 section 4.2.2)."""
    found = re.search(rb"(?i)sec-websocket-key: (\S+)", request)
    assert found, request
    return base64.b64encode(hashlib.sha1(found[1] + GUID).digest()).decode()


def handshake(request: bytes) -> bytes:
    """Return the answer that accepts a request."""
    return GOOD.format(accept=accept_key(request)).encode() + b"\r\n"


@asynccontextmanager
async def _server() -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer, is_held = _answer(await reader.readuntil(b"\r\n\r\n"), host)
        writer.write(answer)
        await writer.drain()
        if is_held:
            await asyncio.Event().wait()
        writer.write_eof()
        await reader.read()

    async with streams_server(serve) as address:
        host = "{}:{}".format(*address)
        yield host


def _answer(request: bytes, host: str) -> tuple[bytes, bool]:
    """Return what to write, and whether the connection stays open behind it."""
    path = request.split(b" ")[1].decode()
    accept = accept_key(request)
    good = handshake(request)
    if path == "/silence":
        return b"", True
    if path == "/good":
        return good + FIRST, True
    for what, text in HANDSHAKES.items():
        if path == path_of(what):
            return text.replace("{accept}", accept).encode(), False
    for status, text in STATUSES.items():
        if path == f"/{status}":
            return text.replace("{host}", host).encode(), False
    for what, frames in FRAMES.items():
        if path == path_of(what):
            return good + FIRST + frames, False
    for what, (frames, _, is_held) in CLOSES.items():
        if path == path_of(what):
            return good + FIRST + frames, is_held
    raise AssertionError(path)
