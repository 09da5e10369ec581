"""A page that speaks the wire by hand, one request at a time, over plain HTTP."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Container, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest

from emulation.protocol.codec import BinaryDecoder, BinaryEncoder, JSONDecoder, JSONEncoder
from emulation.protocol.frames import CLOSE, DOCUMENT, LAST_NUMBERED, TEXT, Frame, document

# Of a test that is about what a page says: it says it in each form.
FORMS = pytest.mark.parametrize("form", ["binary", "json"])
TIMEOUT = 10.0
LIMIT = 64 * 1024 * 1024
TYPES = {"binary": "application/octet-stream", "json": "application/json"}


def drawn() -> str:
    """Draw a key or a nonce."""
    return secrets.token_urlsafe(16)


def text(message: str) -> Frame:
    return TEXT, message.encode("utf-8", "surrogatepass")


def close(code: int = 1000, reason: str = "") -> Frame:
    return CLOSE, code.to_bytes(2, "big") + reason.encode()


def section(socket: int, ack: int = 0, first: int = 0) -> Frame:
    return document("section", socket, ack, first)


def encoded(*frames: Frame, form: str = "binary", end: bool = True) -> bytes:
    """Write a body."""
    encoder = BinaryEncoder() if form == "binary" else JSONEncoder()
    body = encoder.encode(frames)
    return body + encoder.end() if end else body


class Answer:
    """A whole answer, and what its body says."""

    def __init__(self, response: httpx.Response, body: bytes) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self.body = body
        self.ended = False
        self.frames: list[Frame] = []
        if body:
            decoder = BinaryDecoder(LIMIT) if body[:1] == b"@" else JSONDecoder(LIMIT)
            self.frames = decoder.feed(body)
            self.ended = decoder.ended

    @property
    def head(self) -> list[Any]:
        kind, head = self.frames[0]
        assert kind == DOCUMENT and head[0] == "head", self.frames
        return list(head)

    def document(self, name: str) -> list[Any] | None:
        """Return the first document of this name."""
        return next(
            (payload for kind, payload in self.frames if kind == DOCUMENT and payload[0] == name),
            None,
        )

    def said(self, socket: int = 1) -> list[Frame]:
        """Return the frames of a socket's sections, without the documents that make them up."""
        return [frame for number, frame in by_socket(self.frames) if number == socket]

    def ack(self, socket: int = 1) -> int:
        """Return the ack of the socket's last section."""
        acks = [
            payload[2]
            for kind, payload in self.frames
            if kind == DOCUMENT and payload[0] == "section" and payload[1] == socket
        ]
        return int(acks[-1])


def documents(frames: list[Frame], name: str) -> list[list[Any]]:
    """Return the documents of this name, in their order."""
    return [payload for kind, payload in frames if kind == DOCUMENT and payload[0] == name]


def numbers(frames: list[Frame], socket: int = 1) -> dict[int, Frame]:
    """Return the numbered frames of a socket by the numbers that its sections give them."""
    found: dict[int, Frame] = {}
    number = 0
    for kind, payload in frames:
        if kind == DOCUMENT and payload[0] == "section":
            number = payload[3] if payload[1] == socket else 0
        elif kind <= LAST_NUMBERED and number:
            found[number] = (kind, payload)
            number += 1
    return found


def by_socket(frames: list[Frame]) -> list[tuple[int, Frame]]:
    """Return the frames that stand in sections, each with its socket."""
    found = []
    socket = 0
    for frame in frames:
        kind, payload = frame
        if kind == DOCUMENT and payload[0] == "section":
            socket = payload[1]
        elif kind <= LAST_NUMBERED:
            found.append((socket, frame))
    return found


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """Read one answer with a Content-Length, or a 204, from a connection of the test's own."""
    with anyio.fail_after(TIMEOUT):
        head = await reader.readuntil(b"\r\n\r\n")
        status, *fields = head.decode("latin-1").strip().split("\r\n")
        named = (field.partition(": ") for field in fields)
        headers = httpx.Headers([(name, value) for name, _, value in named])
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Answer(httpx.Response(int(status.split()[1]), headers=headers), body)


