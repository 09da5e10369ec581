"""The page in Chromium behind intermediaries: what it concludes, in words."""

from __future__ import annotations

import html
import json
import re
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import anyio
import pytest
from playwright.async_api import Browser, Page

from emulation_server.doctor import PREFIX
from tests.support.browser import new_page
from tests.support.faults import LabBefore
from tests.support.servers import ROOT, Servers

pytestmark = [pytest.mark.browser, pytest.mark.integration]

APPLICATION = "tests.doctor.app:app"
STATIC = ROOT / "server" / "emulation_server" / "doctor" / "static"
CLIENT = ROOT / "client_js"
TIMEOUT = 100
DONE = "html[data-state=done], html[data-state=refused], html[data-state=shown]"


class Case(NamedTuple):
    """A mode of the laboratory, and what the report has to say of it."""

    mode: str
    words: Sequence[str]
    options: dict[str, Any] = {}  # noqa: RUF012 (nobody writes to it)
    silence: int = 0


CASES = [
    Case(
        "blackhole",
        [
            "WebSocket is opened by a proxy, but frames never arrive; ",
            "streaming works: pages will use it, at about ",
            "WebSocket: it was not opened in time",
        ],
    ),
    Case(
        "buffer",
        [
            "The upgrade to WebSocket is taken out on the way; long-polling works: pages will use",
            "- Streams are held back until they have ended: 3",
            "- Server-sent events are held back until they have ended: 3",
            "streaming: it opened, and no message came back",
        ],
    ),
    Case(
        "idlekill",
        [
            "WebSocket works here: pages use it, at about ",
            "What comes after 4 s of silence never arrives",
            "let it do so more often (--heartbeat)",
        ],
        silence=5,
    ),
]

MORE_CASES = [
    Case("plain", ["WebSocket works here", "silent for 16 s, and probably longer"], silence=16),
    Case("strip", ["The upgrade to WebSocket is taken out on the way; streaming works"]),
    Case("blind101", ["frames never arrive, the server is never asked"]),
    Case("httpbytes", ["WebSocket is opened and then broken off"]),
    Case("buffer4k", ["long-polling works", "Streams are held back in blocks of about 4 KiB"]),
    Case("firstbytes", ["long-polling works", "Streams are held back in blocks of about "]),
    Case("limit2k", ["WebSocket works here", "A body of 68 KiB is refused (answered with 413)"]),
    Case("gzip", ["streaming works: pages will use it"]),
    Case("striphdr", ["WebSocket works here", "Taken away from requests: Cookie, X-…, Origin."]),
    Case("http10", ["streaming works", "The server is asked in HTTP/1.0: "]),
    Case("getpost", ["OPTIONS and PUT do not get through (answered with 405)"]),
    Case("cacheall", ["GET is answered from a cache", "Server-sent events are held back"]),
    Case("cachepath", ["not even the query"]),
    Case("maxdur", ["Streams are cut off after", "is cut off after 3 s, silent"], silence=5),
    Case("dup", ["streaming works: pages will use it"]),
    Case("retry", ["streaming works: pages will use it"]),
]


@asynccontextmanager
async def examined(
    browser: Browser, url: str, silence: int | None, headers: dict[str, str] | None = None
) -> AsyncIterator[Page]:
    """Open the page and wait until it is done; without `silence` its last step is skipped by hand.

    The headers are as if of somebody in between.
    """
    query = "" if silence is None else f"?silence={silence}"
    async with new_page(browser) as page:
        await page.set_extra_http_headers(headers or {})
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        with anyio.fail_after(TIMEOUT):
            await page.goto(f"{url}{PREFIX}/{query}")
            if silence is None:
                await page.click("#skip", timeout=TIMEOUT * 1000)
            await page.wait_for_selector(DONE, timeout=TIMEOUT * 1000)
        assert complaints == []
        yield page


async def report(page: Page) -> str:
    text: str = await page.evaluate(
        "doctor.report(doctor.unpack(document.getElementById('link').value.split('#')[1]))"
    )
    print(text)
    return text


async def saved(page: Page, button: str) -> str:
    """Press a button and return the file that it saves."""
    async with page.expect_download() as saving:
        await page.click(button)
    return await anyio.Path(await (await saving.value).path()).read_text()


