"""The differences from a native WebSocket that are known (docs/browsers.md).

Each is shown by the same page doing the same with both classes: where the native one comes to
differ, or ours comes to agree, a test fails and the page is to be mended.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import tempfile
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from playwright.async_api import Browser

from tests.engines import extension
from tests.engines.engines import Chromium, opened
from tests.support import recorded
from tests.support.browser import new_page
from tests.support.servers import Servers

pytestmark = [pytest.mark.browser, pytest.mark.integration]

APPLICATION = "tests.engines.app:app"
TIMEOUT = 30

# Functions of a class and a token. Each has an own document.
OPEN = """
    const open = (Class, path) => new Promise((resolve, reject) => {
        const socket = new Class(path);
        socket.onopen = (event) => resolve([socket, event]);
        socket.onerror = () => reject(new Error('error'));
    });
"""

IS_TRUSTED = """async (Class) => (await open(Class, '/echo'))[1].isTrusted"""

MICROTASKS = """(Class) => new Promise((resolve) => {
    const order = [];
    const socket = new Class('/echo');
    socket.addEventListener('open', () => {
        order.push('first listener');
        Promise.resolve().then(() => order.push('microtask'));
    });
    socket.addEventListener('open', () => {
        order.push('second listener');
        setTimeout(() => resolve(order));
    });
})"""

RESOURCE_TIMING = """async (Class) => {
    await open(Class, '/echo');
    const names = performance.getEntriesByType('resource').map((entry) => entry.name);
    return names.some((name) => name.includes('/echo'));
}"""

SERVICE_WORKER = """async (Class) => {
    const seen = [];
    const workers = navigator.serviceWorker;
    workers.onmessage = (event) => seen.push(event.data);
    const isControlled = new Promise((resolve) => (workers.oncontrollerchange = resolve));
    await workers.register('/worker.js');
    await isControlled;
    await open(Class, '/echo');
    await fetch('/notes/last');
    while (!seen.some((url) => url.endsWith('/notes/last'))) {
        await new Promise((resolve) => setTimeout(resolve, 10));
    }
    return seen.some((url) => url.includes('/echo'));
}"""

CONTENT_SECURITY_POLICY = """async (Class) => {
    const meta = document.createElement('meta');
    meta.httpEquiv = 'Content-Security-Policy';
    meta.content = `connect-src ${location.origin}/echo`;
    document.head.append(meta);
    return open(Class, '/echo').then(() => 'open', (error) => error.message);
}"""

BLOCKED_THREAD = """async (Class, token) => {
    const [socket] = await open(Class, '/note');
    socket.send(token);
    let isThere = false;
    const end = Date.now() + 500;
    while (!isThere && Date.now() < end) {
        const request = new XMLHttpRequest();
        request.open('GET', '/notes/' + token, false);
        request.send();
        isThere = JSON.parse(request.responseText);
    }
    return isThere;
}"""

# A frame whose class is like the one that is looked at.
FRAME = """
    const frame = document.createElement('iframe');
    const loaded = new Promise((resolve) => (frame.onload = resolve));
    frame.src = location.href;
    document.body.append(frame);
    await loaded;
    const page = frame.contentWindow;
    const Other = Class === self.WebSocket ? page.WebSocket : page.WebSocketEmulation.native;
"""

REALMS = f"""async (Class) => {{
    {FRAME}
    const get = Object.getOwnPropertyDescriptor(Other.prototype, 'readyState').get;
    try {{
        return get.call(new Class('/echo'));
    }} catch (error) {{
        return error.name;
    }}
}}"""

REMOVED_FRAME = f"""async (Class) => {{
    {FRAME}
    frame.remove();
    return new Other(new URL('/echo', location).href).readyState;
}}"""

STORAGE = """async (Class) => {
    await open(Class, '/echo');
    return Object.keys(localStorage).length > 0;
}"""

# What is done, and what comes of it with the native class and with ours.
DIFFERENCES: dict[str, tuple[str, Any, Any]] = {
    "isTrusted": (IS_TRUSTED, True, False),
    "microtasks between two listeners": (
        MICROTASKS,
        ["first listener", "microtask", "second listener"],
        ["first listener", "second listener", "microtask"],
    ),
    "Resource Timing": (RESOURCE_TIMING, False, True),
    "FetchEvent": (SERVICE_WORKER, False, True),
    "Content Security Policy": (CONTENT_SECURITY_POLICY, "error", "open"),
    "blocked thread": (BLOCKED_THREAD, True, False),
    "realms": (REALMS, 0, "TypeError"),
    "removed frame": (REMOVED_FRAME, 0, 3),
    "storage": (STORAGE, False, True),
}


@pytest.mark.parametrize("name", DIFFERENCES)
async def test_difference(servers: Servers, browser: Browser, name: str) -> None:
    script, native, ours = DIFFERENCES[name]
    url = servers.get(APPLICATION).url
    found = []
    for expression in ("WebSocketEmulation.native", "WebSocket"):
        async with new_page(browser, transports=["stream"]) as page:
            with anyio.fail_after(TIMEOUT):
                await page.goto(url)
                token = json.dumps(secrets.token_hex(8))
                run = f"() => {{ {OPEN} return ({script})({expression}, {token}); }}"
                found.append(await page.evaluate(run))
    assert found == [native, ours]


class ExtendedChromium(Chromium):
    """Chromium with an extension, and with nobody who drives it: that would keep workers alive."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def command(self, url: str, home: Path) -> list[str]:
        *command, url = super().command(url, home)
        features = "--disable-features=DisableLoadExtensionCommandLineSwitch"
        return [*command, features, f"--load-extension={self.directory}", url]


@pytest.mark.full
@pytest.mark.timeout(240)
async def test_service_worker_is_kept_by_a_native_socket_alone(
    servers: Servers, tmp_path: Path
) -> None:
    """Chromium ends an idle worker after 30 s, but an extension's not while its socket is busy."""
    reason = Chromium().missing()
    if reason:
        pytest.skip(reason)
    url = servers.get(APPLICATION).url
    native, ours = secrets.token_hex(8), secrets.token_hex(8)

    async def wait_for(second: int) -> None:
        with anyio.fail_after(TIMEOUT):
            async with httpx.AsyncClient(trust_env=False) as client:
                while True:
                    if (await client.get(f"{url}/notes/{native}-{second}")).json():
                        return
                    await anyio.sleep(0.1)

    with tempfile.TemporaryFile() as log:
        with contextlib.ExitStack() as browsers:
            for token in (native, ours):
                directory = tmp_path / token
                directory.mkdir()
                extension.write(directory, url, token, is_ours=token == ours)
                chromium = ExtendedChromium(directory)
                browsers.enter_context(opened(chromium, "about:blank", log))
            try:
                # The server misses what has left without a word. The other goes on.
                [end] = await recorded.disconnects(url, ours, timeout=180)
                await wait_for(end["received"] + 20)
                assert await recorded.disconnects(url, native, 0) == []
            finally:
                log.seek(0)
                print(log.read().decode(errors="replace"))
