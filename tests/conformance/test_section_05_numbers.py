"""docs/protocol.md sections 5 and 6: numbers, acknowledgement, credit, window, and uploads."""

from __future__ import annotations

import time
from typing import Any

import anyio
import pytest

from emulation.protocol.frames import BINARY, BINARY_PART, DOCUMENT, TEXT, document
from tests.session.stage import Endpoint, Played, Served, serving
from tests.session.wire import (
    FORMS,
    Answer,
    Downstream,
    Page,
    close,
    documents,
    encoded,
    numbers,
    section,
    text,
)

pytestmark = pytest.mark.usefixtures("beside")

BYTES = (BINARY, bytes(16_000))


def ack_of(answer: Answer, upload: int) -> int:
    """Return what an answer acknowledges of socket 1; of a 204, that is all of `upload`."""
    return upload if answer.status == 204 else answer.ack()


async def look(page: Page, ack: int = 0) -> dict[int, Any]:
    """Poll without waiting; return what is not acknowledged, by its numbers."""
    return numbers((await page.poll(document("wait", 0), section(1, ack))).frames)


# --- Acknowledgement (section 5.1) ----------------------------------------------------------------


@FORMS
async def test_what_is_not_acknowledged_comes_again_alike(played: Played) -> None:
    page, endpoint = played
    for message in ("one", "two", "three"):
        await endpoint.send("send", text=message)
    everything = {1: text("one"), 2: text("two"), 3: text("three")}
    assert await look(page) == everything
    assert await look(page) == everything
    assert await look(page, ack=2) == {3: text("three")}
    # A lower ack than one that came before says nothing.
    assert await look(page, ack=1) == {3: text("three")}
    await page.upload(section(1, 0))
    assert await look(page) == {3: text("three")}
    await endpoint.send("send", bytes=b"four")
    assert await look(page) == {3: text("three"), 4: (BINARY, b"four")}
    # By an upload as well as by an attach, and in any section of it.
    await page.upload(section(1, 3), section(1, 1))
    assert await look(page) == {4: (BINARY, b"four")}
    assert await look(page, ack=4) == {}


@FORMS
async def test_an_attach_acknowledges_what_came_up(played: Played) -> None:
    page, endpoint = played
    await page.upload(section(1, 0, 1), text("one"), text("two"))
    answer = await page.poll(document("wait", 0), section(1))
    assert documents(answer.frames, "section") == [["section", 1, 2, 0]]
    # An ack may go down with what the application says.
    async with page.stream() as downstream:
        await downstream.until(DOCUMENT, "credit")
        await page.upload(section(1, 0, 3), text("three"))
        await endpoint.send("send", text="down")
        await downstream.until_text("down")
        assert documents(downstream.frames, "section")[-1] == ["section", 1, 3, 1]


@FORMS
async def test_repeats_are_dropped_and_gaps_are_not_taken(played: Played) -> None:
    page, endpoint = played
    said = [text(f"{number}") for number in range(1, 8)]
    taken = 0
    # (first, count): repeats, what overlaps, gaps, what is far away, and again.
    for first, count in ((1, 2), (1, 2), (2, 2), (5, 2), (1, 1), (4, 1), (1, 6), (2**53 - 9, 1),
                         (8, 1), (7, 1)):  # fmt: skip
        frames = said[first - 1 : first - 1 + count] or [text("from nowhere")]
        answer = await page.upload(section(1, 0, first), *frames)
        last = first + len(frames) - 1
        if first <= taken + 1:
            taken = max(taken, last)
        assert ack_of(answer, taken) == taken
        if first > taken:
            assert answer.status == 200, "a 204 would say that all of it was taken"
    assert await endpoint.texts(7) == [str(number) for number in range(1, 8)]
    await page.upload(section(1, 0, 8), text("the next"))
    assert await endpoint.texts(1) == ["the next"]


@FORMS
async def test_a_repeat_with_another_content_changes_nothing(played: Played) -> None:
    page, endpoint = played
    await page.upload(section(1, 0, 1), text("first"), (BINARY_PART, b"a"))
    await page.upload(section(1, 0, 1), text("forged"), (BINARY_PART, b"b"), (BINARY, b"c"))
    assert await endpoint.texts(1) == ["first"]
    assert (await endpoint.receive())["bytes"] == b"ac"