async def check(case: Case, servers: Servers, browser: Browser, lab_before: LabBefore) -> None:
    lab = lab_before(servers.get(APPLICATION).url, case.mode, **case.options)
    async with examined(browser, lab.url, case.silence) as page:
        text = await report(page)
    for words in case.words:
        assert words in text


def name(case: Case) -> str:
    return case.mode


@pytest.mark.parametrize("case", CASES, ids=name)
async def test_verdict(
    servers: Servers, browser: Browser, lab_before: LabBefore, case: Case
) -> None:
    await check(case, servers, browser, lab_before)


@pytest.mark.full
@pytest.mark.parametrize("case", MORE_CASES, ids=name)
async def test_more_verdicts(
    servers: Servers, browser: Browser, lab_before: LabBefore, case: Case
) -> None:
    await check(case, servers, browser, lab_before)


async def test_result_is_shown_by_its_link_and_saved(servers: Servers, browser: Browser) -> None:
    url = servers.get(APPLICATION).url
    async with examined(browser, url, None, {"Via": "1.1 <b>proxy</b>"}) as page:
        text = await report(page)
        assert "How long silence is allowed: Skipped." in text
        assert "The server was shown: via: 1.1 <b>proxy</b>." in text
        assert text.startswith("WebSocket works here: pages use it, at about ")
        shown = await page.inner_text("#headline")
        link = await page.input_value("#link")
        assert len(link) < 4000
        result = json.loads(await saved(page, "#save-json"))
        assert result["sessions"]["own"]["used"] == "websocket"
        document = html.unescape(await saved(page, "#save-html"))
        assert "<svg" in document and "<script" not in document and shown in document
    async with new_page(browser) as page:
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.method))
        await page.goto(link)
        await page.wait_for_selector(DONE)
        assert await page.inner_text("#headline") == shown
        assert await page.locator(".step svg").count() == 6
        assert "POST" not in requests


@pytest.mark.parametrize(
    "result",
    [
        {"v": 1, "at": 1, "url": "<img src=x onerror=alert(1)>", "agent": "<b>", "way": {}},
        {"v": 1, "at": 1, "reach": {"rtt": "x", "passes": {}, "first": "<b>"}},
        {"v": 1, "sessions": {"poll": {"rtt": [1], "error": "<script>"}}, "idle": []},
    ],
    ids=["markup", "another type", "nonsense"],
)
async def test_forged_link_does_no_harm(
    servers: Servers, browser: Browser, result: dict[str, Any]
) -> None:
    url = servers.get(APPLICATION).url
    async with new_page(browser) as page:
        await page.goto(f"{url}/")
        await page.goto(f"{url}{PREFIX}/link.js")
        script = (STATIC / "link.js").read_text()
        packed = await page.evaluate(
            f"(result) => {{ {script}; return doctor.pack(result); }}", result
        )
        await page.goto(f"{url}{PREFIX}/#{packed}")
        await page.wait_for_function("document.getElementById('headline').innerText.length > 0")
        assert await page.locator("main img, main script, main b").count() == 0
        assert await page.is_visible("#again")


async def test_second_page_is_told_to_wait(servers: Servers, browser: Browser) -> None:
    url = f"{servers.get(APPLICATION).url}{PREFIX}/?silence=0"
    async with new_page(browser) as first, new_page(browser) as second:
        await first.goto(url)
        await first.wait_for_selector(".step.run")
        await second.goto(url)
        await second.wait_for_selector("html[data-state=refused]")
        headline = await second.inner_text("#headline")
        assert re.fullmatch(
            r"Another examination from your address .* try again in \d+ s at the latest\.", headline
        )
        # Left, it makes room for the next.
        await first.goto("about:blank")
        await second.click("#again")
        await second.wait_for_selector(".step.good")


def test_scripts_are_es5_and_formatted() -> None:
    scripts = sorted(map(str, STATIC.glob("*.js")))
    for script in scripts:
        run("acorn", "--ecma5", "--silent", script)
    run("prettier", "--config", str(CLIENT / ".prettierrc.json"), "--check", *scripts)


def run(tool: str, *arguments: str) -> None:
    result = subprocess.run(
        [str(CLIENT / "node_modules" / ".bin" / tool), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stdout
