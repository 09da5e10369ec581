"""What goes wrong on the wire: its status, an answer that reflects nothing, and nobody else hurt.

Every test has a neighbour: a session on the same server that must not notice.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import httpx
import pytest

from emulation.protocol.frames import DOCUMENT, TEXT, document
from tests.session.stage import Served, neighbour, serving
from tests.session.wire import (
    Answer,
    Page,
    by_socket,
    close,
    drawn,
    encoded,
    section,
    text,
)

# Stands in everything that a page sends here, and in nothing that is answered.
MARK = "reflect-me"
BINARY = "application/octet-stream"
JSON = "application/json"


@pytest.fixture(scope="module")
async def served() -> AsyncIterator[Served]:
    async with serving(expected="Said once", body_timeout=1, max_upload=100_000) as running:
        yield running


@pytest.fixture(autouse=True)
async def beside(served: Served) -> AsyncIterator[None]:
    async with neighbour(served):
        yield


@pytest.fixture
async def page(served: Served) -> Page:
    page = served.page()
    await page.opened()
    return page


class Fault(NamedTuple):
    """A request that is wrong, and the answer's status."""

    status: int
    verb: str = "send"
    method: str = "POST"
    body: Callable[[Page], bytes] = lambda page: encoded(page.head(7), section(1, 0, 1), text(MARK))
    headers: dict[str, str] = {}  # noqa: RUF012


def cut(body: bytes) -> bytes:
    """Change the count in the `end` of a body."""
    return re.sub(
        rb'\["end",\d', lambda found: found[0][:-1] + b"%d" % (9 - found[0][-1] % 8), body
    )


def valid(form: str = "binary") -> Callable[[Page], bytes]:
    return lambda page: encoded(page.head(7), section(1, 0, 1), text(MARK), form=form)