@FORMS
@pytest.mark.parametrize("way", ["send", "poll", "stream", "ticket", "bye"])
async def test_an_ack_of_what_was_never_sent(served: Served, form: str, way: str) -> None:
    """Wherever it stands it ends its socket with 1002, and no other."""
    page = served.page("/puppet", form=form)
    first = await served.play(page, 1)
    second = await served.play(page, 2)
    await first.send("send", text="one")
    await page.poll(section(1))
    # It has its number, but has been on no wire so far.
    await first.send("send", text="two")
    if way == "stream":
        async with page.stream(section(1, 2), section(2), attach=7) as downstream:
            await downstream.until(DOCUMENT, "credit")
    else:
        await page.post(way, section(1, 2), section(2), number=7)
    assert (await first.disconnect())[0] == 1002
    page.attach = 7
    await page.upload(section(2, 0, 1), text("unharmed"))
    assert await second.texts(1) == ["unharmed"]
    poll = await page.poll(section(1), section(2))
    kind, payload = list(numbers(poll.frames).values())[-1]
    assert (kind, payload[:2]) == (5, (1002).to_bytes(2, "big"))
    first.leave()
    second.leave()


# --- Credit (section 5.2) -------------------------------------------------------------------------


def credits(frames: list[Any]) -> list[list[int]]:
    return [said[1:] for said in documents(frames, "credit")]


@FORMS
@pytest.mark.parametrize("kind", ["text", "bytes"])
async def test_credit_in_bytes_is_exact(form: str, kind: str) -> None:
    """Text is counted in UTF-8, whatever the form."""
    async with serving(window_bytes=70_000) as served:
        page = served.page("/puppet", form=form)
        endpoint = await served.play(page)
        piece = text("é" * 17_500) if kind == "text" else (BINARY, b"x" * 35_000)
        answer = await page.upload(section(1, 0, 1), piece, piece)
        assert ack_of(answer, 2) == 2, "all of the window may be used"
        # A byte beyond it is not taken; what needs no byte is, and so is a close.
        answer = await page.upload(section(1, 0, 3), text("x"))
        assert answer.status == 200 and answer.ack() == 2
        assert credits(answer.frames) == [[70_000, 1024]]
        answer = await page.upload(section(1, 0, 3), text(""), close(3000))
        assert ack_of(answer, 4) == 4
        for _ in range(2):
            event = await endpoint.receive()
            assert len((event.get("text") or "").encode() or event["bytes"]) == 35_000
        assert await endpoint.texts(1) == [""]
        assert await endpoint.disconnect() == (3000, "")
        endpoint.leave()


@FORMS
async def test_credit_in_frames_is_exact_and_a_close_needs_none(form: str) -> None:
    async with serving(window_frames=4) as served:
        page = served.page("/puppet", form=form)
        endpoint = await served.play(page)
        answer = await page.upload(section(1, 0, 1), *[text("")] * 5)
        assert answer.status == 200 and answer.ack() == 4
        assert credits(answer.frames) == [[served.middleware.config.window_bytes, 4]]
        answer = await page.upload(section(1, 0, 5), close(1000))
        assert ack_of(answer, 5) == 5
        assert await endpoint.texts(4) == [""] * 4
        assert await endpoint.disconnect() == (1000, "")
        endpoint.leave()


@FORMS
async def test_what_was_not_taken_is_taken_later_from_the_middle(form: str) -> None:
    """An upload is taken as far as credit allows; its sockets do not wait for one another."""
    async with serving(window_frames=4) as served:
        page = served.page("/puppet", form=form)
        first = await served.play(page, 1)
        second = await served.play(page, 2)
        said = [text(str(number)) for number in range(1, 11)]
        received: list[str] = []
        acks = []
        for _ in range(3):
            answer = await page.upload(section(1, 0, 1), *said, section(2, 0, 1), *said[:2])
            acks.append(ack_of(answer, 10))
            if answer.status == 200:
                assert answer.ack(2) == 2
            received += await first.texts(acks[-1] - len(received))
        assert acks == [4, 8, 10]
        assert received == [str(number) for number in range(1, 11)]
        assert await second.texts(2) == ["1", "2"]
        first.leave()
        second.leave()