class Downstream:
    """A response that goes on."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self._chunks = response.aiter_raw()
        self._decoder: BinaryDecoder | JSONDecoder | None = None
        self._is_events = response.headers.get("content-type", "").startswith("text/event-stream")
        self._rest = b""
        self.first_bytes = b""
        self.frames: list[Frame] = []
        self.is_complete = False

    async def until(self, kind: int, payload: Any = None) -> list[Frame]:
        """Read up to a frame, and return all of this body's frames so far.

        A document is found by its name.
        """
        with anyio.fail_after(TIMEOUT):
            while not self._has(kind, payload):
                assert await self.more(), f"the response ended with {self.frames[-5:]}"
        return self.frames

    def _has(self, kind: int, payload: Any) -> bool:
        return any(
            frame[0] == kind and (payload is None or payload == _content(frame))
            for frame in self.frames
        )

    async def until_text(self, message: str) -> list[Frame]:
        return await self.until(TEXT, message.encode())

    async def until_credit(self, frames: int) -> None:
        """Read until the credit in frames has grown so far."""
        with anyio.fail_after(TIMEOUT):
            while max((told[2] for told in documents(self.frames, "credit")), default=0) < frames:
                assert await self.more()

    async def until_end(self) -> list[Frame]:
        """Read to `end`, and check that nothing follows."""
        with anyio.fail_after(TIMEOUT):
            while await self.more():
                pass
        assert self.frames[-1][1][0] == "end", self.frames[-5:]
        return self.frames

    def texts(self, socket: int = 1) -> list[str]:
        """Return the text messages of a socket so far."""
        return [
            payload.decode()
            for number, (kind, payload) in by_socket(self.frames)
            if number == socket and kind == TEXT
        ]

    async def more(self) -> bool:
        """Read what comes next; False at the end of the response."""
        try:
            data = await anext(self._chunks)
        except StopAsyncIteration:
            self.is_complete = True
            return False
        if self._is_events:
            data = self._lines(data)
        if self._decoder is None and data:
            self.first_bytes = data
            self._decoder = BinaryDecoder(LIMIT) if data[:1] == b"@" else JSONDecoder(LIMIT)
        if self._decoder is not None:
            self.frames += self._decoder.feed(data)
        return True

    def _lines(self, data: bytes) -> bytes:
        """Return the data of whole events."""
        *events, self._rest = (self._rest + data).split(b"\n\n")
        return b"".join(event.removeprefix(b"data: ") + b"\n" for event in events)


def _content(frame: Frame) -> Any:
    return frame[1][0] if frame[0] == DOCUMENT else frame[1]


class Page:
    """One carrier of a page, which does what a test says and nothing by itself."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        url: str,
        path: str = "/echo",
        *,
        query: str = "",
        form: str = "binary",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.client = client
        self.base = url
        self.path = path
        self.query = query
        self.form = form
        self.headers = {"origin": url} if headers is None else dict(headers)
        self.key = drawn()
        self.secret = ""
        self.node = ""
        self.attach = 0
        self.uploads = 0

    def url(self, verb: str, *, query: str = "") -> str:
        marker = f"emulation={verb}.{self.key}"
        return f"{self.base}{self.path}?{query}&{marker}" if query else self.address(marker)

    def address(self, marker: str) -> str:
        return f"{self.base}{self.path}?{marker}"

    def head(self, number: int) -> Frame:
        return document("head", 1, self.secret, number, self.node)

    def raw(self, verb: str, body: bytes, *, method: str = "POST", **headers: str) -> bytes:
        """Return a request as it stands on the wire, for a connection of the test's own."""
        url = httpx.URL(self.url(verb))
        fields = {
            "host": f"{url.host}:{url.port}",
            "content-type": TYPES[self.form],
            "content-length": str(len(body)),
            **self.headers,
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        lines = [f"{method} {url.raw_path.decode()} HTTP/1.1", *map(": ".join, fields.items())]
        return "\r\n".join([*lines, "", ""]).encode() + body

    async def request(self, method: str, url: str, body: bytes = b"", **headers: str) -> Answer:
        """Make a request and read its whole answer; `_` in a header's name stands for `-`."""
        return await self.ask(
            method, url, body, {k.replace("_", "-"): v for k, v in headers.items()}
        )

    async def ask(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        everything = {"content-type": TYPES[self.form], **self.headers, **headers}
        with anyio.fail_after(TIMEOUT):
            response = await self.client.request(method, url, content=body, headers=everything)
        return Answer(response, response.content)

    async def post(
        self, verb: str, *frames: Frame, number: int = 0, query: str = "", **headers: str
    ) -> Answer:
        """Post a body of these frames behind the head."""
        body = encoded(self.head(number), *frames, form=self.form)
        return await self.request("POST", self.url(verb, query=query), body, **headers)

    async def open(
        self,
        socket: int = 1,
        *,
        nonce: str | None = None,
        protocols: tuple[str, ...] = (),
        transport: str = "stream",
        **headers: str,
    ) -> Answer:
        """Open a socket, and keep the secret of the first answer."""
        nonce = nonce or drawn()
        answer = await self.post(
            "open",
            document("open", socket, nonce, list(protocols), transport),
            number=socket,
            query=self.query,
            **headers,
        )
        told = answer.document("secret")
        if told is not None:
            _, self.secret, self.node = told
        return answer

    async def opened(self, socket: int = 1, **options: Any) -> dict[str, Any]:
        """Open a socket and return the parameters of its `opened`."""
        answer = await self.open(socket, **options)
        told = answer.document("opened")
        assert told is not None, answer.frames
        return dict(told[3])

    async def upload(self, *frames: Frame, number: int | None = None, **headers: str) -> Answer:
        if number is None:
            self.uploads += 1
            number = self.uploads
        return await self.post("send", *frames, number=number, **headers)

    async def poll(self, *frames: Frame, attach: int | None = None) -> Answer:
        return await self.post("poll", *frames, number=self.next_attach(attach))

    def next_attach(self, attach: int | None) -> int:
        if attach is None:
            self.attach += 1
            attach = self.attach
        return attach

    @asynccontextmanager
    async def stream(
        self, *frames: Frame, attach: int | None = None, statuses: Container[int] = (200,)
    ) -> AsyncIterator[Downstream]:
        """Attach by a stream; it names socket 1 where nothing else is said."""
        body = encoded(
            self.head(self.next_attach(attach)), *(frames or (section(1),)), form=self.form
        )
        headers = {"content-type": TYPES[self.form], **self.headers}
        async with self.client.stream(
            "POST", self.url("stream"), content=body, headers=headers
        ) as response:
            assert response.status_code in statuses, await response.aread()
            yield Downstream(response)

    async def ticket(self, *frames: Frame, attach: int | None = None) -> str:
        answer = await self.post(
            "ticket", *(frames or (section(1),)), number=self.next_attach(attach)
        )
        told = answer.document("ticket")
        assert told is not None, answer.frames
        return str(told[1])

    @asynccontextmanager
    async def events(self, ticket: str, **headers: str) -> AsyncIterator[Downstream]:
        url = self.address(f"emulation=sse.{self.key}.{ticket}")
        async with self.client.stream("GET", url, headers={**self.headers, **headers}) as response:
            yield Downstream(response)
