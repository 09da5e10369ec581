"""The differences from a native WebSocket that no script can avoid (docs/browsers.md).

Each is shown by the same page doing the same with both classes: where the native one comes to
differ, or ours comes to agree, a test fails and the page is to be mended.
"""

from __future__ import annotations

import json
import secrets
from typing import Any

import anyio
import pytest
from playwright.async_api import Browser

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
