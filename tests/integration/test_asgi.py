"""The middleware's face: how it is put in place, and what an application sees behind it."""

from __future__ import annotations

import asyncio
import inspect
import signal
import subprocess
import sys
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import connect
from websockets.typing import Origin, Subprotocol

with warnings.catch_warnings():
    # Starlette's client would rather have another httpx below it.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

import emulation
from emulation import Config, WebSocketEmulation
from emulation.testing import serve
from tests.session.stage import serving, unharmed
from tests.session.wire import TIMEOUT, Page, drawn, section, text

pytestmark = pytest.mark.integration


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for message in websocket.iter_text():
        await websocket.send_text(message)


async def hello(request: object) -> PlainTextResponse:
    return PlainTextResponse("hello")


ROUTES = [WebSocketRoute("/echo", echo), Route("/hello", hello)]


@asynccontextmanager
async def a_page(app: Any, path: str = "/echo", **options: Any) -> AsyncIterator[Page]:
    """Serve an application, and give a page on it."""
    with unharmed():
        async with (
            serve(app) as url,
            httpx.AsyncClient(trust_env=False, timeout=TIMEOUT) as client,
        ):
            yield Page(client, url, path, **options)


async def assert_echo(page: Page) -> None:
    await page.opened()
    async with page.stream() as downstream:
        await page.upload(section(1, 0, 1), text("there and back"))
        await downstream.until_text("there and back")


# --- In its place ---------------------------------------------------------------------------------


def test_signature() -> None:
    parameters = inspect.signature(WebSocketEmulation).parameters
    assert list(parameters) == ["app", "origins", "config"]
    assert parameters["origins"].kind is parameters["config"].kind is inspect.Parameter.KEYWORD_ONLY
    assert WebSocketEmulation(Starlette()).config == Config()
    assert set(emulation.__all__) >= {"Config", "WebSocketEmulation"}
    senseless: Any
    for senseless in ({}, "x", Config):
        with pytest.raises(TypeError, match=r"must be an emulation\.Config"):
            WebSocketEmulation(Starlette(), config=senseless)


def test_without_asyncio() -> None:
    """What runs in another event loop says so, instead of a traceback of somebody else's."""
    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    call = WebSocketEmulation(Starlette())(
        {**scope, "query_string": f"emulation=open.{drawn()}".encode()},
        None,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
    )
    with pytest.raises(RuntimeError, match="needs an event loop of asyncio"):
        call.send(None)


@pytest.mark.parametrize("framework", [Starlette, FastAPI])
async def test_added_as_a_middleware(framework: Any) -> None:
    app = framework(routes=ROUTES)
    app.add_middleware(
        WebSocketEmulation, config=Config(heartbeat=20), origins=["https://a.example"]
    )
    async with a_page(app) as page:
        await assert_echo(page)
        assert (await page.client.get(f"{page.base}/hello")).text == "hello"


async def test_as_a_wrapper() -> None:
    async with a_page(WebSocketEmulation(Starlette(routes=ROUTES))) as page:
        await assert_echo(page)


@pytest.mark.parametrize("path", ["/mounted", "/deep/er/mounted"])
async def test_mounted(path: str) -> None:
    inner = WebSocketEmulation(Starlette(routes=ROUTES))
    async with a_page(Starlette(routes=[Mount(path, inner)]), f"{path}/echo") as page:
        await assert_echo(page)
        assert (await page.client.get(f"{page.base}{path}/hello")).text == "hello"


async def test_around_a_mount() -> None:
    app = Starlette(routes=[Mount("/mounted", Starlette(routes=ROUTES))])
    app.add_middleware(WebSocketEmulation)
    async with a_page(app, "/mounted/echo") as page:
        await assert_echo(page)


async def test_without_lifespan() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket", "only that"
        await echo(WebSocket(scope, receive, send))

    async with a_page(WebSocketEmulation(application)) as page:
        await assert_echo(page)


async def test_with_lifespan() -> None:
    events = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, str]]:
        events.append("up")
        yield {"from": "lifespan"}
        events.append("down")

    async def state(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(websocket.state._state["from"])
        await websocket.receive()

    app = Starlette(routes=[WebSocketRoute("/echo", state)], lifespan=lifespan)
    app.add_middleware(WebSocketEmulation)
    for _ in range(2):  # the same application, served again
        async with a_page(app) as page:
            await page.opened()
            async with page.stream() as downstream:
                await downstream.until_text("lifespan")
    assert events == ["up", "down"] * 2


async def test_nothing_runs_before_the_first_request() -> None:
    app = Starlette(routes=ROUTES)
    middleware = WebSocketEmulation(app)
    async with a_page(middleware) as page:
        before = asyncio.all_tasks()
        handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
        assert (await page.client.get(f"{page.base}/hello")).text == "hello"
        assert (await page.client.get(f"{page.base}/hello?emulation=x")).text == "hello"
        assert not asyncio.all_tasks() - before - connections()
        assert handlers == (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))
        assert middleware._registry is None


