"""The page learns from what cuts its requests: shorter silences, and smaller uploads."""

from __future__ import annotations

import anyio
import pytest
from playwright.async_api import Browser

from emulation_server.lab import Answer, Entry, Exchange, LabThread, Mode, reply
from tests.hostile import talks
from tests.support.browser import new_page
from tests.support.faults import LabBefore
from tests.support.servers import Servers

pytestmark = [pytest.mark.browser, pytest.mark.integration]

APPLICATION = "tests.hostile.app:patient"
TIMEOUT = 90
PATIENCE = 600  # tenths of a second
WHOLE = 2

# Chromium repeats by itself what is cut on a connection that it has used before.
CUTS = 6
LONG = 300_000
LIMIT = 64 * 1024


def requests(lab: LabThread, verb: str) -> list[Entry]:
    return [entry for entry in lab.log if f"emulation={verb}." in entry.request]


@pytest.mark.full
@pytest.mark.parametrize(
    ("mode", "limit", "cut"), [("maxdur", 3, "expired"), ("idlekill", 7, "forgotten")]
)
async def test_polls_become_shorter_than_what_cuts_them(
    servers: Servers, browser: Browser, lab_before: LabBefore, mode: str, limit: float, cut: str
) -> None:
    server = servers.get(APPLICATION)
    lab = lab_before(server.url, mode, limit=limit)
    with anyio.fail_after(TIMEOUT):
        async with talks.holding(browser, server.url, lab.url, ["poll"]) as held:
            for _ in range(PATIENCE):
                await anyio.sleep(0.1)
                polls = requests(lab, "poll")
                whole = [not poll.done for poll in polls[:-1]]  # the last one is under way
                if lab.counts[cut] and whole[-WHOLE:] == [True] * WHOLE:
                    break
            assert 0 < lab.counts[cut] <= CUTS, polls
            assert whole[-WHOLE:] == [True] * WHOLE, polls
            await held.say("still here")
            assert await held.transport() == "poll"


async def test_uploads_become_as_small_as_what_lies_between_takes(
    servers: Servers, browser: Browser, lab_before: LabBefore
) -> None:
    server = servers.get(APPLICATION)
    lab = lab_before(server.url, "limit2k", body=LIMIT)
    with anyio.fail_after(TIMEOUT):
        async with new_page(browser, transports=["poll"], script=talks.SCRIPT) as page:
            await page.goto(lab.url)
            held = talks.Held(page, server.url)
            await held.open()
            for _ in range(3):
                await held.say("x" * LONG)
    refused = [upload for upload in requests(lab, "send") if upload.status == 413]
    taken = [upload.sent for upload in requests(lab, "send") if upload.status in (200, 204)]
    assert refused
    assert len(refused) < len(taken)
    assert LIMIT / 2 < max(taken) <= LIMIT


@pytest.mark.parametrize(("transport", "delay"), [("stream", 1.2), ("sse", 2.4)])
async def test_a_downstream_gets_more_time_where_no_other_transport_is_left(
    servers: Servers, browser: Browser, lab_before: LabBefore, transport: str, delay: float
) -> None:
    """Its head takes longer than two seconds; on a stream the request's body is held up, too."""
    server = servers.get(APPLICATION)
    lab = lab_before(server.url, "delay", delay=delay, only=rf"emulation={transport}\.")
    with anyio.fail_after(TIMEOUT):
        async with new_page(browser, transports=[transport], script=talks.SCRIPT) as page:
            await page.goto(lab.url)
            held = talks.Held(page, server.url)
            await held.open()
            await held.say("late, and there")
    assert len(requests(lab, transport)) > 1


class TextOnly(Mode):
    """Refuse uploads of bytes: firewalls for applications that know the types of forms alone."""

    passes_upgrade = False

    async def on_request(self, exchange: Exchange) -> Answer | None:
        if exchange.headers.get("Content-Type") == "application/octet-stream":
            exchange.did("refused")
            return reply(403, "Forbidden.")
        return None


async def test_the_page_speaks_text_where_something_refuses_bytes(
    servers: Servers, browser: Browser, lab_before: LabBefore
) -> None:
    server = servers.get(APPLICATION)
    lab = lab_before(server.url, TextOnly())
    with anyio.fail_after(TIMEOUT):
        async with new_page(browser, script=talks.SCRIPT) as page:
            await page.goto(lab.url)
            held = talks.Held(page, server.url)
            await held.open()
            await held.say("in text")
    assert lab.counts["refused"]
