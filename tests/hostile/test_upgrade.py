"""A better transport that gets through again takes over in mid-session, and nothing is lost."""

from __future__ import annotations

import anyio
import pytest
from playwright.async_api import Browser

from tests.hostile import talks
from tests.support.faults import LabBefore
from tests.support.servers import Servers

pytestmark = [pytest.mark.browser, pytest.mark.integration]

APPLICATION = "tests.hostile.app:struck"
TIMEOUT = 40


async def test_a_native_socket_takes_over_when_the_network_changes(
    servers: Servers, browser: Browser, lab_before: LabBefore
) -> None:
    server = servers.get(APPLICATION)
    lab = lab_before(server.url)
    lab.set_mode("strip")
    with anyio.fail_after(TIMEOUT):
        async with talks.holding(browser, server.url, lab.url) as held:
            assert await held.transport() == "stream"
            lab.set_mode("plain")
            await held.page.evaluate("dispatchEvent(new Event('online'))")
            while await held.transport() != "websocket":
                await held.say()
            for number in range(20):
                await held.say(str(number))
            assert await held.transport() == "websocket"
