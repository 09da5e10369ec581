"""Every proxy, as it comes and as recommended, with every transport: docs/proxies.md."""

from __future__ import annotations

import re
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from datetime import datetime, timezone
from typing import NamedTuple

import anyio
import pytest
from playwright.async_api import Browser, Page
from playwright.async_api import Error as PageError

from emulation.testing import TRANSPORTS, Closed
from tests.hostile import talks as pages
from tests.proxies import talks
from tests.proxies.authority import Authority
from tests.proxies.forward import HTTP, HTTPS
from tests.proxies.programs import version
from tests.proxies.reverse import DEFAULT, RECOMMENDED, TLS
from tests.proxies.running import Kind, Proxy, running
from tests.support.browser import new_page
from tests.support.servers import ROOT, Server, Servers

pytestmark = [
    pytest.mark.alone,
    pytest.mark.browser,
    pytest.mark.full,
    pytest.mark.integration,
    pytest.mark.timeout(900),
]

APPLICATION = "tests.proxies.app:default"
DOCUMENT = ROOT / "docs" / "proxies.md"
BETWEEN = r"(?<=<!-- {name} -->\n).*(?=<!-- end of {name} -->)"
COUNT = 200
TIMEOUT = 30
PASSES_WITHIN = 12

OVER_HTTP = TRANSPORTS[1:]


class Outcome(NamedTuple):
    """The transport that a page chose, and those that pass when there is no choice."""

    winner: str
    passing: tuple[str, ...]


WITHOUT_UPGRADE = Outcome("stream", OVER_HTTP)
ALL = Outcome("websocket", TRANSPORTS)
HELD_BACK = Outcome("websocket", ("websocket", "poll"))

REVERSE = {
    "nginx": WITHOUT_UPGRADE,
    "HAProxy": ALL,
    "Apache": WITHOUT_UPGRADE,
    "Varnish": WITHOUT_UPGRADE,
    "Squid": WITHOUT_UPGRADE,
    "Traffic Server": WITHOUT_UPGRADE,
    "mitmproxy": HELD_BACK,
}

# A browser asks a forward proxy for a tunnel for every WebSocket, with TLS or without.
PLAIN = {
    "Squid": WITHOUT_UPGRADE,
    "Privoxy": Outcome("websocket", ("websocket", "stream", "xhr-stream", "poll")),
    "tinyproxy": ALL,
    "mitmproxy": HELD_BACK,
}
SECURE = {"Squid": ALL, "Privoxy": ALL, "tinyproxy": ALL, "mitmproxy": HELD_BACK}


def test_every_proxy_has_an_outcome() -> None:
    assert list(REVERSE) == list(DEFAULT) == list(RECOMMENDED)
    assert list(PLAIN) == list(SECURE) == list(HTTP) == list(HTTPS)


async def test_reverse_proxies(servers: Servers, browser: Browser) -> None:
    server = servers.get(APPLICATION)
    measured = {
        name: [
            await through_reverse(server, browser, kinds[name]) for kinds in (DEFAULT, RECOMMENDED)
        ]
        for name in REVERSE
    }
    write("reverse proxies", {name: (DEFAULT[name], found) for name, found in measured.items()})
    assert measured == {name: [expected, ALL] for name, expected in REVERSE.items()}


async def test_forward_proxies(servers: Servers, browser: Browser, authority: Authority) -> None:
    server = servers.get(APPLICATION)

    @contextmanager
    def secure() -> Iterator[Proxy]:
        with running(TLS["HAProxy"], [server.port], certificate=authority.certificate) as origin:
            yield origin

    @contextmanager
    def plain() -> Iterator[Proxy]:
        with running(RECOMMENDED["HAProxy"], [server.port]) as origin:
            yield origin

    measured = {
        name: [
            await through_forward(server, browser, HTTP[name], plain),
            await through_forward(server, browser, HTTPS[name], secure),
        ]
        for name in HTTP
    }
    write("forward proxies", {name: (HTTP[name], found) for name, found in measured.items()})
    assert measured == {name: [PLAIN[name], SECURE[name]] for name in HTTP}


async def through_reverse(server: Server, browser: Browser, kind: Kind) -> Outcome:
    """Try each transport with the client in Python, and the choice of a page."""

    async def passes(transport: str) -> bool:
        try:
            with anyio.fail_after(PASSES_WITHIN):
                await talks.converse(proxy.url, server.url, transport, COUNT)
        except (Closed, TimeoutError) as error:
            print(f"{kind.program}, {transport}: {error!r}")
            return False
        return True

    with running(kind, [server.port]) as proxy:
        passing = tuple([transport for transport in TRANSPORTS if await passes(transport)])
        with anyio.fail_after(TIMEOUT):
            async with new_page(browser, script=pages.SCRIPT) as page:
                await page.goto(proxy.url)
                return Outcome(await winner_of(page, server), passing)


async def through_forward(
    server: Server,
    browser: Browser,
    kind: Kind,
    origin_before: Callable[[], AbstractContextManager[Proxy]],
) -> Outcome:
    """Try each transport, and the choice, in a page that comes through the proxy."""
    with origin_before() as origin, running(kind, [origin.site.port]) as proxy:

        @asynccontextmanager
        async def opened(*transports: str) -> AsyncIterator[Page]:
            async with new_page(
                browser,
                transports=transports or None,
                script=pages.SCRIPT,
                ignore_https_errors=True,
                proxy={"server": proxy.url, "bypass": "<-loopback>"},
            ) as page:
                await page.goto(origin.url)
                yield page

        async def passes(transport: str) -> bool:
            try:
                with anyio.fail_after(PASSES_WITHIN):
                    async with opened(transport) as page:
                        await pages.converse(page, server.url, COUNT)
            except (PageError, AssertionError, TimeoutError) as error:
                print(f"{kind.program}, {transport}: {error!r}")
                return False
            return True

        passing = tuple([transport for transport in TRANSPORTS if await passes(transport)])
        with anyio.fail_after(TIMEOUT):
            async with opened() as page:
                return Outcome(await winner_of(page, server), passing)


async def winner_of(page: Page, server: Server) -> str:
    """Return the transport of the first echo, which is that of all that follows."""
    _, winner = await pages.time_to_echo(page, server.url)
    assert await pages.converse(page, server.url, COUNT) == [winner]
    return str(winner)


def write(name: str, measured: dict[str, tuple[Kind, list[Outcome]]]) -> None:
    """Write a table into the page, with what it was made from."""
    head = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(head, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    first, second = ("default", "recommended") if name.startswith("rev") else ("http", "https")
    lines = [
        f"Run on {datetime.now(timezone.utc).date()} at commit {commit.strip()}.",
        "",
        f"| proxy | {first}: winner | passing | {second}: winner | passing |",
        "|---|---|---|---|---|",
        *(f"| {' | '.join(row(*entry))} |" for entry in measured.items()),
        "",
    ]
    between = re.compile(BETWEEN.format(name=name), re.DOTALL)
    text, count = between.subn(lambda _: "\n".join(lines), DOCUMENT.read_text())
    assert count == 1
    DOCUMENT.write_text(text)


def row(name: str, entry: tuple[Kind, list[Outcome]]) -> Iterator[str]:
    kind, outcomes = entry
    yield f"{name} {version(kind.program)}"
    for outcome in outcomes:
        yield f"`{outcome.winner}`"
        yield "all" if outcome.passing == TRANSPORTS else ", ".join(outcome.passing)
