"""Other middlewares around ours and within: every transport goes through, and stays live."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from emulation import WebSocketEmulation
from emulation.protocol.frames import DOCUMENT
from emulation.testing import serve
from tests.session.stage import serving
from tests.session.wire import TIMEOUT, Downstream, Page, section, text

pytestmark = pytest.mark.integration


class Timing(BaseHTTPMiddleware):
    """Do what half of the world's own middlewares do: look, call on, add a header."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["x-timing"] = "1"
        return response


class Deadline:
    """Give each write of an answer its time: what a write waits for differs with the server."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def timed(message: Any) -> None:
            with anyio.fail_after(TIMEOUT):
                await anyio.lowlevel.checkpoint()
                await send(message)

        await self.app(scope, receive, timed)


MIDDLEWARES: dict[str, Callable[[Any], Any]] = {
    "CORS": lambda app: CORSMiddleware(
        app, allow_origins=["https://page.example"], allow_methods=["*"], allow_credentials=True
    ),
    "GZip": lambda app: GZipMiddleware(app, minimum_size=1),
    "Session": lambda app: SessionMiddleware(app, secret_key="for tests"),
    "TrustedHost": lambda app: TrustedHostMiddleware(app, allowed_hosts=["127.0.0.1"]),
    "BaseHTTP": Timing,
    "Deadline": Deadline,
    "two BaseHTTP": lambda app: Timing(Timing(app)),
}


@asynccontextmanager
async def down(page: Page, transport: str) -> AsyncIterator[Downstream]:
    """Attach by a transport that goes on."""
    if transport == "sse":
        async with page.events(await page.ticket()) as downstream:
            yield downstream
    else:
        async with page.stream() as downstream:
            yield downstream


@pytest.mark.parametrize("place", ["outside", "inside"])
@pytest.mark.parametrize("name", MIDDLEWARES)
@pytest.mark.parametrize("transport", ["stream", "xhr-stream", "sse"])
async def test_streams_stay_live(name: str, place: str, transport: str) -> None:
    wraps: Any = {place: MIDDLEWARES[name]}
    async with serving(heartbeat=0.2, poll_time=0.2, **wraps) as served:
        page = served.page(form="json" if transport == "xhr-stream" else "binary")
        await page.opened()
        async with down(page, transport) as downstream:
            assert downstream.headers.get("content-encoding", "identity") == "identity"
            await downstream.until(DOCUMENT, "credit")
            for number in range(1, 4):
                await page.upload(section(1, 0, number), text(f"message {number}"))
                await downstream.until_text(f"message {number}")
            await downstream.until(DOCUMENT, "ping")
            async with page.stream() as newer:
                await newer.until_text("message 3")
                await downstream.until_end()


@pytest.mark.parametrize("place", ["outside", "inside"])
@pytest.mark.parametrize("name", MIDDLEWARES)
async def test_polls(name: str, place: str) -> None:
    wraps: Any = {place: MIDDLEWARES[name]}
    async with serving(poll_time=0.3, **wraps) as served:
        page = served.page("/puppet")
        endpoint = await served.play(page)
        carrier = served.registry.carriers[page.key]
        for number in range(3):
            answers = []
            async with anyio.create_task_group() as tasks:

                async def poll(received: int = number) -> None:
                    answers.append(await page.poll(section(1, received)))  # noqa: B023

                tasks.start_soon(poll)
                await served.eventually(lambda: carrier.downstream is not None, "a poll is parked")
                await endpoint.send("send", text=f"message {number}")
            assert answers[0].said() == [text(f"message {number}")]
        assert (await page.poll(section(1, 3))).said() == []
        endpoint.leave()


@pytest.mark.parametrize("name", MIDDLEWARES)
async def test_a_page_that_leaves(name: str) -> None:
    """Nobody hears of a client who is gone, neither the application nor the log."""
    async with serving(outside=MIDDLEWARES[name]) as served:
        page = served.page("/puppet")
        endpoint = await served.play(page)
        for transport in ("stream", "sse"):
            async with down(page, transport) as downstream:
                await downstream.until(DOCUMENT, "head")
            await endpoint.send("send", text="to nobody")
        with anyio.move_on_after(0.3):
            await page.poll(section(1, 2))
        await endpoint.send("send", text="to nobody")
        answer = await page.poll(section(1, 2))
        assert answer.said() == [text("to nobody")]
        endpoint.leave()


async def test_urls_of_what_is_mounted_behind_ours() -> None:
    """Starlette's Mount asks the application that it was given for its routes."""

    async def item(request: Request) -> Response:
        return Response(str(request.url_for("item", name="x").path))

    inner = Starlette(routes=[Route("/item/{name}", item, name="item")])
    outer = Starlette(routes=[Mount("/api", app=WebSocketEmulation(inner))])
    async with serve(outer) as url, httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"{url}/api/item/1")).text == "/api/item/x"


async def test_the_scope_has_what_outer_middlewares_put_there() -> None:
    from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser

    class Everybody(AuthenticationBackend):
        async def authenticate(self, conn: Any) -> tuple[AuthCredentials, SimpleUser]:
            return AuthCredentials(["all"]), SimpleUser(conn.query_params["name"])

    def outside(app: Any) -> Any:
        return SessionMiddleware(AuthenticationMiddleware(app, Everybody()), secret_key="for tests")

    async with serving(outside=outside) as served:
        page = served.page(query="name=ada")
        await page.opened()
        [scope] = served.stage.scopes
        assert scope["user"].display_name == "ada"
        assert scope["auth"].scopes == ["all"]
        assert scope["session"] == {}


@pytest.mark.parametrize("place", ["outside", "inside"])
async def test_a_host_that_is_not_trusted(place: str) -> None:
    wraps: Any = {place: lambda app: TrustedHostMiddleware(app, allowed_hosts=["a.example"])}
    async with serving(**wraps) as served:
        answer = await served.client.post(served.page().url("open"), content=b"")
        assert answer.status_code in (400, 415)
        page = served.page()
        if place == "inside":
            # Its refusal of the WebSocket is the application's.
            refused = (await page.open()).document("refused")
            assert refused == ["refused", 1, 400] or refused == ["refused", 1, 403]


async def test_cors_outside_leaves_one_header_of_each() -> None:
    """A page whose origin both allow must not see a header twice: browsers refuse that."""
    origin = "https://page.example"
    async with serving(outside=MIDDLEWARES["CORS"], origins=(origin,)) as served:
        page = served.page(headers={"origin": origin})
        answer = await page.open()
        for header in ("access-control-allow-origin", "access-control-allow-credentials"):
            assert len(answer.headers.get_list(header)) == 1, answer.headers
        assert answer.headers["access-control-allow-origin"] == origin
        async with page.stream() as downstream:
            assert downstream.headers.get_list("access-control-allow-origin") == [origin]
            await downstream.until(DOCUMENT, "head")


async def test_tasks_are_done() -> None:
    """A session that ended leaves no task."""
    async with serving(outside=Timing) as served:
        before = asyncio.all_tasks()
        page = served.page("/puppet")
        endpoint = await served.play(page)
        async with page.stream() as downstream:
            await downstream.until(DOCUMENT, "head")
        endpoint.leave()
        await page.client.aclose()
        await served.eventually(
            lambda: len(asyncio.all_tasks() - before) == 0,
            "the tasks ended",
        )
