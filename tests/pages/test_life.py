"""The life of a page in Chromium: frames, popups, navigation, workers; native as the control."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from playwright.async_api import Browser, Page

from tests.support import recorded
from tests.support.browser import chromium, new_page
from tests.support.client import NATIVE
from tests.support.servers import Servers

pytestmark = [pytest.mark.browser, pytest.mark.integration]

BARE = "tests.apps.pages_app:app"
EMULATED = "tests.apps.emulated.pages_app:app"
TIMEOUT = 60
FULL = pytest.mark.full
HTTP = ["stream", pytest.param("sse", marks=FULL), "poll"]
EACH = [NATIVE, pytest.param("websocket", marks=FULL), *HTTP]


@asynccontextmanager
async def opened(
    servers: Servers, browser: Browser, transport: str, path: str = "/files/frame.html"
) -> AsyncIterator[tuple[Page, str]]:
    """Yield a page whose sockets go by `transport`, and the base URL of its server."""
    is_native = transport == NATIVE
    url = servers.get(BARE if is_native else EMULATED).url
    missing = () if transport in (NATIVE, "websocket") else ("WebSocket",)
    transports = None if is_native else [transport]
    with anyio.fail_after(TIMEOUT):
        async with new_page(browser, missing=missing, transports=transports) as page:
            await page.goto(url + path)
            yield page, url


async def left(url: str, token: str) -> list[int]:
    """Return the codes with which the sockets with this token ended in the application."""
    return [end["code"] for end in await recorded.disconnects(url, token)]


FRAME = """async () => {
    self.frame = document.createElement("iframe");
    frame.src = "/files/frame.html";
    document.body.append(frame);
    await once(frame, "load");
}"""


@pytest.mark.parametrize("transport", EACH)
async def test_removed_frame_ends_its_sockets(
    servers: Servers, browser: Browser, transport: str
) -> None:
    token = secrets.token_hex(8)
    async with opened(servers, browser, transport) as (page, url):
        await page.evaluate(FRAME)
        heard = await page.evaluate(
            """async (token) => {
                self.events = [];
                self.own = await connect("/echo", "own" + token);
                self.socket = await frame.contentWindow.connect("/echo", token);
                socket.onclose = socket.onerror = (event) => events.push(event.type);
                const text = await frame.contentWindow.echo(socket, "in the frame");
                frame.remove();
                return text;
            }""",
            token,
        )
        assert heard == "in the frame"
        assert await left(url, f"{token}") == [1001]
        # The page goes on, and hears nothing of what has gone with its document.
        assert await page.evaluate("echo(own, 'still here')") == "still here"
        assert await page.evaluate("events") == []


@pytest.mark.parametrize("transport", EACH)
async def test_frame_is_removed_in_a_handler(
    servers: Servers, browser: Browser, transport: str
) -> None:
    token = secrets.token_hex(8)
    async with opened(servers, browser, transport) as (page, url):
        failures: list[str] = []
        page.on("pageerror", lambda error: failures.append(str(error)))
        await page.evaluate(FRAME)
        seen = await page.evaluate(
            """async (token) => {
                self.own = await connect("/echo", "own" + token);
                const socket = await frame.contentWindow.connect("/echo", token);
                const seen = [];
                const removed = new Promise((resolve) => {
                    socket.onmessage = ({ data }) => {
                        seen.push(data);
                        frame.remove();
                        resolve();
                    };
                });
                for (const text of ["1", "2", "3"]) socket.send(text);
                await removed;
                await echo(own, "later");
                return seen;
            }""",
            token,
        )
        assert seen == ["1"]
        # Chromium's native socket says one or the other.
        assert await left(url, token) in ([1001], [1005])
        assert not failures


@pytest.mark.parametrize("transport", EACH)
async def test_closed_popup_ends_its_sockets(
    servers: Servers, browser: Browser, transport: str
) -> None:
    token = secrets.token_hex(8)
    async with opened(servers, browser, transport) as (page, url):
        async with page.expect_popup() as expected:
            await page.evaluate("{ self.popup = window.open('/files/frame.html'); }")
        popup = await expected.value
        await popup.wait_for_load_state()
        await popup.evaluate("async (t) => { self.socket = await connect('/echo', t); }", token)
        assert await popup.evaluate("echo(socket, 'in the popup')") == "in the popup"
        await page.evaluate("popup.close()")
        assert await left(url, token) == [1001]


@pytest.mark.parametrize("transport", EACH)
async def test_server_sees_a_navigation(servers: Servers, browser: Browser, transport: str) -> None:
    token = secrets.token_hex(8)
    async with opened(servers, browser, transport) as (page, url):
        for event in ("pagehide", "visibilitychange"):
            await page.evaluate(f"{{ addEventListener('{event}', () => socket.send('last')); }}")
        await page.evaluate("async (t) => { self.socket = await connect('/sink', t); }", token)
        # What is sent last still arrives.
        await page.evaluate("{ socket.send('farewell'); location.href = '/files/blank.html'; }")
        await page.wait_for_url("**/blank.html")
        [end] = await recorded.disconnects(url, token)
        assert (end["code"], end["received"]) == (1001, 3)


LEAVE_WITH_WORDS = """async (token) => {
    addEventListener("pagehide", () => socket.send("last words"));
    addEventListener("visibilitychange", () => {
        socket.send("the very last");
        socket.close(4001);
    });
    self.socket = await connect("/sink", token);
    // Not before Playwright has the answer.
    setTimeout(() => {
        socket.send("farewell");
        location.href = "/files/blank.html";
    });
}"""


@pytest.mark.parametrize("transport", EACH)
async def test_what_a_page_in_the_cache_has_said_arrives(servers: Servers, transport: str) -> None:
    """Although nothing of it runs any more."""
    token = secrets.token_hex(8)
    async with chromium(without=["--disable-back-forward-cache"]) as browser:
        async with opened(servers, browser, transport) as (page, url):
            await page.evaluate(LEAVE_WITH_WORDS, token)
            await page.wait_for_url("**/blank.html")
            [end] = await recorded.disconnects(url, token)
            assert (end["code"], end["received"]) == (4001, 3)


@pytest.mark.parametrize("transport", HTTP)
async def test_page_that_is_kept_goes_on(
    servers: Servers, browser: Browser, transport: str
) -> None:
    """As `pagehide` and `pageshow` tell it, whatever the engine keeps."""
    token = secrets.token_hex(8)
    async with opened(servers, browser, transport) as (page, url):
        await page.evaluate("async (t) => { self.socket = await connect('/echo', t); }", token)
        for type in ("pagehide", "pageshow"):
            event = f"new PageTransitionEvent('{type}', {{ persisted: true }})"
            await page.evaluate(f"{{ dispatchEvent({event}); }}")
        assert await page.evaluate("echo(socket, 'again')") == "again"
        assert len(await recorded.starts(url, token)) == 1


LEAVE_AND_COME_BACK = """async (token) => {
    self.socket = await connect("/echo", token);
    await echo(socket, "before");
    addEventListener("pageshow", async () => {
        const shown = await Promise.race([echo(socket, "after"), socket.ended]);
        localStorage.setItem("shown", JSON.stringify(shown));
    });
    localStorage.setItem("left", "");
    // Not before Playwright has the answer.
    setTimeout(() => { location.href = "/files/blank.html"; });
}"""
SAY_ANEW = """
if (location.pathname === "/files/frame.html" && localStorage.getItem("left") !== null) {
    localStorage.setItem("shown", '"anew"');
}
"""


@pytest.mark.parametrize("transport", HTTP)
async def test_page_comes_back_from_the_cache(servers: Servers, transport: str) -> None:
    """Where the browser keeps a page that is left, its session goes on, or has ended honestly."""
    token = secrets.token_hex(8)
    async with chromium(without=["--disable-back-forward-cache"]) as browser:
        async with opened(servers, browser, transport) as (page, url):
            await page.context.add_init_script(SAY_ANEW)
            other = await page.context.new_page()
            await other.goto(f"{url}/files/blank.html")
            await page.evaluate(LEAVE_AND_COME_BACK, token)
            await page.wait_for_url("**/blank.html")
            await page.evaluate("{ setTimeout(() => history.back()); }")
            # Playwright loses sight of a page that comes from the cache.
            await other.wait_for_function("localStorage.getItem('shown')", polling=50)
            shown = await other.evaluate("JSON.parse(localStorage.getItem('shown'))")
            assert shown in ("after", [1006, False], "anew")
            if shown == "anew":
                assert await left(url, token) == [1001]


WORKER = """async ([kind, transport, token]) => {
    const query = `?transport=${transport}&token=${token}`;
    if (kind === "shared") {
        const { port } = new SharedWorker(`/files/worker.js${query}`);
        port.start();
        return (await once(port, "message")).data;
    }
    if (kind === "service") {
        const container = navigator.serviceWorker;
        await container.register(`/files/worker.js${query}`);
        const { active } = await container.ready;
        active.postMessage("go");
        return (await once(container, "message")).data;
    }
    const worker = kind === "module"
        ? new Worker(`/files/worker.mjs${query}&module`, { type: "module" })
        : new Worker(`/files/worker.js${query}`);
    worker.postMessage("go");
    return (await once(worker, "message")).data;
}"""


@pytest.mark.parametrize("transport", [NATIVE, *HTTP])
@pytest.mark.parametrize("kind", ["dedicated", "module", "shared", "service"])
async def test_workers(servers: Servers, browser: Browser, kind: str, transport: str) -> None:
    if (kind, transport) in (("module", NATIVE), ("service", "sse")):
        pytest.skip("The module is the shim's own; Chromium's service workers lack EventSource.")
    token = secrets.token_hex(8)
    async with opened(servers, browser, transport) as (page, url):
        result = await page.evaluate(WORKER, [kind, transport, token])
        assert result == ["[object WebSocket]", [4000, True]]
        [start] = await recorded.starts(url, token)
        assert start["transport"] == (None if transport == NATIVE else transport)


BUILDS_ANEW = """async (token) => {
    const failed = [];
    const container = navigator.serviceWorker;
    container.onmessage = ({ data }) => failed.push(data);
    const isControlled = once(container, "controllerchange");
    await container.register("/files/anew.js");
    await isControlled;
    const socket = await connect("/echo", token);
    for (let i = 0; i < 5; i++) await echo(socket, `text ${i}`);
    socket.close(4000);
    return [failed, await socket.ended];
}"""


@pytest.mark.parametrize("transport", HTTP)
async def test_service_worker_builds_every_answer_anew(
    servers: Servers, browser: Browser, transport: str
) -> None:
    """A 204 has a body there, with which none can be made: what comes next is asked otherwise."""
    token = secrets.token_hex(8)
    async with opened(servers, browser, transport) as (page, url):
        assert await page.evaluate(BUILDS_ANEW, token) == [[204], [4000, True]]
        [end] = await recorded.disconnects(url, token)
        assert (end["code"], end["received"]) == (4000, 5)


TERMINATED = """async ([settings, url]) => {
    const code = `
        self.WebSocketEmulation = ${JSON.stringify(settings)};
        importScripts("${location.origin}/emulation.js");
        new WebSocket("${url}").onopen = () => postMessage("open");`;
    const worker = new Worker(URL.createObjectURL(new Blob([code])));
    await new Promise((resolve) => { worker.onmessage = resolve; });
    worker.terminate();
}"""


@pytest.mark.parametrize("transport", ["websocket", *HTTP])
async def test_terminated_worker_says_nothing(
    servers: Servers, browser: Browser, transport: str
) -> None:
    """Nothing runs in it any more: its session is waited for until `resume_time` is over."""
    url = servers.get("tests.hostile.app:brief").url
    token = secrets.token_hex(8)
    with anyio.fail_after(TIMEOUT):
        async with new_page(browser) as page:
            await page.goto(url)
            address = url.replace("http", "ws") + f"/echo?token={token}"
            await page.evaluate(TERMINATED, [{"transports": [transport]}, address])
            assert await left(url, token) == [1006]


@pytest.mark.parametrize("transport", [NATIVE, "stream"])
async def test_two_realms(servers: Servers, browser: Browser, transport: str) -> None:
    """A socket is of the realm of its class; values and handlers may be of another."""
    token = secrets.token_hex(8)
    async with opened(servers, browser, transport) as (page, _):
        await page.evaluate(FRAME)
        result = await page.evaluate(
            """async (token) => {
                const other = frame.contentWindow;
                const socket = await other.connect("/echo", token);
                socket.send(new Uint8Array([1, 2]).buffer);
                socket.send(new other.Uint8Array([3]));
                socket.send(new Blob(["x"]));
                let self_ = null;
                let event = null;
                await new Promise((resolve) => {
                    socket.onmessage = function (message) {
                        self_ = this;
                        event = message;
                        if (socket.heard.length === 3) resolve();
                    };
                });
                return {
                    isOwn: [socket instanceof WebSocket, socket instanceof other.WebSocket],
                    isEvent: [event instanceof MessageEvent, event instanceof other.MessageEvent],
                    isBuffer: [
                        event.data instanceof ArrayBuffer,
                        event.data instanceof other.ArrayBuffer,
                    ],
                    bytes: socket.heard.map((buffer) => [...new Uint8Array(buffer)]),
                    isThis: self_ === socket,
                    isTarget: event.target === socket,
                };
            }""",
            token,
        )
        assert result == {
            "isOwn": [False, True],
            "isEvent": [False, True],
            "isBuffer": [False, True],
            "bytes": [[1, 2], [3], [120]],
            "isThis": True,
            "isTarget": True,
        }


@pytest.mark.parametrize("transport", EACH)
async def test_messages_flow_in_a_hidden_tab(
    servers: Servers, browser: Browser, transport: str
) -> None:
    token = secrets.token_hex(8)
    async with opened(servers, browser, transport) as (page, _):
        await page.evaluate(
            "async (t) => { self.socket = await connect('/never-receives', t); }", token
        )
        # Headless Chromium has no hidden tabs: the page is told so, and nothing paints it.
        await page.evaluate(
            """() => {
                Object.defineProperty(document, "hidden", { value: true });
                Object.defineProperty(document, "visibilityState", { value: "hidden" });
                document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
            }"""
        )
        heard = await page.evaluate("socket.heard.length")
        # The server sends twenty a second.
        expected = "(count) => socket.heard.length >= count"
        await page.wait_for_function(expected, arg=heard + 40, polling=50)


@pytest.mark.parametrize("transport", HTTP)
async def test_sockets_that_are_opened_at_once_work(
    servers: Servers, browser: Browser, transport: str
) -> None:
    token = secrets.token_hex(8)
    async with opened(servers, browser, transport) as (page, url):
        result: dict[str, Any] = await page.evaluate(
            """async (token) => {
                const opening = Array.from({ length: 25 }, () => connect("/echo", token));
                const sockets = await Promise.all(opening);
                const texts = sockets.map((socket, i) => echo(socket, `text ${i}`));
                const page = await fetch("/files/blank.html");
                return { status: page.status, texts: await Promise.all(texts) };
            }""",
            token,
        )
        assert result == {"status": 200, "texts": [f"text {i}" for i in range(25)]}
        assert len(await recorded.starts(url, token)) == 25


@pytest.mark.parametrize(
    "transport",
    [NATIVE, pytest.param("stream", marks=FULL), "poll"],
)
@pytest.mark.parametrize(
    "path",
    # An `open` over HTTP is answered after a second, decided or not.
    ["/handshakes", "/handshakes/{i}", "/handshakes?seconds=1.2"],
    ids=["one path", "paths", "slow"],
)
async def test_handshakes_go_one_after_another(
    servers: Servers, browser: Browser, path: str, transport: str
) -> None:
    """No two connections to a host are being established (RFC 6455 section 4.1)."""
    token = secrets.token_hex(8)
    async with opened(servers, browser, transport) as (page, _):
        peaks = await page.evaluate(
            """async ([path, token]) => {
                const opening = [];
                for (let i = 0; i < 5; i++) opening.push(connect(path.replace("{i}", i), token));
                const sockets = await Promise.all(opening);
                for (const socket of sockets) {
                    while (!socket.heard.length) await once(socket, "message");
                }
                return sockets.map((socket) => socket.heard[0]);
            }""",
            [path, token],
        )
        assert peaks == ["1"] * 5