@FORMS
async def test_pieces_that_are_put_together_need_no_application(form: str) -> None:
    """A message larger than the window goes through although nobody receives meanwhile."""
    async with serving(window_bytes=70_000, part_size=10_000) as served:
        page = served.page("/puppet", form=form)
        endpoint = await served.play(page)
        pieces = [(BINARY_PART, bytes([number]) * 10_000) for number in range(20)]
        first = 1
        granted = 70_000
        while first <= 20:
            answer = await page.upload(section(1, 0, first), *pieces[first - 1 : first + 6])
            for size, _ in credits(answer.frames):
                assert size >= granted, "credit fell"
                granted = size
            ack = ack_of(answer, min(first + 6, 20))
            assert ack >= first
            first = ack + 1
        assert granted >= 200_000
        await page.upload(section(1, 0, 21), (BINARY, b""))
        assert (await endpoint.receive())["bytes"] == b"".join(piece for _, piece in pieces)
        endpoint.leave()


@FORMS
async def test_credit_is_told_at_a_quarter_and_on_every_attach(form: str) -> None:
    async with serving(window_frames=16) as served:
        page = served.page("/puppet", form=form)
        endpoint = await served.play(page)
        quiet = await served.play(page, 2)
        await page.upload(section(1, 0, 1), *[text("x")] * 16)
        async with page.stream() as downstream:
            # Of every socket, the one that is not named included.
            await both_credits(downstream)
            assert credits(numbered_of(downstream, 1))[-1][1] == 16
            assert credits(numbered_of(downstream, 2))[-1][1] == 16
            await endpoint.texts(3)
            await endpoint.send("send", text="three received")
            await downstream.until_text("three received")
            assert credits(numbered_of(downstream, 1))[-1][1] == 16, "less than a quarter"
            await endpoint.texts(1)
            await endpoint.send("send", text="four received")
            await downstream.until_text("four received")
            assert credits(numbered_of(downstream, 1))[-1][1] == 20
        await endpoint.texts(1)
        async with page.stream() as downstream:
            await both_credits(downstream)
            assert credits(numbered_of(downstream, 1))[0][1] == 21, "told anew, however little"
        endpoint.leave()
        quiet.leave()


@FORMS
async def test_credit_in_an_answer_is_told_again_until_it_goes_down(form: str) -> None:
    """An answer may be lost, and of an upload that was sent twice one is thrown away."""
    async with serving(window_frames=16) as served:
        page = served.page("/puppet", form=form)
        endpoint = await served.play(page)
        said = section(1, 0, 1), *[text("x")] * 4
        await page.upload(*said)
        await endpoint.texts(4)
        for again in (said, (section(1),), (section(1, 0, 5), text("x"))):
            answer = await page.upload(*again)
            assert credits(answer.frames)[-1][1] == 20
        async with page.stream() as downstream:
            await downstream.until(DOCUMENT, "credit")
            assert credits(downstream.frames) == [[1024 * 1024 + 4, 20]]
            answer = await page.upload(section(1))
            assert answer.status == (204 if form == "binary" else 200)
            # From an answer, it goes down with whatever goes down next.
            await endpoint.texts(1)
            await page.upload(section(1, 0, 6), *[text("x")] * 4)
            await endpoint.texts(4)
            await downstream.until_credit(25)
        endpoint.leave()


async def both_credits(downstream: Downstream) -> None:
    with anyio.fail_after(10):
        while not all(credits(numbered_of(downstream, socket)) for socket in (1, 2)):
            assert await downstream.more()


def numbered_of(downstream: Downstream, socket: int) -> list[Any]:
    """Return all that stands in the sections of a socket."""
    found: list[Any] = []
    is_inside = False
    for kind, payload in downstream.frames:
        if kind == DOCUMENT and payload[0] == "section":
            is_inside = payload[1] == socket
        if is_inside:
            found.append((kind, payload))
    return found


@FORMS
async def test_the_window_down_is_in_bytes_too_and_its_last_message_may_pass_it(form: str) -> None:
    async with serving(window_bytes=70_000) as served:
        page = served.page("/puppet", form=form)
        endpoint = await served.play(page)
        await endpoint.send("send", bytes=b"x" * 65_000)
        await endpoint.send("send", bytes=b"y" * 60_000)
        async with anyio.create_task_group() as tasks:
            went = anyio.Event()

            async def send() -> None:
                await endpoint.send("send", text="third")
                went.set()

            tasks.start_soon(send)
            assert list(await look(page)) == [1, 2]
            assert not went.is_set()
            await page.upload(section(1, 1))
            with anyio.fail_after(10):
                await went.wait()
        assert list(await look(page, ack=1)) == [2, 3]
        endpoint.leave()


