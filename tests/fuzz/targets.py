"""What is fuzzed: each target takes any bytes, and raises where the library breaks its word.

Bytes of a peer may be refused by RemoteProtocolError and by nothing else. A target that returns has
found nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from emulation import Config, WebSocketEmulation
from emulation.exceptions import RemoteProtocolError
from emulation.origins import OriginPolicy
from emulation.protocol.close import close_payload, parse_close
from emulation.protocol.codec import BinaryDecoder, JSONDecoder, decode_body
from emulation.protocol.connection import Connection, Limits
from emulation.protocol.frames import LAST_NUMBERED, Frame
from emulation.protocol.handshake import parse_answer_head, parse_body, parse_request_head
from emulation.transports.marker import split_marker
from emulation.transports.websocket import _parse as parse_message

__all__ = ["TARGETS", "close_surface"]

_LIMIT: Final = 1 << 16
_LIMITS: Final = Limits(
    window_bytes=4096, window_frames=16, max_message_size=8192, part_size=1024, close_timeout=10.0
)
_VERBS: Final = ("open", "send", "stream", "poll", "ticket", "bye", "sse", "ws")
_TYPES: Final = (b"application/json", b"application/octet-stream", b"text/plain", b"")
_STATUSES: Final = {200, 204, 400, 403, 404, 405, 408, 409, 411, 413, 415, 421, 429, 503}


def body(data: bytes) -> None:
    """Read a body in both forms, whole and in two pieces, and what its frames say."""
    for binary in (True, False):
        with suppress(RemoteProtocolError):
            _read_in_pieces(data, binary)
        with suppress(RemoteProtocolError):
            frames, _ = decode_body(data, binary=binary, limit=_LIMIT)
            _understand(frames)


def _read_in_pieces(data: bytes, binary: bool) -> None:
    """Cut where the first byte says; the frames must not depend on it."""
    cut = data[0] % len(data) if data else 0
    whole, pieces = (BinaryDecoder(_LIMIT) if binary else JSONDecoder(_LIMIT) for _ in range(2))
    frames = whole.feed(data)
    assert pieces.feed(data[:cut]) + pieces.feed(data[cut:]) == frames
    assert pieces.ended == whole.ended


def _understand(frames: list[Frame]) -> None:
    for parse in (parse_request_head, parse_answer_head):
        with suppress(RemoteProtocolError):
            parse(frames)
    connection = Connection(_LIMITS)
    connection.send("something to acknowledge")
    connection.frames_after(0, _LIMIT)
    for section in parse_body(frames).sections:
        with suppress(RemoteProtocolError):
            connection.take_ack(section.ack)
            connection.take(section.first, section.frames, bounded=True)
        assert connection.unreceived_bytes <= _LIMITS.window_bytes + _LIMITS.max_message_size
        assert len(connection.inbox) <= _LIMITS.window_frames


def frames(data: bytes) -> None:
    """Take numbered frames of any kinds and sizes, twice: the second time changes nothing."""
    numbered = [
        (1 + kind % LAST_NUMBERED, payload)
        for kind, payload in zip(data, data.split(b"\0"), strict=False)
    ]
    connection = Connection(_LIMITS)
    for _ in range(2):
        before = connection.received
        with suppress(RemoteProtocolError):
            connection.take(1, numbered)
        assert connection.received >= before
    assert sum(size for _, size in connection.inbox) == connection.unreceived_bytes


def close(data: bytes) -> None:
    """Read a close; what is understood is written as it came."""
    with suppress(RemoteProtocolError):
        code, reason = parse_close(data)
        assert close_payload(code, reason) == data


def message(data: bytes) -> None:
    """Read a text message of a native socket."""
    with suppress(RemoteProtocolError):
        kind, payload = parse_message("\0" + data.decode("utf-8", "replace"))
        assert kind <= LAST_NUMBERED or isinstance(payload, list)


def marker(data: bytes) -> None:
    """Take the marker out of a query: nothing else of it is changed."""
    found, rest = split_marker(data)
    if found is None:
        assert rest == data
    else:
        ours = [part for part in data.split(b"&") if part not in rest.split(b"&")]
        assert len(ours) <= 1
        assert len(rest) < len(data)


def origin(data: bytes) -> None:
    """Decide about any headers; only an origin that was sent is ever named."""
    names = (b"origin", b"host", b"sec-fetch-site", b"x-forwarded-host", b"cookie")
    headers = [(names[line[0] % len(names)], line[1:]) for line in data.split(b"\n") if line]
    policy = OriginPolicy(["https://friend.example"], ["10.0.0.0/8"])
    scope = {"type": "http", "headers": headers, "client": ("10.0.0.1", 1), "scheme": "http"}
    for verb in _VERBS:
        decision = policy.check(scope, verb)
        if decision.origin is not None:
            assert decision.is_allowed
            assert (b"origin", decision.origin) in headers


class _Surface:
    """A middleware in a loop of its own, which every request of a run goes to."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.errors: list[str] = []
        config = Config(
            poll_time=0.001,
            open_answer_time=0.001,
            resume_time=40,
            max_sessions=50,
            max_carriers=50,
            max_upload=_LIMIT,
        )
        self.middleware = WebSocketEmulation(_echo, config=config)
        self.key = "K" * 22
        self._handler = _Errors(self.errors)
        logging.getLogger().addHandler(self._handler)

    def ask(self, data: bytes) -> None:
        self.loop.run_until_complete(asyncio.wait_for(self._ask(data), 10))
        assert not self.errors, self.errors

    def close(self) -> None:
        """End all that the run has started."""
        self.loop.run_until_complete(self._end())
        self.loop.close()
        logging.getLogger().removeHandler(self._handler)

    async def _end(self) -> None:
        self.middleware.go_down()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _ask(self, data: bytes) -> None:
        first, second, content = data[0], data[1], data[2:]
        verb = _VERBS[first % len(_VERBS)]
        ticket = b"." + b"T" * 22 if verb == "sse" else b""
        get = verb in ("sse", "ws")
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET" if get else "POST",
            "scheme": "http",
            "path": "/",
            "raw_path": b"/",
            "root_path": "",
            "query_string": b"emulation=" + verb.encode() + b"." + self.key.encode() + ticket,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "headers": [
                (b"host", b"app.example"),
                (b"origin", b"http://app.example"),
                (b"content-type", _TYPES[second % len(_TYPES)]),
                (b"content-length", b"%d" % (len(content) + (second >> 6))),
            ],
        }
        events: list[dict[str, Any]] = [
            {"type": "http.request", "body": content, "more_body": False},
            {"type": "http.disconnect"},
        ]
        statuses: list[int] = []

        async def receive() -> dict[str, Any]:
            return events.pop(0) if len(events) > 1 else events[0]

        async def send(event: Any) -> None:
            if event["type"] == "http.response.start":
                statuses.append(event["status"])

        await self.middleware(scope, receive, send)
        assert len(statuses) <= 1 and set(statuses) <= _STATUSES, statuses
        kept = self.middleware.statistics
        assert kept.sessions <= 50 and kept.carriers <= 50


