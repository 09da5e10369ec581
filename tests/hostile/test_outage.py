"""How often a page knocks at a network that lets nothing through."""

from __future__ import annotations

import anyio
import pytest
from playwright.async_api import Browser

from tests.hostile import talks
from tests.support.faults import LabBefore
from tests.support.servers import Servers

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.full]

APPLICATION = "tests.hostile.app:struck"
TIMEOUT = 60
OUTAGE = 10  # seconds
REQUESTS = 30  # four at once, and what follows at growing distances


async def test_an_outage_is_no_storm(
    servers: Servers, browser: Browser, lab_before: LabBefore
) -> None:
    """Upload, downstream and native socket are tried again, each later than before."""
    server = servers.get(APPLICATION)
    lab = lab_before(server.url)
    with anyio.fail_after(TIMEOUT):
        async with talks.holding(browser, server.url, lab.url) as held:
            before = len(lab.log)
            lab.set_mode("drop", until=1, probability=1)
            lab.drop_connections()
            async with anyio.create_task_group() as talk:
                talk.start_soon(held.say, "during the outage")
                await anyio.sleep(OUTAGE)
                assert 2 < len(lab.log) - before < REQUESTS
                lab.set_mode("plain")
            await held.say("behind it")