def connections() -> set[asyncio.Task[Any]]:
    """Return the server's own tasks for requests that are just ending."""
    return {task for task in asyncio.all_tasks() if "run_asgi" in repr(task)}


def test_import_touches_nothing() -> None:
    """Neither the server nor the loop is patched by who imports the package."""
    program = (
        "import sys, emulation; "
        "assert not {'uvicorn', 'sse_starlette', 'websockets'} & set(sys.modules), sys.modules; "
        "emulation.WebSocketEmulation(print)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=TIMEOUT)


async def test_two_of_them_in_one_process() -> None:
    first = WebSocketEmulation(Starlette(routes=ROUTES))
    second = WebSocketEmulation(Starlette(routes=ROUTES))
    async with a_page(first) as one, a_page(second) as two:
        await assert_echo(one)
        await assert_echo(two)
        two.key, two.secret = one.key, one.secret
        assert (await two.upload(section(1))).status in (404, 421)


async def test_an_object_of_another_type_of_scope_passes() -> None:
    seen = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    await WebSocketEmulation(application)({"type": "future"}, None, None)  # type: ignore[arg-type]
    assert seen == ["future"]


# --- Starlette's own client -----------------------------------------------------------------------


def test_testclient_is_unchanged() -> None:
    app = Starlette(routes=ROUTES)
    app.add_middleware(WebSocketEmulation)
    for client in (TestClient(app), TestClient(app, base_url="http://localhost:8000")):
        with client.websocket_connect("/echo?a=1", subprotocols=["x"]) as websocket:
            websocket.send_text("hello")
            assert websocket.receive_text() == "hello"
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/nowhere"):
            pass
        assert client.get("/hello").text == "hello"
    with TestClient(app) as client:  # with lifespan
        with client.websocket_connect("/echo") as websocket:
            websocket.send_text("again")
            assert websocket.receive_text() == "again"


def test_testclient_with_our_requests() -> None:
    """The client runs each request in a loop of its own: an open still has its answer."""
    app = Starlette(routes=ROUTES)
    app.add_middleware(WebSocketEmulation)
    with TestClient(app) as client:
        headers = {"content-type": "application/json"}
        key, nonce = drawn(), drawn()
        answer = client.post(
            f"/echo?emulation=open.{key}",
            content=f'[["head",1,"",1,""],["open",1,"{nonce}",[],""]]\n',
            headers=headers,
        )
        assert answer.status_code == 200 and '"opened",1' in answer.text
        secret = answer.text.split('"secret","')[1][:32]
        answer = client.post(
            f"/echo?emulation=send.{key}",
            content=f'[["head",1,"{secret}",1,""],["section",1,0,1],"x"]\n',
            headers=headers,
        )
        assert '["section",1,1,0]' in answer.text


# --- The scope ------------------------------------------------------------------------------------

# What a handshake has and a request has not, or the reverse: a browser's, not the application's.
OWN = {
    b"accept-encoding",
    b"connection",
    b"content-length",
    b"content-type",
    b"sec-websocket-extensions",
    b"sec-websocket-key",
    b"sec-websocket-version",
    b"upgrade",
    b"user-agent",
    b"origin",
}
HEADERS = [
    ("cookie", "a=1; b=%E9"),
    ("x-twice", "first"),
    ("x-twice", "second"),
    ("authorization", "Bearer x"),
    ("x-forwarded-for", "10.0.0.1"),
]
# What a browser says of a request, and of no handshake.
FETCH_HEADERS = [
    ("accept", "*/*"),
    ("priority", "u=1, i"),
    ("referer", "http://127.0.0.1/page?token=x"),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-fetch-dest", "empty"),
    ("sec-fetch-mode", "cors"),
    ("sec-fetch-site", "same-origin"),
]
PATHS = {
    "plain": "/echo",
    "escaped": "/echo/%C3%A9%20%2F%2e",
}


@pytest.mark.parametrize("query", ["", "a=1", "a=%41&b=%zz&&c&emulation=x", "a=%F0%9F%98%80&a=2"])
@pytest.mark.parametrize("path", PATHS)
async def test_scope_is_that_of_a_native_handshake(path: str, query: str) -> None:
    scopes: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            scopes.append(scope)
            await receive()
            await send({"type": "websocket.accept", "subprotocol": "chat.v2"})
            await receive()

    async with a_page(WebSocketEmulation(application), PATHS[path], query=query) as page:
        async with connect(
            f"{page.base}{PATHS[path]}{'?' if query else ''}{query}".replace("http", "ws", 1),
            subprotocols=[Subprotocol("chat.v2"), Subprotocol("chat.v1")],
            additional_headers=HEADERS,
            origin=Origin(page.base),
            proxy=None,
        ):
            pass
        page.client.headers = httpx.Headers()
        own = [*page.headers.items(), ("content-type", "application/json")]
        body_headers = [*HEADERS, *own, *FETCH_HEADERS]
        await open_with(page, body_headers)
        await open_natively(page)

    native, http, upgraded = scopes
    for emulated in (http, upgraded):
        for name in ("type", "path", "raw_path", "query_string", "root_path", "scheme", "server"):
            assert emulated[name] == native[name], name
        assert emulated["subprotocols"] == native["subprotocols"] == ["chat.v2", "chat.v1"]
        assert emulated["client"][0] == native["client"][0]
        assert emulated["http_version"] == native["http_version"]
        assert emulated["asgi"]["version"] == native["asgi"]["version"]
        assert "websocket.http.response" in emulated["extensions"]
        assert emulated["extensions"]["emulation"]["transport"] in ("stream", "websocket")
        assert "method" not in emulated
        assert set(native) - set(emulated) == set(), "something is missing"
        headers = dict(emulated["headers"])
        assert headers[b"connection"].lower() == b"upgrade"
        assert headers[b"upgrade"] == b"websocket"
        assert headers[b"sec-websocket-version"] == b"13"
        assert len(headers[b"sec-websocket-key"]) == 24
        assert headers[b"origin"] == page.base.encode()
        assert headers[b"sec-websocket-protocol"].replace(b" ", b"") == b"chat.v2,chat.v1"
        assert b"content-type" not in headers and b"content-length" not in headers
        assert foreign(emulated) == foreign(native)


def foreign(scope: Any) -> list[tuple[bytes, bytes]]:
    return [
        (name, value.replace(b", ", b",") if name == b"sec-websocket-protocol" else value)
        for name, value in sorted(scope["headers"])
        if name not in OWN
    ]


async def open_with(page: Page, headers: list[tuple[str, str]]) -> None:
    body = f'[["head",1,"",1,""],["open",1,"{drawn()}",["chat.v2","chat.v1"],"stream"]]\n'
    marker = f"emulation=open.{page.key}"
    url = f"{page.base}{page.path}?{page.query}{'&' if page.query else ''}{marker}"
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    response = await page.client.post(url, content=body, headers=encoded)
    assert response.status_code == 200, response.content


async def open_natively(page: Page) -> None:
    marker = f"emulation=ws.{drawn()}"
    url = f"{page.base}{page.path}?{page.query}{'&' if page.query else ''}{marker}"
    async with connect(
        url.replace("http", "ws", 1),
        subprotocols=[
            Subprotocol(f"emulation.{drawn()}"),
            Subprotocol("chat.v2"),
            Subprotocol("chat.v1"),
        ],
        additional_headers=HEADERS,
        origin=Origin(page.base),
        proxy=None,
    ) as native:
        with anyio.fail_after(TIMEOUT):
            assert "secret" in str(await native.recv())


async def test_root_path() -> None:
    async with serving(outside=under_a_root) as served:
        page = served.page("/root/echo")
        await page.opened()
        [scope] = served.stage.scopes
        assert scope["root_path"] == "/root"
        assert scope["path"] == "/root/echo"


def under_a_root(app: Any) -> Any:
    """Do what a server does that is told its root_path."""

    async def rooted(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "root_path": "/root"}, receive, send)

    return rooted


