"""Where the shim acts and where it leaves the native class alone, in Chromium."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import anyio
import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, Route

from tests.support import recorded
from tests.support.browser import new_page
from tests.support.servers import ROOT, Servers

pytestmark = [pytest.mark.browser, pytest.mark.integration]

BARE = "tests.apps.pages_app:app"
EMULATED = "tests.apps.emulated.pages_app:app"
SCRIPT = ROOT / "emulation" / "static" / "emulation.js"
TIMEOUT = 60

# A socket is ours where the server says that it is emulated; in the page all are of one class.
SOCKET = """async ([url, token]) => {
    const socket = new WebSocket(`${url}?token=${token}`);
    const { type } = await Promise.race([once(socket, "open"), once(socket, "close")]);
    return [type, socket instanceof WebSocket, socket.constructor === WebSocket];
}"""
OPEN = ["open", True, True]


async def load(page: Page, url: str, head: str) -> None:
    """Show a document of the server's origin with this in its head."""
    await page.goto(f"{url}/written?{urlencode({'head': head})}")


async def socket(page: Page, url: str, path: str = "/echo") -> tuple[list[Any], str | None]:
    """Open a socket: what the page sees, and the transport that the server saw."""
    token = secrets.token_hex(8)
    seen = await page.evaluate(SOCKET, [url.replace("http", "ws") + path, token])
    [start] = await recorded.starts(url, token)
    return seen, start["transport"]


HEADS = {
    "classic": "<script src='/emulation.js'></script>",
    "async": "<script async src='/emulation.js'></script>",
    "deferred": "<script defer src='/emulation.js'></script>",
    "module": "<script type=module src='/emulation.js'></script>",
    "imported": "<script type=module>import '/emulation.js'</script>",
    "twice": "<script src='/emulation.js'></script>" * 2,
    "module behind others": (
        "<script type=module src='/emulation.js'></script>"
        "<script src='data:text/javascript,0'></script>"
    ),
}


@pytest.mark.parametrize("head", HEADS)
async def test_script_is_loaded_in_any_way(servers: Servers, browser: Browser, head: str) -> None:
    url = servers.get(EMULATED).url
    with anyio.fail_after(TIMEOUT):
        async with new_page(browser, transports=["poll"]) as page:
            await load(page, url, HEADS[head])
            assert await socket(page, url) == (OPEN, "poll")
            native = "(/\\[native code]/).test(Function.prototype.toString.call({}))"
            assert await page.evaluate(native.format("WebSocketEmulation.native"))


async def test_settings_stand_at_a_module_script(servers: Servers, browser: Browser) -> None:
    url = servers.get(EMULATED).url
    head = "<script type=module src='/emulation.js' data-transports='poll'></script>"
    with anyio.fail_after(TIMEOUT):
        async with new_page(browser) as page:
            await load(page, url, head)
            assert await socket(page, url) == (OPEN, "poll")


async def test_of_two_versions_the_first_stays(servers: Servers, browser: Browser) -> None:
    url = servers.get(EMULATED).url
    code = SCRIPT.read_text()
    version = code.split('.version="')[1].split('"')[0]
    older = code.replace(f'"{version}"', '"0.0.1"')
    assert older != code
    with anyio.fail_after(TIMEOUT):
        async with new_page(browser, transports=["poll"]) as page:

            async def answer(route: Route) -> None:
                await route.fulfill(body=older, content_type="text/javascript")

            await page.route("**/older/emulation.js", answer)
            head = f"<script src='{url}/older/emulation.js' data-x></script>{HEADS['classic']}"
            await load(page, url, head)
            assert await page.evaluate("WebSocketEmulation.version") == "0.0.1"
            # The older one was served from another directory.
            assert await socket(page, url) == (OPEN, None)
            await load(page, url, HEADS["twice"] + head)
            assert await page.evaluate("WebSocketEmulation.version") == version
            assert await socket(page, url) == (OPEN, "poll")


async def test_sockets_of_others_are_native(servers: Servers, browser: Browser) -> None:
    url = servers.get(EMULATED).url
    other = servers.get(BARE).url
    with anyio.fail_after(TIMEOUT):
        async with new_page(browser, transports=["poll"]) as page:
            requests: list[str] = []
            page.on("request", lambda request: requests.append(request.url))
            await load(page, url, HEADS["classic"])
            assert await socket(page, other) == (OPEN, None)
            assert not [address for address in requests if address.startswith(other)]


