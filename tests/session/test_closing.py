"""The end of a session on the server: closes, graves, and a page that says `bye`."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel
import pytest

from emulation.protocol.frames import CLOSE, DOCUMENT, document
from tests.session.stage import Served, neighbour, serving
from tests.session.wire import TIMEOUT, Page, by_socket, close, section, text


@pytest.fixture(scope="module")
async def served() -> AsyncIterator[Served]:
    async with serving() as running:
        yield running


@pytest.fixture(autouse=True)
async def beside(served: Served) -> AsyncIterator[None]:
    async with neighbour(served):
        yield


async def test_a_close_comes_behind_the_data(served: Served) -> None:
    page = served.page("/puppet")
    endpoint = await served.play(page)
    await page.upload(section(1, 0, 1), text("one"), text("two"), close(3001, "enough"))
    assert await endpoint.texts(2) == ["one", "two"]
    assert await endpoint.disconnect() == (3001, "enough")
    assert (await page.poll(section(1))).said() == [close(3001, "enough")]
    endpoint.leave()


async def test_a_close_without_a_code(served: Served) -> None:
    page = served.page("/puppet")
    endpoint = await served.play(page)
    await page.upload(section(1, 0, 1), (CLOSE, b""))
    assert await endpoint.disconnect() == (1005, "")
    assert (await page.poll(section(1))).said() == [(CLOSE, b"")]
    endpoint.leave()


async def test_the_application_closes_behind_its_data(served: Served) -> None:
    page = served.page("/puppet")
    endpoint = await served.play(page)
    await endpoint.send("send", text="last")
    await endpoint.send("close", code=3002, reason="done")
    assert (await page.poll(section(1))).said() == [text("last"), close(3002, "done")]
    # What still comes from the page is acknowledged, and received by nobody.
    await page.upload(section(1, 2, 1), text("too late"), close(3002))
    assert await endpoint.disconnect() == (3002, "done")
    await served.eventually(lambda: closed(served, page), "the session is over")
    endpoint.leave()


def closed(served: Served, page: Page) -> bool:
    sessions = served.registry.carriers[page.key].sessions.values()
    return all(session.connection.is_over for session in sessions)


async def test_a_close_that_nobody_answers() -> None:
    async with serving(close_timeout=0.2) as served, neighbour(served):
        page = served.page("/puppet")
        endpoint = await served.play(page)
        await endpoint.send("close", code=1000)
        async with page.stream() as downstream:
            await downstream.until(CLOSE)
            await downstream.until(DOCUMENT, "gone")
        assert not any(session.carrier is None for session in served.registry.sessions)
        endpoint.leave()


async def test_nothing_is_sent_behind_a_close(served: Served) -> None:
    page = served.page("/puppet")
    endpoint = await served.play(page)
    await endpoint.send("close", code=1000)
    for kind, members in (("send", {"text": "x"}), ("close", {}), ("accept", {})):
        with pytest.raises(RuntimeError):
            await endpoint.send(kind, **members)
    assert (await page.poll(section(1))).said() == [close(1000)]
    endpoint.leave()


@pytest.mark.parametrize("code", [1005, 1006, 1015, 999, 2999, 5000])
async def test_codes_that_no_close_frame_has(served: Served, code: int) -> None:
    page = served.page("/puppet")
    endpoint = await served.play(page)
    try:
        await endpoint.send("close", code=code)
    except Exception as error:
        assert "close code" in str(error)
        await endpoint.send("close", code=1000)
    answer = await page.poll(section(1))
    [(kind, payload)] = answer.said()
    assert kind == CLOSE
    assert int.from_bytes(payload[:2], "big") not in (1005, 1006, 1015)
    endpoint.leave()


async def test_return_without_a_close_is_abnormal(served: Served) -> None:
    page = served.page("/puppet")
    endpoint = await served.play(page)
    await endpoint.send("send", text="last")
    endpoint.leave()
    async with page.stream() as downstream:
        await downstream.until(DOCUMENT, "gone")
        assert downstream.texts() == ["last"], "what was sent before still goes"
        assert not any(frame[0] == CLOSE for _, frame in by_socket(downstream.frames))


async def test_sending_to_a_page_that_has_closed_fails(served: Served) -> None:
    page = served.page("/puppet")
    endpoint = await served.play(page)
    await page.upload(section(1, 0, 1), close(1000))
    assert await endpoint.disconnect() == (1000, "")
    with pytest.raises(OSError):
        await endpoint.send("send", text="x")
    with pytest.raises(OSError):
        await endpoint.send("close")
    assert await endpoint.disconnect() == (1000, ""), "it stays so"
    endpoint.leave()


# --- Graves ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["binary", "json"])
async def test_a_grave_answers_repeats(served: Served, form: str) -> None:
    page = served.page(form=form)
    await page.opened()
    # The echo of what came with the close is dropped: the page has ceased to listen.
    for _ in range(3):
        answer = await page.upload(section(1, 0, 1), text("one"), close(1000), number=1)
        assert answer.status in (200, 204)
        if answer.status == 200:
            assert answer.ack() == 2
        assert answer.document("gone") is None
    # Its own close is said again until it is acknowledged.
    for _ in range(2):
        assert (await page.poll(section(1))).said() == [close(1000)]
    await page.upload(section(1, 1))
    answer = await page.upload(section(1, 1, 1), text("one"), close(1000), number=1)
    assert answer.status in (200, 204)
    again = await page.upload(section(1, 1, 3), text("after the close"))
    assert again.status == 200 and again.ack() == 2


async def test_graves_are_forgotten() -> None:
    async with serving(resume_time=0.2) as served, neighbour(served):
        page = served.page()
        await page.opened(1)
        await page.opened(2)
        await page.upload(section(1, 0, 1), close(1000))
        await served.eventually(
            lambda: 1 not in served.registry.carriers[page.key].sessions, "the grave is empty"
        )
        answer = await page.upload(section(1, 0, 1), close(1000))
        assert answer.document("gone") == ["gone", 1]
        assert (await page.upload(section(2, 0, 1), text("alive"))).status == 204


# --- bye ------------------------------------------------------------------------------------------


async def bye(page: Page, *frames: tuple[int, object], secret: str | None = None) -> int:
    """Say `bye` as a page does that unloads: by text/plain, which needs no preflight."""
    page.form, form = "json", page.form
    kept, page.secret = page.secret, page.secret if secret is None else secret
    answer = await page.post("bye", *frames, content_type="text/plain")
    page.form, page.secret = form, kept
    assert not answer.body
    return answer.status


async def test_bye_with_what_was_left(served: Served) -> None:
    page = served.page("/puppet")
    endpoint = await served.play(page)
    await page.upload(section(1, 0, 1), text("one"))
    assert await bye(page, section(1, 0, 1), document("last", 2), text("one"), text("two")) == 204
    for expected in ("one", "two"):
        assert await endpoint.texts(1) == [expected]
        await endpoint.send("send", text="an echo of what came before the page had left")
    assert await endpoint.disconnect() == (1001, "")
    with pytest.raises(OSError):
        await endpoint.send("send", text="and now it is told")
    endpoint.leave()


async def test_bye_waits_for_what_is_on_its_way(served: Served) -> None:
    page = served.page("/puppet")
    endpoint = await served.play(page)
    await bye(page, section(1, 0), document("last", 2))
    await page.upload(section(1, 0, 1), text("one"))
    assert await endpoint.texts(1) == ["one"]
    await page.upload(section(1, 0, 2), text("two"))
    assert await endpoint.texts(1) == ["two"]
    assert await endpoint.disconnect() == (1001, "")
    endpoint.leave()


async def test_bye_does_not_wait_for_ever() -> None:
    async with serving(bye_grace=0.2) as served, neighbour(served):
        page = served.page("/puppet")
        endpoint = await served.play(page)
        await bye(page, section(1, 0), document("last", 5))
        await page.upload(section(1, 0, 1), text("one"))
        assert await endpoint.texts(1) == ["one"]
        assert await endpoint.disconnect() == (1001, "")
        endpoint.leave()


@pytest.mark.parametrize("secret", ["", "x" * 32])
async def test_bye_without_the_secret_is_nobodys(served: Served, secret: str) -> None:
    page = served.page("/puppet")
    endpoint = await served.play(page)
    body = (section(1, 0, 1), document("last", 1), text("forged"))
    assert await bye(page, *body, secret=secret) == 204
    await page.upload(section(1, 0, 1), text("true"))
    assert await endpoint.texts(1) == ["true"]
    async with page.stream() as downstream:
        await endpoint.send("send", text="alive")
        await downstream.until_text("alive")
    endpoint.leave()


async def test_bye_ends_only_what_it_names(served: Served) -> None:
    page = served.page("/puppet")
    first = await served.play(page, 1)
    second = await served.play(page, 2)
    await bye(page, section(1), document("last", 0), section(9), document("last", 0))
    assert await first.disconnect() == (1001, "")
    await page.upload(section(2, 0, 1), text("alive"))
    assert await second.texts(1) == ["alive"]
    first.leave()
    second.leave()


async def test_bye_of_nonsense(served: Served) -> None:
    page = served.page("/puppet")
    endpoint = await served.play(page)
    for words in (("last",), ("last", "x"), ("last", -1), ("last", True), ("last", 2**60)):
        await bye(page, section(1), document(*words))
    await page.upload(section(1, 0, 1), text("alive"))
    assert await endpoint.texts(1) == ["alive"]
    endpoint.leave()


# --- Races ----------------------------------------------------------------------------------------


async def test_take_overs_while_the_application_sends(served: Served) -> None:
    """Streams that displace one another lose nothing, and say nothing twice to one reader."""
    page = served.page("/puppet")
    endpoint = await served.play(page)
    count = 300
    received: list[str] = []

    async def talk() -> None:
        for number in range(count):
            await endpoint.send("send", text=str(number))
            if number % 10 == 0:
                await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(talk)
        with anyio.fail_after(TIMEOUT * 2):
            while len(received) < count:
                async with page.stream(section(1, len(received))) as downstream:
                    before = len(received)
                    want = min(before + 20, count - 1)
                    await downstream.until_text(str(want))
                    said = downstream.texts()
                    assert said == [str(before + number) for number in range(len(said))]
                    received += said
    assert received == [str(number) for number in range(count)]
    endpoint.leave()


async def test_uploads_at_the_same_time(served: Served) -> None:
    """Twins, late and early, in any order: each frame is received once."""
    page = served.page("/puppet")
    endpoint = await served.play(page)
    frames = [text(str(number)) for number in range(1, 41)]
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            for first in range(0, 40, 5):
                tasks.start_soon(
                    lambda at: page.upload(section(1, 0, at + 1), *frames[at : at + 10]), first
                )
    await page.upload(section(1, 0, 1), *frames)
    assert await endpoint.texts(40) == [str(number) for number in range(1, 41)]
    await page.upload(section(1, 0, 41), close(1000))
    assert await endpoint.disconnect() == (1000, "")
    endpoint.leave()


async def test_everything_at_once(served: Served) -> None:
    """Polls, streams and tickets of one carrier that all come together."""
    page = served.page("/puppet")
    endpoint = await served.play(page)

    async def stream(attach: int) -> None:
        async with page.stream(attach=attach) as downstream:
            await downstream.until(DOCUMENT, "head")
            await downstream.until_end()

    async def events(attach: int) -> None:
        async with page.events(await page.ticket(attach=attach)) as downstream:
            if downstream.status == 200:
                await downstream.until_end()

    async with anyio.create_task_group() as tasks:
        for attach in range(1, 10, 3):
            tasks.start_soon(stream, attach)
            tasks.start_soon(lambda at: page.poll(section(1), attach=at), attach + 1)
            tasks.start_soon(events, attach + 2)
        await anyio.sleep(0.1)
        await endpoint.send("send", text="to the newest")
        answer = await page.poll(section(1), attach=100)
        assert answer.said() == [text("to the newest")]
    endpoint.leave()
