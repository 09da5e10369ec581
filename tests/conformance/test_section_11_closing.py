"""docs/protocol.md section 11: closes, graves, `bye`, and the end of the server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from emulation.protocol.frames import BINARY, CLOSE, DOCUMENT, document
from tests.session.native import resumed
from tests.session.stage import Endpoint, Played, Served, serving
from tests.session.wire import (
    FORMS,
    Page,
    close,
    documents,
    drawn,
    encoded,
    numbers,
    read_answer,
    section,
    text,
)
from tests.support.streams import connection_to

pytestmark = pytest.mark.usefixtures("beside")


@FORMS
async def test_what_follows_a_close_is_passed_over_and_not_acknowledged(
    played: Played, form: str
) -> None:
    page, endpoint = played
    behind = [text("behind it"), close(3001), (0x3F, b"") if form == "binary" else text("\x06")]
    for _ in range(2):
        answer = await page.upload(section(1, 0, 1), text("one"), close(3000, "done"), *behind)
        assert answer.status == 200 and answer.ack() == 2
    assert await endpoint.texts(1) == ["one"]
    assert await endpoint.disconnect() == (3000, "done")
    assert numbers((await page.poll(section(1))).frames) == {1: close(3000, "done")}


@FORMS
@pytest.mark.parametrize("sent", [0, 2])
async def test_a_close_has_the_number_of_what_was_never_sent(played: Played, sent: int) -> None:
    """Who takes a close drops what no wire has seen, and what it has seen still comes."""
    page, endpoint = played
    for number in range(sent):
        await endpoint.send("send", text=str(number))
    seen = numbers((await page.poll(document("wait", 0), section(1))).frames)
    assert len(seen) == sent
    for _ in range(3):
        await endpoint.send("send", bytes=b"x" * 40_000)
    await page.upload(section(1, 0, 1), close(4000))
    assert await endpoint.disconnect() == (4000, "")
    everything = {**seen, sent + 1: close(4000)}
    for _ in range(2):
        assert numbers((await page.poll(section(1))).frames) == everything
    # Until it is acknowledged.
    await page.upload(section(1, sent + 1))
    again = await page.poll(document("wait", 0), section(1))
    assert not numbers(again.frames) and not documents(again.frames, "gone")


@FORMS
@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999])
async def test_a_close_is_answered_in_kind(played: Played, code: int) -> None:
    page, endpoint = played
    reason = "é" * 61 + "."
    assert len(reason.encode()) == 123
    await page.upload(section(1, 0, 1), close(code, reason))
    assert await endpoint.disconnect() == (code, reason)
    assert numbers((await page.poll(section(1))).frames) == {1: close(code, reason)}


BAD = {
    "a code that is none": (999).to_bytes(2, "big"),
    "1004": (1004).to_bytes(2, "big"),
    "1005": (1005).to_bytes(2, "big"),
    "1006": (1006).to_bytes(2, "big"),
    "1015": (1015).to_bytes(2, "big"),
    "2999": (2999).to_bytes(2, "big"),
    "5000": (5000).to_bytes(2, "big"),
    "a reason of 124 bytes": b"\x03\xe8" + b"x" * 124,
}


@FORMS
@pytest.mark.parametrize("name", BAD)
async def test_a_close_that_may_not_be_ends_the_session(played: Played, name: str) -> None:
    page, endpoint = played
    answer = await page.upload(section(1, 0, 1), text("one"), (CLOSE, BAD[name]))
    assert answer.status == 200 and answer.ack() == 1
    assert await endpoint.texts(1) == ["one"]
    assert (await endpoint.disconnect())[0] == 1002
    [(kind, payload)] = numbers((await page.poll(section(1))).frames).values()
    assert (kind, payload[:2]) == (CLOSE, (1002).to_bytes(2, "big"))


@FORMS
async def test_a_grave_answers_over_every_way(played: Played) -> None:
    page, endpoint = played
    await endpoint.send("close", code=3000, reason="over")
    assert numbers((await page.poll(section(1))).frames) == {1: close(3000, "over")}
    await page.upload(section(1, 0, 1), text("late"), close(3000))
    await endpoint.disconnect()
    endpoint.leave()
    # Its close was not acknowledged so far.
    async with page.stream() as downstream:
        await downstream.until(CLOSE)
    async with page.events(await page.ticket()) as downstream:
        await downstream.until(CLOSE)
    async with resumed(page) as native:
        assert (await native.until("resumed"))[1] == 2
        assert await native.until("c") == ["c", 3000, "over"]
        await native.until_closed()
    repeat = await page.upload(section(1, 1, 1), text("late"), close(3000))
    assert repeat.status == 204 or repeat.ack() == 2


async def test_bye_takes_what_fits_into_it(served: Served) -> None:
    page = served.page("/puppet", form="json")
    endpoint = await served.play(page)
    await page.upload(section(1, 0, 1), text("one"))
    body = encoded(
        page.head(2),
        section(1, 0, 1), text("one"), (BINARY, b"x" * 40_000), document("last", 2),
        form="json",
    )  # fmt: skip
    answer = await page.request("POST", page.url("bye"), body, content_type="text/plain")
    assert (answer.status, answer.body) == (204, b"")
    assert await endpoint.texts(1) == ["one"]
    assert len((await endpoint.receive())["bytes"]) == 40_000
    assert await endpoint.disconnect() == (1001, "")
    endpoint.leave()


# --- The server's end -----------------------------------------------------------------------------


@asynccontextmanager
async def listening(page: Page, way: str) -> AsyncIterator[Any]:
    """Have a downstream; yield what reads it to its end and returns the numbered frames."""
    if way == "websocket":
        async with resumed(page) as native:
            await native.until("resumed")

            async def until_closed() -> list[Any]:
                return [said for said in await native.until_closed() if said[0] == "c"]

            yield until_closed
        return
    opened = page.stream()
    if way == "sse":
        opened = page.events(await page.ticket())
    async with opened as downstream:
        await downstream.until(DOCUMENT, "credit")

        async def until_end() -> list[Any]:
            return list(numbers(await downstream.until_end()).values())

        yield until_end


@pytest.mark.parametrize("way", ["websocket", "stream", "xhr-stream", "sse", "poll"])
async def test_a_server_that_goes_down_says_1012_and_ends_all(way: str) -> None:
    async with serving() as served:
        page = served.page("/puppet", form="json" if way == "xhr-stream" else "binary")
        endpoint = await served.play(page)
        with anyio.fail_after(10):
            if way == "poll":
                async with served.parked(page) as answers:
                    served.middleware.go_down()
                assert answers[0].said() == [close(1012)]
            else:
                async with listening(page, way) as end:
                    served.middleware.go_down()
                    said = await end()
                assert said == ([["c", 1012]] if way == "websocket" else [close(1012)])
        assert await endpoint.disconnect() == (1012, "")
        endpoint.leave()
        late = await served.page().open(nonce=drawn())
        assert late.status == 503 and int(late.headers["retry-after"]) > 0
        # What is left is still answered.
        assert (await page.upload(section(1, 1, 1), close(1012))).status in (200, 204)


async def test_pages_are_told_one_by_one_that_the_server_goes_down() -> None:
    """Whoever is told comes back: not all at the same moment, and not in the order they came."""
    async with serving() as served, anyio.create_task_group() as tasks:
        told: list[tuple[float, int]] = []

        async def listen(number: int, endpoint: Endpoint) -> None:
            assert await endpoint.disconnect() == (1012, "")
            told.append((anyio.current_time(), number))
            endpoint.leave()

        for number in range(40):
            tasks.start_soon(listen, number, await served.play(served.page("/puppet")))
        served.middleware.go_down()
        with anyio.fail_after(10):
            while len(told) < 40:  # noqa: ASYNC110 (a list)
                await anyio.sleep(0.01)
        assert told[-1][0] - told[0][0] > 0.02, told
        assert [number for _, number in told] != list(range(40))


async def test_a_body_that_does_not_come_when_all_has_ended() -> None:
    """A server that goes on behind its end still bounds what it reads."""
    async with serving(drain_time=0.1) as served:
        page = served.page()
        await page.opened()
        registry = served.registry
        served.middleware.go_down()
        await served.eventually(lambda: registry.deadlines._timer is None, "the end of all looks")
        port = int(served.url.rpartition(":")[2])
        async with connection_to("127.0.0.1", port) as (reader, writer):
            writer.write(page.raw("send", encoded(page.head(1), section(1)))[:-5])
            assert (await read_answer(reader)).status == 408
