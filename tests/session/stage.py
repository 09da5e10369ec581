"""A real server with the middleware, in the loop of the test, and a neighbour not to be hurt."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.cookiejar import DefaultCookiePolicy
from typing import Any, TypeAlias

import anyio
import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute

from emulation import Config, WebSocketEmulation
from emulation.protocol.frames import Frame
from emulation.registry import Registry
from emulation.testing import serve
from tests.session.wire import TIMEOUT, Answer, Downstream, Page, section, text

Event = dict[str, Any]


class Endpoint:
    """One start of the application at `/puppet`: the test itself is the application."""

    def __init__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self.is_over = asyncio.Event()

    async def receive(self) -> Event:
        with anyio.fail_after(TIMEOUT):
            event: Event = await self._receive()
        return event

    async def send(self, kind: str, **members: Any) -> None:
        with anyio.fail_after(TIMEOUT):
            await self._send({"type": f"websocket.{kind}", **members})

    async def accept(self, **members: Any) -> None:
        assert (await self.receive())["type"] == "websocket.connect"
        await self.send("accept", **members)

    async def texts(self, count: int) -> list[str]:
        """Receive so many text messages."""
        return [(await self.receive())["text"] for _ in range(count)]

    async def disconnect(self) -> tuple[int, str]:
        """Receive the disconnect, past any messages."""
        while True:
            event = await self.receive()
            if event["type"] == "websocket.disconnect":
                return event["code"], event["reason"]

    def leave(self) -> None:
        """Return from the application."""
        self.is_over.set()


Played: TypeAlias = tuple[Page, Endpoint]


class Stage:
    """An application that echoes at `/echo` and is played by the test at `/puppet`."""

    def __init__(self) -> None:
        self.scopes: list[Any] = []
        self._endpoints: asyncio.Queue[Endpoint] = asyncio.Queue()
        self.app = Starlette(
            routes=[
                WebSocketRoute("/echo", _Played(self._echo)),
                WebSocketRoute("/puppet", _Played(self._puppet)),
                Route("/{path:path}", _query, methods=["GET", "POST", "OPTIONS", "PUT"]),
            ]
        )

    async def endpoint(self) -> Endpoint:
        """Return the next start at `/puppet`."""
        with anyio.fail_after(TIMEOUT):
            return await self._endpoints.get()

    @property
    def has_endpoint(self) -> bool:
        return not self._endpoints.empty()

    def starts(self, query: str) -> int:
        """Return how often the application was started with this query."""
        return sum(scope["query_string"] == query.encode() for scope in self.scopes)

    async def _echo(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        await receive()
        subprotocols = scope["subprotocols"]
        await send(
            {"type": "websocket.accept", "subprotocol": subprotocols[0] if subprotocols else None}
        )
        while True:
            event = await receive()
            if event["type"] == "websocket.disconnect":
                return
            await send({**event, "type": "websocket.send"})

    async def _puppet(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        endpoint = Endpoint(scope, receive, send)
        self._endpoints.put_nowait(endpoint)
        await endpoint.is_over.wait()


class _Played:
    """Starlette takes an object that can be called for an ASGI application."""

    def __init__(self, play: Any) -> None:
        self._play = play

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._play(scope, receive, send)


async def _query(request: Request) -> JSONResponse:
    return JSONResponse({"query": request.scope["query_string"].decode("latin-1")})


class Served:
    """A running server, its application, and the middleware between them."""

    def __init__(
        self, url: str, stage: Stage, middleware: WebSocketEmulation, client: httpx.AsyncClient
    ) -> None:
        self.url = url
        self.stage = stage
        self.middleware = middleware
        self.client = client

    @property
    def registry(self) -> Registry:
        registry = self.middleware._registry
        assert registry is not None
        return registry

    def page(self, path: str = "/echo", **options: Any) -> Page:
        return Page(self.client, self.url, path, **options)

    async def play(self, page: Page, socket: int = 1, **options: Any) -> Endpoint:
        """Open a socket at `/puppet` and accept it."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: page.opened(socket, **options))
            endpoint = await self.stage.endpoint()
            await endpoint.accept()
        return endpoint

    @asynccontextmanager
    async def parked(
        self, page: Page, *frames: Frame, attach: int | None = None
    ) -> AsyncIterator[list[Answer]]:
        """Park a poll, and yield a list for its answer, which is there behind the block."""
        answers: list[Answer] = []

        async def poll() -> None:
            answers.append(await page.poll(*(frames or (section(1),)), attach=attach))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(poll)
            carrier = self.registry.carriers[page.key]
            await self.eventually(lambda: carrier.downstream is not None, "the poll is parked")
            yield answers
        assert len(answers) == 1

    async def eventually(self, condition: Any, what: str) -> None:
        """Wait until the condition holds."""
        with anyio.move_on_after(TIMEOUT):
            while not condition():  # noqa: ASYNC110 (of the server, which sets no event)
                await anyio.sleep(0.005)
            return
        raise AssertionError(f"not in {TIMEOUT} s: {what}")


class Neighbour:
    """A session that goes on while others misbehave."""

    def __init__(self, page: Page, downstream: Downstream) -> None:
        self._page = page
        self._downstream = downstream
        self._said: list[str] = []

    async def say(self, message: str) -> None:
        """Send a message and wait for its echo."""
        self._said.append(message)
        await self._page.upload(section(1, len(self._said) - 1, len(self._said)), text(message))
        await self._downstream.until_text(message)
        assert self._downstream.texts() == self._said


@asynccontextmanager
async def neighbour(served: Served) -> AsyncIterator[Neighbour]:
    """Open a session that is checked at the end of the block."""
    page = served.page("/echo")
    await page.opened()
    async with page.stream() as downstream:
        beside = Neighbour(page, downstream)
        await beside.say("before")
        yield beside
        await beside.say("after")


@asynccontextmanager
async def serving(
    *,
    origins: tuple[str, ...] = (),
    outside: Callable[[Any], Any] = lambda app: app,
    inside: Callable[[Any], Any] = lambda app: app,
    expected: str = "",
    **config: Any,
) -> AsyncIterator[Served]:
    """Serve a stage; no error but the `expected` one may be logged meanwhile.

    `outside` and `inside` wrap another middleware around ours and around the application.
    """
    stage = Stage()
    middleware = WebSocketEmulation(inside(stage.app), origins=origins, config=Config(**config))
    with unharmed(expected):
        async with (
            serve(outside(middleware)) as url,
            httpx.AsyncClient(trust_env=False, timeout=TIMEOUT) as client,
        ):
            # What one test is given is not sent by the next.
            client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
            yield Served(url, stage, middleware, client)


@contextmanager
def unharmed(expected: str = "") -> Iterator[None]:
    """Check that nothing is logged as an error: no traceback, no forgotten task."""
    errors: list[str] = []

    class Errors(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if not expected or expected not in record.getMessage():
                errors.append(logging.Formatter().format(record))

    handler = Errors(logging.ERROR)
    logging.getLogger().addHandler(handler)
    try:
        yield
        gc.collect()
    finally:
        logging.getLogger().removeHandler(handler)
    assert not errors, "\n".join(errors)