# --- Uploads (section 6) --------------------------------------------------------------------------


@FORMS
async def test_an_answer_has_a_section_for_every_socket_of_the_upload(
    served: Served, form: str
) -> None:
    page = served.page("/puppet", form=form)
    endpoints = [await served.play(page, socket) for socket in (1, 2, 3)]
    answer = await page.upload(
        section(3, 0, 1),
        text("x"),
        section(77),
        section(1),
        section(3, 0, 2),
        text("y"),
        section(2),
    )
    assert answer.status == 200 and answer.ended
    assert answer.head == ["head", 1, page.key, page.uploads]
    assert documents(answer.frames, "written") == [["written", 0, 0]]
    assert documents(answer.frames, "gone") == [["gone", 77]]
    assert sorted(documents(answer.frames, "section")) == [
        ["section", 1, 0, 0],
        ["section", 2, 0, 0],
        ["section", 3, 2, 0],
    ]
    for endpoint in endpoints:
        endpoint.leave()


DOWNSTREAMS = ["stream", "xhr-stream", "sse"]


@pytest.mark.parametrize("way", DOWNSTREAMS)
async def test_an_answer_says_what_was_written(served: Served, way: str) -> None:
    """All frames of the downstream's body from its head on, whatever they are."""
    page = served.page("/puppet", form="json" if way == "xhr-stream" else "binary")
    endpoint = await served.play(page)
    page.attach = 40
    downstream_of = page.events(await page.ticket()) if way == "sse" else page.stream()
    async with downstream_of as downstream:
        for number in range(1, 4):
            await endpoint.send("send", text=f"{number}")
            await downstream.until_text(f"{number}")
            read = len(downstream.frames)
            binary, json = await in_both_forms(page, endpoint)
            assert binary == (41, read)
            assert json == (41, read)
    await served.eventually(
        lambda: served.registry.carriers[page.key].downstream is None, "the downstream is lost"
    )
    assert await in_both_forms(page, endpoint) == ((0, 0), (0, 0))
    endpoint.leave()


async def in_both_forms(page: Page, endpoint: Endpoint) -> tuple[Any, Any]:
    """Upload in each form; return the attach and the count of frames that the answers say."""
    form, page.form = page.form, "binary"
    answer = await page.upload(section(1))
    assert answer.status == 204 and not answer.body
    version, key, number, attach, frames = answer.headers["emulation"].split(" ")
    assert (version, key, number) == ("1", page.key, str(page.uploads))
    page.form = "json"
    answer = await page.upload(section(1))
    assert answer.status == 200
    [written] = documents(answer.frames, "written")
    page.form = form
    return (int(attach), int(frames)), tuple(written[1:])


async def test_the_parked_poll_is_named_without_a_count(served: Served) -> None:
    """How much of a poll's answer was written nobody is told: it comes whole or not at all."""
    page = served.page("/puppet")
    endpoint = await served.play(page)
    async with served.parked(page, attach=9):
        assert await in_both_forms(page, endpoint) == ((9, 0), (9, 0))
        await endpoint.send("send", text="done")
    endpoint.leave()


async def test_when_204_is_the_answer(served: Served) -> None:
    """Only in the binary form, when all was taken, all is known, and no credit is to be told."""
    async with serving(window_frames=8) as served:
        page = served.page("/puppet")
        endpoint = await served.play(page)
        assert (await page.upload()).status == 204
        assert (await page.upload(section(1, 0, 1), text("1"), text("2"))).status == 204
        assert (await page.upload(section(1, 0, 1), text("1"), text("2"))).status == 204
        assert (await page.upload(section(1, 0, 4), text("4"))).status == 200
        assert (await page.upload(section(2))).status == 200
        cut = encoded(page.head(9), section(1), end=False)
        assert (await page.request("POST", page.url("send"), cut)).status == 200
        page.form = "json"
        assert (await page.upload(section(1))).status == 200
        page.form = "binary"
        await endpoint.texts(2)
        # Two of eight is a quarter: the credit is to be told, until it has been told down.
        for _ in range(2):
            told = await page.upload(section(1))
            assert told.status == 200 and credits(told.frames)[-1][1] == 10
        assert credits((await page.poll(document("wait", 0), section(1))).frames)[-1][1] == 10
        assert (await page.upload(section(1))).status == 204
        endpoint.leave()


