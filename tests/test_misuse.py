"""The log says who did what, once, and not for each request."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from emulation.exceptions import RemoteProtocolError
from emulation.misuse import Misuse
from tests.session.native import resumed
from tests.session.stage import serving
from tests.session.wire import section, text


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "emulation.misuse"]


async def test_an_address_has_no_line_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    """Where a proxy is believed, the client's address is what X-Forwarded-For says."""

    def forwarded(app: Any) -> Any:
        async def told(scope: Any, receive: Any, send: Any) -> None:
            client = ("192.0.2.1\x85A LINE OF MINE " + "x" * 1000, 0)
            await app({**scope, "client": client}, receive, send)

        return told

    caplog.set_level(logging.INFO, "emulation")
    async with serving(outside=forwarded) as served:
        page = served.page()
        assert (await page.request("POST", page.url("send"), b"\x80")).status == 400
    (line,) = said(caplog)
    assert line.isprintable() and len(line) < 300
    assert line.startswith("A request of 192.0.2.1\\x85A LINE OF MINE x")


async def test_a_flood_of_refusals_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "emulation")
    async with serving(body_timeout=1) as served:
        page = served.page()
        await page.opened()
        secret = page.secret
        page.secret = "x" * 32
        for _ in range(50):
            assert (await page.upload(section(1, 0, 1), text("x"))).status == 404
        for _ in range(3):
            async with resumed(page) as native:
                assert (await native.until("error"))[1] == 404
        for _ in range(20):
            assert (await page.request("POST", page.url("send"), b"\x80")).status == 400
        page.secret = secret
        assert (await page.upload(section(1, 0, 1), text("x"))).status == 204
    unknown, malformed = said(caplog)
    assert unknown.startswith("A request of 127.0.0.1 was refused with 404: no such carrier")
    assert malformed.startswith(
        "A request of 127.0.0.1 was refused with 400: a body without a head"
    )
    assert not any(secret in line or page.secret in line for line in said(caplog))


async def test_a_flood_of_broken_sessions_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "emulation")
    async with serving() as served:
        for _ in range(20):
            page = served.page("/echo")
            await page.opened()
            await page.upload(section(1, 2**53 - 1, 0))
    [line] = [each.getMessage() for each in caplog.records if each.name.startswith("emulation")]
    assert line.startswith("A frame of 127.0.0.1 was refused with 400: an acknowledgement of what")


def test_what_was_not_said_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "emulation")
    misuse = Misuse()
    late = RemoteProtocolError(408, 1006, "the body did not come in time")
    for number in range(10_000):
        misuse.note(f"10.0.{number % 200}.1", late, 1000 + number / 1000)
    misuse.note("10.0.0.7", late, 1060)
    misuse.note("", RemoteProtocolError(503, 1013, "too many sessions"), 1060)
    first, second = said(caplog)
    assert first.endswith("(said once in 60 s; 0 more before, of 0 clients)")
    assert second.startswith("A request of 10.0.0.7 was refused with 408: the body did not come in")
    assert second.endswith("(said once in 60 s; 9999 more before, of 100 clients)")
