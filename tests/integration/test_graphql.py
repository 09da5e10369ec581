"""GraphQL subscriptions of Strawberry, with the client of graphql-ws in Chromium."""

from __future__ import annotations

import secrets

import anyio
import pytest
from playwright.async_api import Browser

from tests.support import recorded
from tests.support.browser import new_page
from tests.support.client import NATIVE, TRANSPORTS
from tests.support.servers import Servers

pytestmark = [pytest.mark.browser, pytest.mark.integration]

BARE = "tests.apps.graphql_app:app"
EMULATED = "tests.apps.emulated.graphql_app:app"
TIMEOUT = 60

COUNT = """async (token) => {
    const client = clientFor(token);
    const numbers = [];
    for await (const result of client.iterate({query: "subscription { count(target: 300) }"})) {
        numbers.push(result.data.count);
    }
    await client.dispose();
    return numbers;
}"""

TWO_AT_ONCE = """async (token) => {
    const client = clientFor(token);
    const texts = [];
    const endless = (async () => {
        for await (const result of client.iterate({query: "subscription { forever }"})) {
            texts.push(result.data.forever);
            if (texts.length === 5) break;
        }
    })();
    const query = {query: "query Greeting { greeting }"};
    const answers = [];
    for await (const result of client.iterate(query)) answers.push(result.data.greeting);
    await endless;
    await client.dispose();
    return {texts, answers};
}"""


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_subscriptions_over_graphql_ws(
    servers: Servers, browser: Browser, transport: str
) -> None:
    is_native = transport == NATIVE
    server = servers.get(BARE if is_native else EMULATED)
    transports = None if is_native else [transport]
    missing = () if transport in (NATIVE, "websocket") else ("WebSocket",)
    tokens = [secrets.token_hex(8), secrets.token_hex(8)]
    with anyio.fail_after(TIMEOUT):
        async with new_page(browser, missing=missing, transports=transports) as page:
            await page.goto(server.url)
            assert await page.evaluate(COUNT, tokens[0]) == list(range(1, 301))
            both = await page.evaluate(TWO_AT_ONCE, tokens[1])
            assert both == {"texts": ["again 😀"] * 5, "answers": ["hello"]}
        for token in tokens:
            [start] = await recorded.starts(server.url, token)
            assert start["transport"] == (None if is_native else transport)
