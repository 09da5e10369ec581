"""docs/protocol.md sections 1, 10 and 12: requests, the headers of every answer, and errors."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import anyio
import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from emulation.protocol.frames import DOCUMENT, document
from tests.session.stage import Served, serving
from tests.session.wire import FORMS, Answer, Page, drawn, encoded, read_answer, section, text
from tests.support.streams import connection_to

pytestmark = pytest.mark.usefixtures("beside")

ELSEWHERE = "https://page.example"

EVERY_ANSWER = {"cache-control": "no-store, no-cache, no-transform, private", "vary": "Origin"}
WITH_A_BODY = {
    "x-content-type-options": "nosniff",
    "x-accel-buffering": "no",
    "content-encoding": "identity",
}

# What each verb answers: its status, its type, and whether its length is known.
ANSWERS: dict[str, tuple[int, str, bool]] = {
    "open": (200, "application/octet-stream", True),
    "send": (200, "application/octet-stream", True),
    "stream": (200, "application/octet-stream", False),
    "poll": (200, "application/octet-stream", True),
    "ticket": (200, "application/octet-stream", True),
    "sse": (200, "text/event-stream", False),
    "bye": (204, "", False),
    "send, all taken": (204, "", False),
    "sse, dead": (204, "", False),
    "error": (400, "application/octet-stream", True),
}

# Whose page asks, and the Origin that the answer names.
ASKERS: dict[str, tuple[dict[str, str], str | None]] = {
    "another site's": ({"origin": ELSEWHERE}, ELSEWHERE),
    "the same site's, says the browser": ({"sec-fetch-site": "same-origin"}, None),
    "without an Origin": ({}, None),
}


async def ask(page: Page, what: str) -> tuple[int, httpx.Headers, bytes]:
    """Make a request that is answered as ANSWERS says; return the body's beginning too."""
    match what:
        case "open":
            return whole(await page.open(2))
        case "send":
            return whole(await page.upload(section(9)))
        case "send, all taken":
            page.form = "binary"
            return whole(await page.upload(section(1)))
        case "poll":
            return whole(await page.poll(document("wait", 0), section(1)))
        case "ticket":
            return whole(await page.post("ticket", section(1), number=page.next_attach(None)))
        case "bye":
            return whole(await page.post("bye"))
        case "error":
            return whole(await page.request("POST", page.url("send"), b""))
        case "stream":
            async with page.stream() as downstream:
                await downstream.until(DOCUMENT, "credit")
                return downstream.status, downstream.headers, downstream.first_bytes
    ticket = drawn() if what == "sse, dead" else await page.ticket()
    async with page.events(ticket) as downstream:
        if what == "sse":
            await downstream.until(DOCUMENT, "credit")
        return downstream.status, downstream.headers, downstream.first_bytes


def whole(answer: Answer) -> tuple[int, httpx.Headers, bytes]:
    return answer.status, answer.headers, answer.body


@FORMS
@pytest.mark.parametrize("asker", ASKERS)
@pytest.mark.parametrize("what", ANSWERS)
async def test_headers_of_every_answer(form: str, asker: str, what: str) -> None:
    status, kind, has_length = ANSWERS[what]
    headers, named = ASKERS[asker]
    async with serving(origins=(ELSEWHERE,)) as served:
        if "sec-fetch-site" in headers:
            headers = {**headers, "origin": served.url}
        page = served.page(form=form, headers=headers)
        await page.opened()
        answered, found, body = await ask(page, what)
    assert answered == status
    assert found.get("content-type", "").partition(";")[0] == kind
    assert ("content-length" in found) == has_length
    expected = EVERY_ANSWER if status == 204 else {**EVERY_ANSWER, **WITH_A_BODY}
    assert {name: found.get(name) for name in expected} == expected
    assert found.get("access-control-allow-origin") == named
    assert found.get("access-control-allow-credentials") == (None if named is None else "true")
    if kind == "application/octet-stream":
        # In the form of the request.
        assert body[:1] == (b"@" if form == "binary" else b"[")


@pytest.mark.parametrize("way", ["open", "ws"])
@pytest.mark.parametrize("place", ["before", "amid", "behind"])
async def test_the_application_sees_its_own_query(served: Served, way: str, place: str) -> None:
    marker = f"emulation={way}.{drawn()}"
    own = f"a=%41&&b=+&token={drawn()}"
    whole = {
        "before": f"{marker}&{own}",
        "amid": own.replace("&b", f"&{marker}&b", 1),
        "behind": f"{own}&{marker}",
    }[place]
    page = served.page()
    page.key = marker[-22:]
    if way == "open":
        body = encoded(page.head(1), document("open", 1, drawn(), [], ""))
        answer = await page.request("POST", f"{served.url}/echo?{whole}", body)
        assert answer.document("opened") is not None
    else:
        async with connect(
            f"{served.url}/echo?{whole}".replace("http", "ws", 1),
            subprotocols=[Subprotocol(f"emulation.{drawn()}")],
            origin=Origin(served.url),
            proxy=None,
        ) as native:
            await native.recv()
    assert served.stage.starts(own) == 1