async def test_a_204_is_a_told_ack(served: Served) -> None:
    """A poll is not answered for an ack which the answer to the upload has told."""
    page = served.page("/puppet")
    endpoint = await served.play(page)
    async with served.parked(page) as answers:
        for number in range(1, 21):
            assert (await page.upload(section(1, 0, number), text("x"))).status == 204
        assert not answers
        await endpoint.send("send", text="a message is an answer")
    assert answers[0].said() == [text("a message is an answer")]
    endpoint.leave()


@FORMS
async def test_a_section_in_error_harms_no_other(served: Served, form: str) -> None:
    page = served.page("/puppet", form=form)
    first = await served.play(page, 1)
    second = await served.play(page, 2)
    answer = await page.upload(
        section(2, 0, 1), text("before"),
        section(1, 0, 1), text("fine"), (TEXT, b"\xff") if form == "binary" else (6, b""),
        text("not taken"),
        section(2, 0, 2), text("behind"),
    ) if form == "binary" else await page.request(
        "POST",
        page.url("send"),
        encoded(page.head(1), section(2, 0, 1), text("before"), section(1, 0, 1), text("fine"),
                form=form, end=False)
        + b'["\\ud800","not taken"]\n'
        + encoded(section(2, 0, 2), text("behind"), form=form, end=False),
    )  # fmt: skip
    assert answer.status == 200
    assert (answer.ack(1), answer.ack(2)) == (1, 2)
    assert await second.texts(2) == ["before", "behind"]
    assert await first.texts(1) == ["fine"]
    assert (await first.disconnect())[0] == 1007
    first.leave()
    second.leave()


async def test_credit_in_a_poll_that_is_lost_is_told_again_soon() -> None:
    """A page that stands still has nothing to say, and its polls wait for their whole time."""
    async with serving(part_size=16_000, window_bytes=64_000, poll_time=30) as served:
        page = served.page("/puppet")
        endpoint = await served.play(page)
        await page.upload(section(1, 0, 1), *[BYTES] * 4)
        for _ in range(4):
            await endpoint.receive()
        told = (await page.poll(section(1))).document("credit")
        assert told is not None and told[1] == 128_000
        before = time.monotonic()
        assert (await page.poll(section(1))).document("credit") == told
        assert (await page.poll(section(1))).document("credit") == told
        assert 2.5 < time.monotonic() - before < 15
        # It has it: nothing more is told.
        await page.upload(section(1, 0, 5), BYTES)
        with anyio.move_on_after(5):
            raise AssertionError((await page.poll(section(1))).frames)
        endpoint.leave()


async def test_credit_that_a_poll_told_is_no_business_of_a_stream() -> None:
    """Its new downstream has told it, and nothing is due before the next ping."""
    async with serving(part_size=16_000, window_bytes=64_000) as served:
        page = served.page("/puppet")
        endpoint = await served.play(page)
        await page.upload(section(1, 0, 1), *[BYTES] * 4)
        for _ in range(4):
            await endpoint.receive()
        assert (await page.poll(section(1))).document("credit")
        async with page.stream() as downstream:
            await downstream.until(DOCUMENT, "credit")
            carrier = served.registry.carriers[page.key]
            await anyio.sleep(1.5)
            now = served.registry.loop.time()
            assert (carrier.check(now) or 0) > now
        endpoint.leave()


@pytest.mark.parametrize("way", ["stream", "poll"])
async def test_the_acks_of_an_upload_that_was_cut_are_asked_for(served: Served, way: str) -> None:
    page = served.page("/puppet")
    endpoint = await served.play(page)
    body = encoded(page.head(1), section(1, 0, 1), text("one"), end=False)

    async def cut() -> None:
        answer = await page.request("POST", page.url("send"), body)
        assert answer.ack() == 1

    if way == "poll":
        before = time.monotonic()
        async with served.parked(page):
            await cut()
        assert time.monotonic() - before < 5
    else:
        async with page.stream() as downstream:
            await downstream.until(DOCUMENT, "section")
            await cut()
            await downstream.until(DOCUMENT, "ping")
    endpoint.leave()
