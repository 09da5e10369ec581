"""A page of another site asks in every way that a browser knows, and gets nowhere.

It knows more than it should: the carrier's key, which stands in URLs, and even the secret. What
holds is that the browser says on whose behalf it asks.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest
from playwright.async_api import Browser, Page

from emulation.protocol.frames import document
from tests.session.stage import Served, serving
from tests.session.wire import Page as Victim
from tests.session.wire import drawn, encoded, section, text
from tests.support.browser import new_page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.integration,
    pytest.mark.xdist_group("cross-site"),
]

SCRIPT = Path(__file__).parent / "cross_site.js"
TIMEOUT = 30
VERBS = ("open", "send", "stream", "poll", "ticket", "bye")

# The ways of cross_site.js: with a body, without one, and a handshake.
POSTS = (
    "fetch text/plain",
    "fetch without a type",
    "fetch application/json",
    "fetch application/octet-stream",
    "beacon",
    "beacon of bytes",
    "XMLHttpRequest",
    "form urlencoded",
    "form multipart",
    "form text/plain",
)
GETS = ("image", "script", "style", "frame", "fetch", "EventSource")
ANSWERS = {400, 403, 405}


@pytest.fixture(scope="module")
async def served() -> AsyncIterator[Served]:
    # With origins, the policy holds for native handshakes too.
    async with serving(origins=("http://friend.test",)) as running:
        yield running


@pytest.fixture(scope="module")
async def evil(served: Served, browser: Browser) -> AsyncIterator[Page]:
    async with new_page(browser, script=SCRIPT) as page:
        await page.goto(f"http://evil.test:{urlsplit(served.url).port}/")
        yield page


@pytest.fixture
async def victim(served: Served) -> Victim:
    page = served.page(headers={"origin": url_of(served, "http"), "host": host_of(served)})
    await page.opened()
    return page


def host_of(served: Served) -> str:
    return f"app.test:{urlsplit(served.url).port}"


def url_of(served: Served, scheme: str) -> str:
    return f"{scheme}://{host_of(served)}"


def body_of(victim: Victim, verb: str, form: str) -> bytes:
    """Write what the victim's own page could say."""
    if verb == "open":
        said = [document("open", 2, drawn(), [], "stream")]
    else:
        said = [section(1, 0, 1), text("stolen")]
    return encoded(victim.head(99), *said, form=form)


async def attack(
    evil: Page, served: Served, way: str, path: str, body: bytes = b""
) -> dict[str, Any]:
    """Attack, and return what the page learned and which statuses the server gave."""
    statuses: list[int] = []
    evil.on("response", lambda answer: statuses.append(answer.status))
    url = url_of(served, "ws" if way == "WebSocket" else "http") + path
    arguments = [way, url, base64.b64encode(body).decode()]
    with anyio.fail_after(TIMEOUT):
        async with AsyncExitStack() as stack:
            if way == "frame":
                await stack.enter_async_context(evil.expect_response(url))
            learned = await evil.evaluate("([way, url, body]) => attack(way, url, body)", arguments)
    return {"learned": learned, "statuses": statuses}


async def assert_untouched(served: Served, victim: Victim, starts: int, carriers: int) -> None:
    """Check that nobody has started, said, taken or ended anything in the victim's name."""
    assert len(served.stage.scopes) == starts
    assert len(served.registry.carriers) == carriers
    await victim.upload(section(1, 0, 1), text("mine"))
    async with victim.stream() as downstream:
        await downstream.until_text("mine")
        assert downstream.texts() == ["mine"]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("way", POSTS)
async def test_post(evil: Page, served: Served, victim: Victim, way: str, verb: str) -> None:
    starts, carriers = len(served.stage.scopes), len(served.registry.carriers)
    form = "binary" if "octet" in way or "bytes" in way else "json"
    path = urlsplit(victim.url(verb)).path + "?" + urlsplit(victim.url(verb)).query
    found = await attack(evil, served, way, path, body_of(victim, verb, form))
    assert found["learned"] in ("sent", "TypeError", "error")
    assert set(found["statuses"]) <= {403}
    await assert_untouched(served, victim, starts, carriers)


@pytest.mark.parametrize("way", GETS)
async def test_get(evil: Page, served: Served, victim: Victim, way: str) -> None:
    """A request that takes no body at all; only a ticket, which is a secret, would help it."""
    starts, carriers = len(served.stage.scopes), len(served.registry.carriers)
    for verb in (*VERBS, "ws", f"sse.{victim.key}.{drawn()}"):
        marker = verb if "." in verb else f"{verb}.{victim.key}"
        found = await attack(evil, served, way, f"/echo?emulation={marker}")
        assert found["learned"] in ("sent", "error", "TypeError")
        assert set(found["statuses"]) <= ({204, 403} if "sse" in verb else ANSWERS), verb
    await assert_untouched(served, victim, starts, carriers)


async def test_native_handshakes(evil: Page, served: Served, victim: Victim) -> None:
    starts, carriers = len(served.stage.scopes), len(served.registry.carriers)
    for query in ("", f"?emulation=ws.{victim.key}", f"?emulation=ws.{drawn()}"):
        found = await attack(evil, served, "WebSocket", f"/echo{query}")
        assert found["learned"] == "error"
    await assert_untouched(served, victim, starts, carriers)


async def test_own_page_may(served: Served, browser: Browser) -> None:
    """The attacks do reach the server: from its own page the same request opens a socket."""
    starts = len(served.stage.scopes)
    page = served.page()
    path = f"/echo?emulation=open.{page.key}"
    body = encoded(page.head(1), document("open", 1, drawn(), [], "stream"), form="json")
    async with new_page(browser, script=SCRIPT) as own:
        await own.goto(url_of(served, "http"))
        found = await attack(own, served, "XMLHttpRequest", path, body)
    assert found["learned"] == "read"
    assert len(served.stage.scopes) == starts + 1