@pytest.mark.parametrize("verb", ["open", "send", "stream", "poll", "ticket", "bye", "sse"])
async def test_an_upgrade_with_another_verb_is_none(served: Served, verb: str) -> None:
    """It has our marker, so it is no request of the application's either."""
    query = f"token={drawn()}"
    marker = f"emulation={verb}.{drawn()}" + (f".{drawn()}" if verb == "sse" else "")
    starts = len(served.stage.scopes)
    with pytest.raises(InvalidStatus) as refused:
        async with connect(
            f"{served.url}/echo?{query}&{marker}".replace("http", "ws", 1),
            subprotocols=[Subprotocol(f"emulation.{drawn()}")],
            origin=Origin(served.url),
            proxy=None,
        ):
            pass
    assert refused.value.response.status_code == 403
    assert len(served.stage.scopes) == starts


# --- Errors (section 10) --------------------------------------------------------------------------


@FORMS
async def test_an_error_says_which_request_it_answers(served: Served, form: str) -> None:
    page = served.page(form=form)
    await page.opened()
    page.secret = "x" * 32
    answer = await page.upload(section(1), number=77)
    assert (answer.status, answer.head) == (404, ["head", 1, page.key, 77])
    # Also where it is what stands behind the head that is malformed.
    body = encoded(page.head(78), document("section", 0, 0, 0), form=form)
    malformed = await page.request("POST", page.url("send"), body)
    assert (malformed.status, malformed.head) == (400, ["head", 1, page.key, 78])
    # 0 where the request's head could not be read.
    unread = await page.request("POST", page.url("send"), encoded(section(1), form=form))
    assert (unread.status, unread.head) == (400, ["head", 1, page.key, 0])


@pytest.mark.parametrize(
    ("config", "status"),
    [({"max_sessions": 1}, 503), ({"max_sessions_per_client": 1}, 429)],
)
@FORMS
async def test_the_seconds_of_retry_after_stand_in_the_body(
    config: dict[str, Any], status: int, form: str
) -> None:
    async with serving(**config) as served:
        await served.page().opened()
        answer = await served.page(form=form).open()
    assert answer.status == status
    error = answer.document("error")
    assert error is not None and type(error[2]) is str
    assert error[:2] == ["error", status] and error[3:] == [int(answer.headers["retry-after"])]


@FORMS
@pytest.mark.parametrize("verb", ["open", "send", "stream", "poll", "ticket", "bye"])
@pytest.mark.parametrize("head", [[2, "", 7, "node"], [2], ["1", "", 7, ""], [1.0, "", 7, ""]])
async def test_another_version_is_told_the_servers(
    served: Served, form: str, verb: str, head: list[Any]
) -> None:
    page = served.page(form=form)
    body = encoded(document("head", *head), section(1), form=form)
    answer = await page.request("POST", page.url(verb), body)
    assert answer.status == 400
    assert answer.head == ["head", 1, page.key, 0]
    assert answer.document("error") == ["error", 400, "unsupported wire version"]
    assert answer.ended


EARLY: dict[str, tuple[int, dict[str, str]]] = {
    "forbidden origin": (403, {"origin": "https://evil.example"}),
    "wrong type": (415, {"content_type": "text/plain"}),
    "encoded": (415, {"content_encoding": "gzip"}),
    "wrong method": (405, {"method": "PUT"}),
    "preflight": (204, {"method": "OPTIONS"}),
    "wrong secret": (404, {}),
}


@pytest.mark.parametrize("what", EARLY)
async def test_no_answer_leaves_a_body_unread(served: Served, what: str) -> None:
    """Some proxies use a connection again that still owes a body: the next request is lost."""
    status, headers = EARLY[what]
    page = served.page()
    await page.opened()
    good = page.raw("send", encoded(page.head(2), section(1, 0, 1), text("the next request")))
    page.secret = "x" * 32
    refused = page.raw("send", encoded(page.head(1), section(1)) + b"x" * 20_000, **headers)
    url = httpx.URL(served.url)
    async with connection_to(url.host, url.port) as (reader, writer):
        writer.write(refused[:-10_000])
        await writer.drain()
        with anyio.move_on_after(0.1):
            early = await reader.read(1)
            raise AssertionError(f"answered before the body had come: {early!r}")
        writer.write(refused[-10_000:] + good)
        assert (await read_answer(reader)).status == status
        assert (await read_answer(reader)).status == 204


async def test_a_body_that_is_too_large_is_answered_behind_it_or_ends_the_connection() -> None:
    async with serving(max_upload=100_000) as served:
        page = served.page()
        await page.opened()
        good = page.raw("send", encoded(page.head(2), section(1)))
        url = httpx.URL(served.url)
        # A little over the limit: read to its end. Far over it: refused, and the connection ends.
        for size, goes_on in ((120_000, True), (100_000_000, False)):
            async with connection_to(url.host, url.port) as (reader, writer):
                writer.write(page.raw("send", b"x", content_length=str(size)))
                writer.write(b"x" * (min(size, 400_000) - 1))
                answer = await read_answer(reader)
                assert answer.status == 413
                assert (answer.headers.get("connection") == "close") != goes_on
                if goes_on:
                    writer.write(good)
                    assert (await read_answer(reader)).status == 204
                else:
                    with anyio.fail_after(10), suppress(ConnectionError):
                        assert await reader.read() == b""


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD"])
async def test_wrong_methods_name_the_right_one(served: Served, method: str) -> None:
    page = served.page()
    for verb in ("open", "send", "stream", "poll", "ticket", "bye"):
        response = await page.client.request(method, page.url(verb), headers=page.headers)
        assert (response.status_code, response.headers["allow"]) == (405, "POST, OPTIONS")