FAULTS = {
    "malformed type": Fault(400, body=lambda page: b"\x80\x01" + MARK.encode()),
    "malformed length": Fault(400, body=lambda page: b"\x40\x80\x01" + MARK.encode()),
    "malformed JSON": Fault(
        400, body=lambda page: f'["{MARK}"\n'.encode(), headers={"content-type": JSON}
    ),
    "JSON of no array": Fault(
        400, body=lambda page: f'{{"{MARK}":1}}\n'.encode(), headers={"content-type": JSON}
    ),
    "JSON beyond ASCII": Fault(
        400, body=lambda page: '[["héad"]]\n'.encode(), headers={"content-type": JSON}
    ),
    "nothing whole": Fault(413, body=lambda page: b"[" * 50_000, headers={"content-type": JSON}),
    "deep document": Fault(
        400, body=lambda page: b"[" * 50_000 + b"\n", headers={"content-type": JSON}
    ),
    "empty": Fault(400, body=lambda page: b""),
    "no head": Fault(400, body=lambda page: encoded(section(1, 0, 1), text(MARK))),
    "short head": Fault(400, body=lambda page: encoded(document("head", 1, page.secret))),
    "head of other types": Fault(
        400, body=lambda page: encoded(document("head", 1, 2, "3", [MARK]))
    ),
    "version of the future": Fault(
        400, body=lambda page: encoded(document("head", 2, page.secret, 7, MARK))
    ),
    "version that is a string": Fault(
        400, body=lambda page: encoded(document("head", MARK, page.secret, 7, ""))
    ),
    "frame without a section": Fault(
        400, body=lambda page: encoded(page.head(7), document("ping"), text(MARK))
    ),
    "frame without a number": Fault(
        400, body=lambda page: encoded(page.head(7), section(1), text(MARK))
    ),
    "section of nothing": Fault(
        400, body=lambda page: encoded(page.head(7), document("section", MARK, 0, 0))
    ),
    "section of socket 0": Fault(400, body=lambda page: encoded(page.head(7), section(0))),
    "altered count": Fault(400, body=lambda page: cut(valid()(page))),
    "altered count in JSON": Fault(
        400, body=lambda page: cut(valid("json")(page)), headers={"content-type": JSON}
    ),
    "oversized": Fault(413, body=lambda page: MARK.encode() * 20_000),
    "oversized in JSON": Fault(
        413, body=lambda page: MARK.encode() * 20_000, headers={"content-type": JSON}
    ),
    "wrong secret": Fault(
        404, body=lambda page: encoded(document("head", 1, MARK, 7, page.node), section(1))
    ),
    "no secret": Fault(
        404, body=lambda page: encoded(document("head", 1, "", 7, page.node), section(1))
    ),
    "another node's": Fault(
        421, body=lambda page: encoded(document("head", 1, page.secret, 7, MARK), section(1))
    ),
    "type of a form": Fault(415, headers={"content-type": "application/x-www-form-urlencoded"}),
    "text/plain": Fault(415, headers={"content-type": "text/plain"}),
    "type of nothing": Fault(415, headers={"content-type": MARK}),
    "Content-Encoding": Fault(415, headers={"content-encoding": "gzip"}),
    "Content-Encoding identity": Fault(415, headers={"content-encoding": "identity"}),
    "GET": Fault(405, method="GET", body=lambda page: b""),
    "PUT": Fault(405, method="PUT"),
    "DELETE": Fault(405, method="DELETE", body=lambda page: b""),
    "TRACE": Fault(405, method="TRACE", body=lambda page: b""),
    "POST to ws": Fault(405, verb="ws"),
    "GET to ws without an upgrade": Fault(400, verb="ws", method="GET", body=lambda page: b""),
    "malformed attach": Fault(400, verb="stream", body=lambda page: MARK.encode()),
    "malformed poll": Fault(400, verb="poll", body=lambda page: MARK.encode()),
    "malformed ticket": Fault(400, verb="ticket", body=lambda page: MARK.encode()),
    "malformed bye": Fault(400, verb="bye", body=lambda page: MARK.encode()),
    "attach with a wrong secret": Fault(
        404, verb="stream", body=lambda page: encoded(document("head", 1, MARK, 7, ""))
    ),
    "poll with a wrong secret": Fault(
        404, verb="poll", body=lambda page: encoded(document("head", 1, MARK, 7, ""))
    ),
    "ticket with a wrong secret": Fault(
        404, verb="ticket", body=lambda page: encoded(document("head", 1, MARK, 7, ""))
    ),
    "open of nothing": Fault(400, verb="open", body=lambda page: encoded(page.head(2))),
    "open without a nonce": Fault(
        400, verb="open", body=lambda page: encoded(page.head(2), document("open", 2, MARK))
    ),
    "open of socket 0": Fault(
        400, verb="open", body=lambda page: encoded(page.head(2), document("open", 0, drawn(), []))
    ),
    "open with protocols that are none": Fault(
        400,
        verb="open",
        body=lambda page: encoded(page.head(2), document("open", 2, drawn(), ["a b"], "")),
    ),
    "open with another document": Fault(
        400, verb="open", body=lambda page: encoded(page.head(2), document("ping", 2, drawn()))
    ),
    "open with a wrong secret": Fault(
        404,
        verb="open",
        body=lambda page: encoded(
            document("head", 1, MARK, 2, page.node), document("open", 2, drawn(), [], "")
        ),
    ),
    "open of a number that is used": Fault(
        400,
        verb="open",
        body=lambda page: encoded(page.head(1), document("open", 1, drawn(), [], "")),
    ),
    "open of a key that is used": Fault(
        409,
        verb="open",
        body=lambda page: encoded(
            document("head", 1, "", 1, ""), document("open", 1, drawn(), [], "")
        ),
    ),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_fault(page: Page, served: Served, name: str) -> None:
    fault = FAULTS[name]
    starts = len(served.stage.scopes)
    body = fault.body(page)
    headers = {"x-other": MARK, **fault.headers}
    answer = await page.ask(
        fault.method, page.url(fault.verb, query=f"token={MARK}"), body, headers
    )

    assert answer.status == fault.status, answer.body
    assert MARK.encode() not in answer.body
    assert_is_ours(answer, page)
    assert_form(answer, headers.get("content-type", BINARY))
    assert len(served.stage.scopes) == starts, "the application was started"
    await assert_alive(page)


def assert_is_ours(answer: Answer, page: Page) -> None:
    """Check the envelope of an error."""
    assert answer.head[:3] == ["head", 1, page.key]
    error = answer.document("error")
    assert error is not None and error[1] == answer.status and error[2], answer.frames
    assert answer.ended
    assert answer.headers["access-control-allow-origin"] == page.headers["origin"]
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert_headers(answer.headers)
    assert answer.headers["content-type"] == BINARY
    assert int(answer.headers["content-length"]) == len(answer.body)


def assert_headers(headers: httpx.Headers) -> None:
    assert headers["cache-control"] == "no-store, no-cache, no-transform, private"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-accel-buffering"] == "no"
    assert headers["content-encoding"] == "identity"
    assert "origin" in headers["vary"].lower()


def assert_form(answer: Answer, content_type: str) -> None:
    """An answer is in the JSON form unless the request was in the binary form."""
    assert answer.body[:1] == (b"@" if content_type == BINARY else b"["), answer.body


async def assert_alive(page: Page) -> None:
    """The page's own session has not suffered either."""
    await page.upload(section(1, 0, 1), text("still here"))
    async with page.stream() as downstream:
        await downstream.until_text("still here")
        assert downstream.texts() == ["still here"]


async def test_head_is_a_wrong_method(page: Page) -> None:
    response = await page.client.head(page.url("send"), headers=page.headers)
    assert response.status_code == 405
    assert response.headers["allow"] == "POST, OPTIONS"
    assert not response.content
    await assert_alive(page)


@pytest.mark.parametrize(("verb", "allow"), [("send", "POST, OPTIONS"), ("sse", "GET, OPTIONS")])
async def test_wrong_method_says_the_right_one(page: Page, verb: str, allow: str) -> None:
    marker = f"emulation={verb}.{page.key}" + (f".{drawn()}" if verb == "sse" else "")
    answer = await page.request("DELETE", page.address(marker))
    assert answer.status == 405
    assert answer.headers["allow"] == allow


@pytest.mark.parametrize("verb", ["open", "send", "stream", "poll", "ticket", "bye", "ws"])
async def test_options_is_answered_by_us(page: Page, served: Served, verb: str) -> None:
    answer = await page.request(
        "OPTIONS",
        page.url(verb),
        access_control_request_method="POST",
        access_control_request_headers="content-type",
    )
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == served.url
    assert answer.headers["access-control-allow-headers"].lower() == "content-type"
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert_headers(answer.headers)


@pytest.mark.parametrize("verb", ["open", "send", "stream", "poll", "ticket", "bye"])
@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
@pytest.mark.parametrize("method", ["POST", "OPTIONS", "GET"])
async def test_forbidden_origin(page: Page, verb: str, origin: str, method: str) -> None:
    body = valid()(page) if method == "POST" else b""
    answer = await page.request(method, page.url(verb), body, origin=origin)
    assert answer.status == 403
    assert "access-control-allow-origin" not in answer.headers
    assert answer.document("error") is not None
    assert origin.encode() not in answer.body
    await assert_alive(page)


async def test_forbidden_origin_is_told_before_anything_is_looked_up(page: Page) -> None:
    known = await page.upload(section(1), origin="https://evil.example")
    page.key = drawn()
    unknown = await page.upload(section(1), origin="https://evil.example")
    assert headless(known) == headless(unknown)


async def test_wrong_secret_and_unknown_carrier_are_alike(page: Page) -> None:
    for node in ("", page.node, "elsewhere"):
        for verb in ("send", "stream", "poll", "ticket", "open", "bye"):
            wrong = encoded(
                document("head", 1, drawn(), 7, node), document("open", 2, drawn(), [], "")
            )
            known = await page.request("POST", page.url(verb), wrong)
            stranger = Page(page.client, page.base)
            unknown = await stranger.request("POST", stranger.url(verb), wrong)
            assert headless(known) == headless(unknown), (verb, node)
            assert dict(known.headers, date="") == dict(unknown.headers, date="")


def headless(answer: Answer) -> tuple[int, list[object]]:
    return answer.status, [frame for frame in answer.frames[1:]]


async def test_a_carrier_is_its_origins_own(page: Page) -> None:
    # Allowed, as both are loopback, but not the one that made the carrier.
    answer = await page.upload(section(1), origin="http://localhost:1")
    assert answer.status == 404
    await assert_alive(page)


async def test_answers_to_no_origin_have_no_cors(page: Page) -> None:
    del page.headers["origin"]
    answer = await page.upload(section(1), text("x"))
    assert answer.status == 400
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("form", ["binary", "json"])
async def test_truncated_counts_as_far_as_it_came(served: Served, form: str) -> None:
    page = served.page(form=form)
    await page.opened()
    whole = encoded(page.head(1), section(1, 0, 1), text("one"), form=form, end=False)
    rest = encoded(text("two"), form=form, end=False)
    answer = await page.request("POST", page.url("send"), whole + rest[: len(rest) // 2])
    assert answer.status == 200
    assert answer.ack() == 1
    again = await page.upload(section(1, 0, 1), text("one"), text("two"))
    assert again.status == (204 if form == "binary" else 200)
    async with page.stream() as downstream:
        await downstream.until_text("two")
        assert downstream.texts() == ["one", "two"]


async def test_what_follows_the_end_is_ignored(page: Page) -> None:
    body = encoded(page.head(1), section(1, 0, 1), text("one")) + b"\x80" + MARK.encode()
    answer = await page.request("POST", page.url("send"), body)
    assert answer.status == 204
    await page.upload(section(1, 0, 2), text("two"))
    async with page.stream() as downstream:
        await downstream.until_text("two")


async def test_altered_bodies_count_for_nothing(page: Page) -> None:
    body = cut(encoded(page.head(1), section(1, 0, 1), text("altered")))
    assert (await page.request("POST", page.url("send"), body)).status == 400
    await assert_alive(page)  # "still here" is the first that came


async def test_unknown_documents_are_skipped(page: Page) -> None:
    frames = [document("future", {"a": 1}), section(1, 0, 1), document("future"), (0x55, b"?")]
    answer = await page.upload(*frames, text("one"))
    assert answer.status == 204
    async with page.stream() as downstream:
        await downstream.until_text("one")


@pytest.mark.parametrize("form", ["binary", "json"])
async def test_gap_and_repeat_are_answered_by_the_ack(served: Served, form: str) -> None:
    page = served.page(form=form)
    await page.opened()
    gap = await page.upload(section(1, 0, 2), text("two"))
    assert (gap.status, gap.ack()) == (200, 0)
    await page.upload(section(1, 0, 1), text("one"))
    repeat = await page.upload(section(1, 0, 1), text("one"), text("two"))
    if form == "json":
        assert repeat.ack() == 2
    older = await page.upload(section(1, 0, 1), text("one"), number=1)
    assert older.status in (200, 204)
    async with page.stream() as downstream:
        await downstream.until_text("two")
        assert downstream.texts() == ["one", "two"]


async def test_duplicate_upload_is_answered_alike(page: Page) -> None:
    first = await page.upload(section(1, 0, 1), text("one"), number=1)
    second = await page.upload(section(1, 0, 1), text("one"), number=1)
    assert first.status == second.status == 204
    assert first.headers["emulation"] == second.headers["emulation"] == f"1 {page.key} 1 0 0"
    await page.upload(section(1, 0, 2), text("two"))
    async with page.stream() as downstream:
        await downstream.until_text("two")
        assert downstream.texts() == ["one", "two"]


async def test_unknown_sockets_are_gone_and_harm_no_other(page: Page) -> None:
    answer = await page.upload(
        section(9, 0, 1), text("nobody's"), section(1, 0, 1), text("one"), section(8, 5)
    )
    assert answer.status == 200
    gone = [payload for kind, payload in answer.frames if kind == DOCUMENT and payload[0] == "gone"]
    assert gone == [["gone", 9], ["gone", 8]]
    assert answer.ack() == 1
    async with page.stream(section(1), section(7)) as downstream:
        await downstream.until(DOCUMENT, "gone")
        assert (DOCUMENT, ["gone", 7]) in downstream.frames
        await downstream.until_text("one")


FATAL = {
    "bad UTF-8": (1007, [(TEXT, b"\xff" + MARK.encode())]),
    "bad UTF-8 over parts": (1007, [(0x03, b"\xe2\x82"), (TEXT, b"x")]),
    "unknown numbered frame": (1002, [(0x06, MARK.encode())]),
    "parts of two kinds": (1002, [(0x03, b"a"), (0x02, b"b")]),
    "a text in the parts of a binary": (1002, [(0x04, b"a"), (TEXT, b"b")]),
    "close code that is never sent": (1002, [close(1005)]),
    "close of one byte": (1002, [(0x05, b"\x03")]),
    "close reason not UTF-8": (1007, [(0x05, b"\x03\xe8\xff")]),
}


@pytest.mark.parametrize("name", FATAL)
async def test_fatal_to_one_session(served: Served, name: str) -> None:
    code, frames = FATAL[name]
    page = served.page("/puppet")
    first = await served.play(page)
    second = await served.play(page, 2)
    async with page.stream(section(1), section(2)) as downstream:
        answer = await page.upload(section(1, 0, 1), *frames, section(2, 0, 1), text("fine"))
        assert answer.status == 200 and answer.ack(2) == 1
        assert await second.texts(1) == ["fine"]
        assert (await first.disconnect())[0] == code
        await downstream.until(0x05)
        [(kind, payload)] = answer_said(downstream.frames, 1)
        assert kind == 0x05 and int.from_bytes(payload[:2], "big") == code
        assert MARK.encode() not in payload
        assert not answer_said(downstream.frames, 2)
        again = await page.upload(section(1, 0, 1), *frames, section(2, 0, 2), text("still"))
        assert again.ack(2) == 2
        assert await second.texts(1) == ["still"]
    for endpoint in (first, second):
        endpoint.leave()


def answer_said(frames: list[tuple[int, object]], socket: int) -> list[tuple[int, bytes]]:
    return [frame for number, frame in by_socket(frames) if number == socket]
