"""docs/protocol.md sections 7 and 8: attaches, take-over, heartbeat, and each transport down."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from emulation.protocol.frames import DOCUMENT, TEXT, document
from tests.session.stage import Played, Served, serving
from tests.session.wire import FORMS, Page, close, documents, numbers, section, text

pytestmark = pytest.mark.usefixtures("beside")

WAYS = ["stream", "xhr-stream", "poll", "sse"]


class Parked:
    """A downstream of any kind that waits: what has come of it, and its end."""

    def __init__(self) -> None:
        self.frames: list[Any] = []
        self.is_over = anyio.Event()

    def texts(self) -> list[str]:
        return [payload.decode() for kind, payload in numbers(self.frames).values() if kind == TEXT]

    async def until(self, condition: Callable[[list[Any]], object]) -> None:
        """Wait until the frames are as they should."""
        for _ in range(1000):
            if condition(self.frames):
                return
            await anyio.sleep(0.01)
        raise AssertionError(f"there came {self.frames}")

    async def until_over(self) -> list[Any]:
        with anyio.fail_after(10):
            await self.is_over.wait()
        return self.frames


@asynccontextmanager
async def parked(served: Served, page: Page, way: str, *, attach: int) -> AsyncIterator[Parked]:
    """Attach in one of the ways, and read what comes; at the end of the block it is left."""
    found = Parked()
    page.form = "json" if way == "xhr-stream" else "binary"
    carrier = served.registry.carriers[page.key]

    async def poll() -> None:
        answer = await page.poll(section(1), attach=attach)
        found.frames = answer.frames
        found.is_over.set()

    async def read() -> None:
        opened = page.stream(attach=attach)
        if way == "sse":
            opened = page.events(await page.ticket(attach=attach))
        async with opened as downstream:
            found.frames = downstream.frames
            while await downstream.more():
                pass
        found.is_over.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(poll if way == "poll" else read)
        await served.eventually(
            lambda: carrier.attach == attach and (way == "poll" or found.frames), "it is there"
        )
        yield found
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("newer", WAYS)
@pytest.mark.parametrize("older", WAYS)
async def test_the_newest_attach_takes_over(served: Served, older: str, newer: str) -> None:
    page = served.page("/puppet")
    endpoint = await served.play(page)
    async with parked(served, page, older, attach=3) as first:
        if older != "poll":
            await endpoint.send("send", text="one")
            await served.eventually(lambda: first.texts() == ["one"], "one came")
        async with parked(served, page, newer, attach=4) as second:
            ended = await first.until_over()
            assert ended[0][1] == ["head", 1, page.key, 3]
            assert ended[-1][1][0] == "end"
            await endpoint.send("send", text="two")
            everything = ["two"] if older == "poll" else ["one", "two"]
            if newer == "poll":
                del everything[1:]  # a poll is answered at once by what was not acknowledged
            await served.eventually(lambda: second.texts() == everything, "it came")
            assert second.frames[0][1] == ["head", 1, page.key, 4]
            assert "two" not in first.texts()
    endpoint.leave()


@pytest.mark.parametrize("way", WAYS)
async def test_a_lower_attach_disturbs_nobody(served: Served, way: str) -> None:
    page = served.page("/puppet")
    endpoint = await served.play(page)
    async with page.stream(attach=9) as newest:
        await newest.until(DOCUMENT, "credit")
        if way == "sse":
            ticket = await page.ticket(attach=8)
            async with page.events(ticket) as late:
                assert late.status == 204
        elif way == "poll":
            answer = await page.poll(section(1), attach=8)
            assert [words[0] for _, words in answer.frames] == ["head", "end"]
        else:
            page.form = "json" if way == "xhr-stream" else "binary"
            async with page.stream(attach=8) as late:
                frames = await late.until_end()
                assert [words[0] for _, words in frames] == ["head", "end"]
                assert frames[0][1] == ["head", 1, page.key, 8]
        await endpoint.send("send", text="to the newest")
        await newest.until_text("to the newest")
    endpoint.leave()


@pytest.mark.parametrize("way", WAYS)
async def test_an_attach_says_first_what_the_page_has_not(served: Served, way: str) -> None:
    """Of every socket at home on the carrier: ack, credit, and its frames from the first on."""
    page = served.page("/puppet")
    first = await served.play(page, 1)
    second = await served.play(page, 2)
    await page.upload(section(2, 0, 1), text("up"))
    for number in range(1, 4):
        await first.send("send", text=f"one, {number}")
    await page.poll(section(1))
    await page.upload(section(1, 1))
    await second.send("send", text="two, 1")
    page.form = "json" if way == "xhr-stream" else "binary"
    if way == "poll":
        frames = (await page.poll(section(1, 1))).frames
    else:
        opened = page.stream(section(1, 1))
        if way == "sse":
            opened = page.events(await page.ticket(section(1, 1)))
        async with opened as downstream:
            frames = await downstream.until_text("two, 1")
    assert sorted(documents(frames, "section")) == [["section", 1, 0, 2], ["section", 2, 1, 1]]
    assert len(documents(frames, "credit")) == 2
    assert numbers(frames, 1) == {2: text("one, 2"), 3: text("one, 3")}
    assert numbers(frames, 2) == {1: text("two, 1")}
    first.leave()
    second.leave()


@FORMS
async def test_a_poll_is_answered_for_more_than_acks(served: Served, played: Played) -> None:
    page, endpoint = played
    async with served.parked(page) as answers:
        # An ack is owed, and a credit of less than a quarter: neither is an answer.
        await page.upload(section(1, 0, 1), text("x"))
        await endpoint.texts(1)
        await page.upload(section(1))
        assert not answers
        await endpoint.send("close", code=3000)
    assert answers[0].said() == [close(3000)]
    assert int(answers[0].headers["content-length"]) == len(answers[0].body)


@FORMS
async def test_of_an_unknown_socket_an_attach_says_gone(served: Served, form: str) -> None:
    page = served.page(form=form)
    await page.opened()
    poll = await page.poll(section(7), section(1), section(8))
    assert documents(poll.frames, "gone") == [["gone", 7], ["gone", 8]]
    async with page.events(await page.ticket(section(7), section(1))) as downstream:
        await downstream.until(DOCUMENT, "gone")
        assert documents(downstream.frames, "gone") == [["gone", 7]]


# --- Heartbeat and presence (section 7.2) ---------------------------------------------------------


async def test_a_wait_never_lengthens_and_holds_until_the_next_attach() -> None:
    async with serving(poll_time=0.3, heartbeat=1) as served:
        page = served.page()
        await page.opened()
        carrier = served.registry.carriers[page.key]
        with anyio.fail_after(5):
            answer = await page.poll(document("wait", 1000), section(1))
        assert answer.said() == []
        await page.poll(document("wait", 0), section(1))
        assert carrier.wait == 0
        async with served.parked(page):
            assert carrier.wait == math.inf, "the attach before had asked for it"


@pytest.mark.parametrize("way", WAYS)
async def test_what_serves_no_socket_any_more_ends(served: Served, way: str) -> None:
    page = served.page()
    await page.opened()
    async with parked(served, page, way, attach=1) as downstream:
        await page.upload(section(1, 0, 1), close(1000))
        frames = await downstream.until_over()
    assert numbers(frames) == {1: close(1000)}
    assert frames[-1][1][0] == "end"


@pytest.mark.parametrize("way", ["stream", "xhr-stream", "poll", "sse"])
async def test_a_disconnect_is_no_evidence(served: Served, way: str) -> None:
    """Whoever leaves a downstream is still there: what was said meanwhile is kept."""
    page = served.page("/puppet")
    endpoint = await served.play(page)
    async with parked(served, page, way, attach=1):
        pass
    for number in range(3):
        await endpoint.send("send", text=str(number))
    page.attach = 1
    page.form = "binary"
    async with page.stream() as again:
        await again.until_text("2")
        assert again.texts() == ["0", "1", "2"]
    endpoint.leave()


# --- Tickets (section 8.3) ------------------------------------------------------------------------


async def test_events_are_lines_of_the_json_form(served: Served) -> None:
    page = served.page("/puppet")
    endpoint = await served.play(page)
    for number in range(5):
        await endpoint.send("send", text=f"{number}\n\r\u2028é" + "x" * 3_000)
    ticket = await page.ticket(attach=5)
    raw = b""
    url = page.address(f"emulation=sse.{page.key}.{ticket}")
    async with page.client.stream("GET", url, headers=page.headers) as response:
        pieces = response.aiter_raw()
        with anyio.fail_after(10):
            while b'"4\\n' not in raw:
                raw += await anext(pieces)
            async with page.stream(attach=6):
                while b'["end",' not in raw:
                    raw += await anext(pieces)
    events = raw.split(b"\n\n")
    assert events.pop() == b"" and raw.isascii()
    lines = []
    for event in events:
        # Nothing but data, and one line of it.
        assert event.startswith(b"data: [") and b"\n" not in event and b"\r" not in event
        lines.append(event.removeprefix(b"data: ") + b"\n")
    size = sum(map(len, lines[:-1]))
    assert lines[-1] == b'[["end",%d]]\n' % size
    assert lines[0].startswith(b'[["head",1,"%s",5]' % page.key.encode())
    endpoint.leave()


async def test_a_ticket_is_answered_at_once_and_is_128_bits(served: Served) -> None:
    page = served.page("/puppet")
    endpoint = await served.play(page)
    tickets = set()
    for _ in range(20):
        answer = await page.post("ticket", section(1), number=page.next_attach(None))
        assert [words[0] for _, words in answer.frames] == ["head", "ticket", "end"]
        [[_, ticket]] = documents(answer.frames, "ticket")
        tickets.add(ticket)
        assert len(ticket) == 22
    assert len(tickets) == 20
    async with page.events(sorted(tickets - {ticket})[0]) as downstream:
        assert downstream.status == 204, "only the newest is good"
    endpoint.leave()


@pytest.mark.parametrize("way", WAYS)
async def test_a_stream_says_that_it_flows(served: Served, way: str) -> None:
    """In a piece of its own, behind what comes with the head, and once."""
    page = served.page("/puppet")
    endpoint = await served.play(page)
    async with parked(served, page, way, attach=1) as downstream:
        if way != "poll":
            await downstream.until(lambda frames: frames)
            assert not documents(downstream.frames, "flows")
            await downstream.until(lambda frames: documents(frames, "flows"))
            await anyio.sleep(0.5)
        await endpoint.send("send", text="something")
        await downstream.until(lambda _: downstream.texts())
        assert documents(downstream.frames, "flows") == ([] if way == "poll" else [["flows"]])
        endpoint.leave()


async def test_a_socket_that_is_named_no_more() -> None:
    """Its page has given it up, and nothing that says so has come; the others go on."""
    async with serving(heartbeat=0.3, poll_time=0.3, resume_time=0.5) as served:
        page = served.page("/puppet")
        one, two = [await served.play(page, number) for number in (1, 2)]
        async with page.stream(section(1), section(2)) as downstream:
            carrier = served.registry.carriers[page.key]
            while carrier.live == 2:
                pings = len(documents(downstream.frames, "ping"))
                while len(documents(downstream.frames, "ping")) == pings:
                    assert await downstream.more()
                await page.upload(section(1))
            assert await two.disconnect() == (1006, "")
            await one.send("send", text="still there")
            await downstream.until_text("still there")
        one.leave()
        two.leave()


async def test_a_poll_brings_more_as_its_page_is_quick(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is not there within some seconds is asked for again, from its beginning."""
    page = served.page("/puppet")
    endpoint = await served.play(page)
    carrier = served.registry.carriers[page.key]
    sizes = []
    ack = 0
    for seconds in (0, 9, 0):
        # As much as the window lets in.
        while carrier.sessions[1].connection.unacknowledged_bytes < 900_000:
            await endpoint.send("send", bytes=bytes(16_384))
        frames = numbers((await page.poll(section(1, ack))).frames)
        sizes.append(sum(len(payload) for _, payload in frames.values()) >> 10)
        ack = max(frames)
        monkeypatch.setattr(carrier, "_batched_at", carrier._batched_at - seconds)
    assert sizes == [256, 512, 256]
    endpoint.leave()
