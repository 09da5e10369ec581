"""What the answer to an upload says in the place of a parked poll (docs/protocol.md section 6)."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack

import pytest

from emulation.protocol.frames import Frame
from tests.session.stage import Served, serving
from tests.session.wire import FORMS, Page, documents, numbers, section, text

pytestmark = [pytest.mark.anyio, pytest.mark.integration]


async def said(page: Page, ack: int, number: int, message: str) -> dict[int, Frame]:
    """Upload a message, and return what its answer brings."""
    answer = await page.upload(section(1, ack, number), text(message))
    assert not answer.frames or answer.ack() == number
    return numbers(answer.frames)


async def begin(served: Served, page: Page) -> None:
    """Open a socket whose page has just had its first message back by a poll."""
    await page.opened(1)
    async with served.parked(page) as answers:
        assert await said(page, 0, 1, "one") == {}
    assert numbers(answers[0].frames) == {1: text("one")}


@FORMS
async def test_who_sends_again_soon_is_answered_at_once(served: Served, form: str) -> None:
    """The poll stays, and says what the page does not acknowledge."""
    page = served.page(form=form)
    await begin(served, page)
    before = time.monotonic()
    async with served.parked(page, section(1, 1)) as answers:
        for number in range(2, 20):
            assert await said(page, number - 1, number, str(number)) == {number: text(str(number))}
        assert not answers
    assert numbers(answers[0].frames) == {19: text("19")}
    assert 0.9 < time.monotonic() - before


async def test_an_answer_that_was_lost_is_said_again_by_the_next_one(served: Served) -> None:
    page = served.page()
    await begin(served, page)
    async with served.parked(page, section(1, 1)) as answers:
        await said(page, 1, 2, "two")
        both = {2: text("two"), 3: text("three")}
        assert await said(page, 1, 3, "three") == both
        assert await said(page, 1, 3, "three") == both  # of an upload that was sent twice
    assert numbers(answers[0].frames) == both


async def test_nothing_is_said_again_that_was_acknowledged() -> None:
    async with serving(poll_time=3) as served:
        page = served.page()
        await begin(served, page)
        async with served.parked(page, section(1, 1)) as answers:
            assert await said(page, 1, 2, "two") == {2: text("two")}
            await page.upload(section(1, 2))
            before = time.monotonic()
        assert numbers(answers[0].frames) == {}
        assert time.monotonic() - before > 2


async def test_a_new_poll_says_what_was_not_acknowledged(served: Served) -> None:
    page = served.page()
    await begin(served, page)
    async with served.parked(page, section(1, 1)):
        await said(page, 1, 2, "two")
        answer = await page.poll(section(1, 1))
    assert numbers(answer.frames) == {2: text("two")}


@pytest.mark.parametrize("why", ["too large", "two sockets", "a stream"])
async def test_the_downstream_says_it(why: str) -> None:
    """What the answer has no room for, or no business with."""
    message = "x" * 20_000 if why == "too large" else "two"
    async with serving() as served, AsyncExitStack() as stack:
        page = served.page()
        await begin(served, page)
        if why == "two sockets":
            await page.opened(2)
        sections = [section(1, 1)] if why != "two sockets" else [section(1, 1), section(2)]
        if why == "a stream":
            downstream = await stack.enter_async_context(page.stream(*sections))
            assert await said(page, 1, 2, message) == {}
            await downstream.until_text(message)
            return
        uploaded = [section(1, 1, 2), text(message)]
        if why == "two sockets":
            uploaded += [section(2, 0, 1), text(message)]
        async with served.parked(page, *sections) as answers:
            answer = await page.upload(*uploaded)
        assert numbers(answer.frames) == {}
        assert numbers(answers[0].frames) == {2: text(message)}


async def test_credit_that_is_owed_is_said_by_the_poll() -> None:
    async with serving(window_frames=8) as served:
        page = served.page()
        await begin(served, page)
        async with served.parked(page, section(1, 1)) as answers:
            assert await said(page, 1, 2, "two") == {2: text("two")}
            assert await said(page, 2, 3, "three") == {}
        assert numbers(answers[0].frames) == {3: text("three")}
        assert documents(answers[0].frames, "credit")


async def test_a_pause_gives_the_poll_its_turn(served: Served) -> None:
    page = served.page()
    await begin(served, page)
    carrier = served.registry.carriers[page.key]
    await served.eventually(
        lambda: served.registry.loop.time() > carrier.heard() + 1, "a second is over"
    )
    async with served.parked(page, section(1, 1)) as answers:
        assert await said(page, 1, 2, "two") == {}
    assert numbers(answers[0].frames) == {2: text("two")}