# Counts the messages that pass what a page has put into the prototype.
WRAPPED = """async (urls) => {
    const { send } = WebSocket.prototype;
    const { set, ...more } = Object.getOwnPropertyDescriptor(WebSocket.prototype, "onmessage");
    const seen = [];
    WebSocket.prototype.send = function (data) {
        seen.push(data);
        return send.call(this, data);
    };
    const observed = (value) => function (event) {
        seen.push(`got ${event.data}`);
        return value.call(this, event);
    };
    Object.defineProperty(WebSocket.prototype, "onmessage", {
        ...more,
        set(value) {
            set.call(this, value && observed(value));
        },
    });
    for (const url of urls) {
        const socket = new WebSocket(url);
        await once(socket, "open");
        await new Promise((resolve) => {
            socket.onmessage = resolve;
            socket.send(url);
        });
        socket.close();
    }
    return seen;
}"""


@pytest.mark.parametrize("transport", ["websocket", "stream", "poll"])
async def test_what_a_page_puts_into_the_prototype_meets_all_messages_and_no_frames(
    servers: Servers, browser: Browser, transport: str
) -> None:
    url = servers.get(EMULATED).url
    urls = [f"{one}/echo".replace("http", "ws") for one in (url, servers.get(BARE).url)]
    with anyio.fail_after(TIMEOUT):
        async with new_page(browser, transports=[transport]) as page:
            await load(page, url, HEADS["classic"])
            seen = await page.evaluate(WRAPPED, urls)
            assert seen == [f"{got}{one}" for one in urls for got in ("", "got ")]


async def test_listed_origin_is_emulated(servers: Servers, browser: Browser) -> None:
    page_url = servers.get(BARE).url
    url = servers.get("tests.apps.emulated.sharing_app:app").url
    head = f"<script src='{url}/emulation.js' data-origins='{page_url}={url}'></script>"
    with anyio.fail_after(TIMEOUT):
        async with new_page(browser, transports=["poll"]) as page:
            await load(page, page_url, head)
            async with page.expect_request(lambda request: f"{url}/echo?" in request.url):
                await page.evaluate("(url) => { new WebSocket(url); }", f"{page_url}/echo")


async def test_server_without_the_emulation_gets_a_plain_socket(
    servers: Servers, browser: Browser
) -> None:
    """The script of a release that was rolled back may still be in a page."""
    url = servers.get(BARE).url
    with anyio.fail_after(TIMEOUT):
        async with new_page(browser) as page:

            async def answer(route: Route) -> None:
                await route.fulfill(path=SCRIPT, content_type="text/javascript")

            await page.route("**/emulation.js", answer)
            await load(page, url, HEADS["classic"])
            token = secrets.token_hex(8)
            text = await page.evaluate(
                "async (token) => echo(await connect('/echo', token), 'plain')", token
            )
            assert text == "plain"
            assert {start["transport"] for start in await recorded.starts(url, token)} == {None}


async def test_page_is_told_of_the_transport_and_the_console_only_when_asked(
    servers: Servers, browser: Browser
) -> None:
    url = servers.get(EMULATED).url
    told = """async () => {
        const socket = new WebSocket(`${base}/echo`);
        const { detail } = await once(socket, "emulation:transport");
        await (socket.readyState || once(socket, "open"));
        return [detail.transport, detail.previous, typeof detail.reason];
    }"""
    with anyio.fail_after(TIMEOUT):
        async with new_page(browser, transports=["poll"]) as page:
            lines: list[str] = []
            page.on("console", lambda message: lines.append(message.text))
            await load(page, url, HEADS["classic"])
            assert await page.evaluate(told) == ["poll", "", "string"]
            assert lines == []
            await page.evaluate("{ WebSocketEmulation.debug = true; }")
            await page.evaluate(told)
            assert any(line.startswith("emulation: ") and " poll" in line for line in lines)
            lines.clear()
            await load(page, url, "<script src='/emulation.js' data-debug></script>")
            await page.evaluate(told)
            assert any(line.startswith("emulation: ") for line in lines)


async def test_console_names_the_directive_that_forbids(servers: Servers, browser: Browser) -> None:
    url = servers.get(EMULATED).url
    head = "<meta http-equiv=Content-Security-Policy content=\"connect-src 'none'\">"
    with anyio.fail_after(TIMEOUT):
        async with new_page(browser) as page:
            lines: list[str] = []
            page.on("console", lambda message: lines.append(message.text))
            await load(page, url, f"{head}<script src='/emulation.js' data-debug></script>")
            code = await page.evaluate(
                """async () => {
                    // Another's request, of which the console says nothing.
                    fetch("/files/blank.html").catch(() => {});
                    return (await once(new WebSocket(`${base}/echo`), "close")).code;
                }"""
            )
            assert code == 1006
            said = {line for line in lines if " connect-src refused " in line}
            refused = f"emulation: {url}/echo: connect-src refused "
            # The query may hold a token.
            assert said == {f"{refused}{url}/echo", f"{refused}{url.replace('http', 'ws')}/echo"}