class _Errors(logging.Handler):
    """A task that crashed says so in the log of asyncio, an application in ours."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._errors = errors

    def emit(self, record: logging.LogRecord) -> None:
        # Another process's name in a head is worth a line, once.
        if "has come to process" not in record.getMessage():
            self._errors.append(logging.Formatter().format(record))


async def _echo(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] != "websocket.disconnect":
        await send({**event, "type": "websocket.send"})


_surface: list[_Surface] = []


def http(data: bytes) -> None:
    """Post a body, with its own head or with one that names a carrier of the run."""
    if len(data) < 3:
        return
    if not _surface:
        _surface.append(_Surface())
    _surface[0].ask(data)


def close_surface() -> None:
    """End what `http` and `opening` have started, when there are no more inputs."""
    while _surface:
        _surface.pop().close()


def opening(data: bytes) -> None:
    """Post an `open` whose document has any elements, so that there are sessions to be hurt."""
    elements = [part.decode("latin-1") for part in data.split(b"\n")]
    nonce = data.hex()[:22].ljust(22, "A")
    lines = [["head", 1, "", 1, ""]], [["open", 1, nonce, *elements]]
    content = "".join(json.dumps(line) + "\n" for line in lines)
    http(b"\0\0" + content.encode())


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "body": body,
    "frames": frames,
    "close": close,
    "message": message,
    "marker": marker,
    "origin": origin,
    "http": http,
    "opening": opening,
}