@pytest.mark.parametrize(("scheme", "expected"), [("http", "ws"), ("https", "wss")])
async def test_scheme(scheme: str, expected: str) -> None:
    def proxied(app: Any) -> Any:
        async def scheming(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                scope = {**scope, "scheme": scheme}
            await app(scope, receive, send)

        return scheming

    async with serving(outside=proxied) as served:
        page = served.page(headers={"origin": served.url, "sec-fetch-site": "same-origin"})
        await page.opened()
        assert served.stage.scopes[0]["scheme"] == expected


async def test_the_application_may_change_its_scope() -> None:
    """What one start writes into its scope is no other's."""
    async with serving() as served:
        page = served.page()
        await page.opened(1)
        await page.opened(2)
        first, second = served.stage.scopes
        first["state"] = first.get("state", {})
        first["headers"].append((b"x", b"y"))
        assert (b"x", b"y") not in second["headers"]


def test_many_loops_wrap_the_signals_once() -> None:
    app = WebSocketEmulation(Starlette(routes=ROUTES))
    # Another test of this process may have left a handler of its own.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    async def ask() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            page = Page(client, "http://127.0.0.1")
            await page.opened()
            await page.upload(section(1))
            app.go_down()

    try:
        for _ in range(5):
            asyncio.run(ask())
        first = signal.getsignal(signal.SIGINT)
        asyncio.run(ask())
        assert signal.getsignal(signal.SIGINT) is first
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