async def test_directive_that_forbids_is_heard_of_without_another_transport(
    servers: Servers, browser: Browser
) -> None:
    head = "<meta http-equiv=Content-Security-Policy content=\"connect-src 'none'\">"
    script = "<script src='/emulation.js' data-transports='websocket'></script>"
    with anyio.fail_after(TIMEOUT):
        async with new_page(browser) as page:
            await load(page, servers.get(EMULATED).url, head + script)
            code = await page.evaluate(
                """() => Promise.race([
                    once(new WebSocket(`${base}/echo`), "close").then((event) => event.code),
                    new Promise((resolve) => setTimeout(resolve, 8000, "late")),
                ])"""
            )
            assert code == 1006


# What the console says of a socket: its URL with a query that holds a secret.
DEBUG = """async (path) => {
    WebSocketEmulation.debug = true;
    const socket = new WebSocket(`${base}${path}?token=secret`);
    const closed = once(socket, "close");
    await Promise.race([once(socket, "open"), closed]);
    socket.close();
    await closed;
}"""


@asynccontextmanager
async def debugging(
    browser: Browser, url: str, head: str = HEADS["classic"], **options: Any
) -> AsyncIterator[tuple[Page, list[str]]]:
    """Yield a page, and what the shim says in its console."""
    with anyio.fail_after(TIMEOUT):
        async with new_page(browser, **options) as page:
            lines: list[str] = []

            def take(message: ConsoleMessage) -> None:
                if message.text.startswith("emulation: "):
                    lines.append(message.text)

            page.on("console", take)
            await load(page, url, head)
            yield page, lines


@pytest.mark.parametrize("transport", ["websocket", "stream", "sse", "xhr-stream", "poll"])
@pytest.mark.parametrize("path", ["/echo", "/refuse"])
async def test_console_says_nothing_of_a_query(
    servers: Servers, browser: Browser, transport: str, path: str
) -> None:
    url = servers.get(EMULATED).url
    async with debugging(browser, url, transports=[transport]) as (page, lines):
        await page.evaluate(DEBUG, path)
        assert any(line.startswith(f"emulation: {url}{path}: ") for line in lines), lines
        assert not any("?" in line or "secret" in line for line in lines), lines


ABSENT: dict[str, tuple[dict[str, Any], str]] = {
    "not in the settings": ({"transports": ["stream", "poll"]}, ""),
    "not in the engine": ({"missing": ["WebSocket"]}, ""),
    "failed": ({}, "localStorage[`emulation:${location.origin} websocket`] = Date.now();"),
}


@pytest.mark.parametrize("reason", ABSENT)
async def test_console_says_why_no_native_websocket_was_tried(
    servers: Servers, browser: Browser, reason: str
) -> None:
    url = servers.get(EMULATED).url
    options, script = ABSENT[reason]
    head = f"<script>{script}</script>{HEADS['classic']}"
    async with debugging(browser, url, head, **options) as (page, lines):
        await page.evaluate(DEBUG, "/echo")
        assert any(f": stream, opened; no websocket: {reason}" in line for line in lines), lines


async def test_console_says_that_the_server_allows_no_native_websocket(
    servers: Servers, browser: Browser
) -> None:
    url = servers.get("tests.apps.emulated.polling_app:app").url
    # The socket that opens is not told before: the next one is.
    async with debugging(browser, url, transports=["poll", "websocket"]) as (page, lines):
        await page.evaluate(DEBUG, "/echo")
        assert any("; no websocket: not on the server" in line for line in lines), lines


async def test_only_a_native_websocket_and_no_such_class(
    servers: Servers, browser: Browser
) -> None:
    """The page forbids what goes over HTTP: nothing is left, and nothing is sent."""
    url = servers.get(EMULATED).url
    options: dict[str, Any] = {"transports": ["websocket"], "missing": ["WebSocket"]}
    async with debugging(browser, url, **options) as (page, lines):
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        seen = await page.evaluate(
            """async () => {
                WebSocketEmulation.debug = true;
                const socket = new WebSocket(`${base}/echo`);
                const types = [];
                socket.onerror = socket.onclose = ({ type, code }) => types.push([type, code]);
                await once(socket, "close");
                return types;
            }"""
        )
        assert [type for type, _ in seen] == ["error", "close"]
        assert any("no transport; no websocket: not in the engine" in line for line in lines), lines
        assert requests == []
