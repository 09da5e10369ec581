"""Downstreams on the wire: attaches, take-over, tickets, credit, presence."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import anyio.abc
import httpx
import pytest

from emulation.protocol.frames import CLOSE, DOCUMENT, TEXT, Frame, document
from tests.session.stage import Served, neighbour, serving
from tests.session.wire import (
    FORMS,
    TIMEOUT,
    by_socket,
    close,
    documents,
    drawn,
    section,
    text,
)
from tests.support.streams import connection_to


@pytest.fixture(scope="module")
async def served() -> AsyncIterator[Served]:
    async with serving() as running:
        yield running


@pytest.fixture(autouse=True)
async def beside(served: Served) -> AsyncIterator[None]:
    async with neighbour(served):
        yield


class Answers:
    """Requests that wait, each answered in its own time."""

    def __init__(self, tasks: anyio.abc.TaskGroup) -> None:
        self._tasks = tasks

    def ask(self, call: Callable[[], Awaitable[Any]]) -> list[Any]:
        """Begin a request; its answer comes into the list."""
        answers: list[Any] = []

        async def ask() -> None:
            answers.append(await call())

        self._tasks.start_soon(ask)
        return answers


# --- Attaches -------------------------------------------------------------------------------------


@FORMS
async def test_the_head_comes_at_once(served: Served, form: str) -> None:
    page = served.page(form=form)
    await page.opened()
    async with page.stream(attach=41) as downstream:
        frames = await downstream.until(DOCUMENT, "credit")
        assert frames[0][1] == ["head", 1, page.key, 41]
        assert frames[1][1] == ["section", 1, 0, 0]
        config = served.middleware.config
        assert frames[2][1] == ["credit", config.window_bytes, config.window_frames]
        assert downstream.headers["content-type"] == "application/octet-stream"


@FORMS
async def test_take_over_ends_the_older_at_once(served: Served, form: str) -> None:
    page = served.page(form=form)
    await page.opened()
    async with page.stream(attach=1) as older:
        await older.until(DOCUMENT, "head")
        await page.upload(section(1, 0, 1), text("one"))
        await older.until_text("one")
        async with page.stream(attach=2) as newer:
            # Nothing was acknowledged, so all of it comes again.
            await newer.until_text("one")
            await page.upload(section(1, 0, 2), text("two"))
            await newer.until_text("two")
            frames = await older.until_end()
            assert older.texts() == ["one"]
            assert frames[-1][1][0] == "end"
            assert newer.texts() == ["one", "two"]


async def test_take_over_does_not_wait_for_a_reader_who_stands_still(served: Served) -> None:
    page = served.page("/puppet")
    endpoint = await served.play(page)
    async with page.stream(attach=1) as older:
        await older.until(DOCUMENT, "head")
        async with anyio.create_task_group() as tasks:

            async def flood() -> None:
                with pytest.raises(OSError):
                    while True:
                        await endpoint.send("send", bytes=b"x" * 60_000)

            tasks.start_soon(flood)
            downstream_waits = served.registry.carriers[page.key].downstream
            await served.eventually(
                lambda: (
                    not next(
                        iter(served.registry.carriers[page.key].sessions.values())
                    ).connection.has_room
                ),
                "the window is full",
            )
            assert downstream_waits is not None
            async with page.stream(attach=2) as newer:
                frames = await newer.until(0x02)
                assert frames[0][1] == ["head", 1, page.key, 2]
                await newer.until(0x02, b"x" * 60_000)
                answer = await page.upload(section(1, 0, 1), close())
                assert answer.status == 204
        assert await endpoint.disconnect() == (1000, "")
        endpoint.leave()


async def test_an_older_attach_gets_its_end(served: Served) -> None:
    page = served.page()
    await page.opened()
    async with page.stream(attach=5) as newest:
        await newest.until(DOCUMENT, "head")
        async with page.stream(attach=4) as late:
            frames = await late.until_end()
            assert [payload[0] for _, payload in frames] == ["head", "end"]
            assert frames[0][1] == ["head", 1, page.key, 4]
        answer = await page.poll(section(1), attach=3)
        assert [payload[0] for _, payload in answer.frames] == ["head", "end"]
        await page.upload(section(1, 0, 1), text("served by the newest"))
        await newest.until_text("served by the newest")


async def test_of_equal_attaches_the_latest_serves(served: Served) -> None:
    page = served.page()
    await page.opened()
    async with page.stream(attach=3) as first:
        await first.until(DOCUMENT, "head")
        async with page.stream(attach=3) as second:
            await second.until(DOCUMENT, "credit")
            await first.until_end()
            await page.upload(section(1, 0, 1), text("one"))
            await second.until_text("one")
            assert not first.texts()


async def test_an_attach_serves_sockets_that_it_does_not_name(served: Served) -> None:
    page = served.page()
    await page.opened(1)
    await page.opened(2)
    async with page.stream(section(1)) as downstream:
        await page.upload(section(2, 0, 1), text("unnamed"))
        await downstream.until_text("unnamed")
        assert downstream.texts(2) == ["unnamed"]
        await page.opened(3)
        await page.upload(section(3, 0, 1), text("newer than the attach"))
        await downstream.until_text("newer than the attach")


@FORMS
async def test_a_stream_is_renewed_by_its_size(form: str) -> None:
    async with serving(stream_renew=200_000, text_stream_renew=200_000) as served:
        page = served.page("/puppet", form=form)
        endpoint = await served.play(page)
        received = 0
        async with anyio.create_task_group() as tasks:

            async def talk() -> None:
                for number in range(40):
                    await endpoint.send("send", text=f"{number:05} " + "x" * 20_000)

            tasks.start_soon(talk)
            streams = 0
            while received < 40:
                async with page.stream(section(1, received)) as downstream:
                    streams += 1
                    if received + 10 >= 40:
                        await downstream.until(TEXT, (f"{39:05} " + "x" * 20_000).encode())
                    else:
                        await downstream.until_end()
                        assert downstream.is_complete
                    texts = downstream.texts()
                    assert [int(said[:5]) for said in texts] == list(
                        range(received, received + len(texts))
                    )
                    received += len(texts)
        assert streams >= 2
        endpoint.leave()


async def test_poll_is_answered_by_a_message(served: Served) -> None:
    page = served.page("/puppet")
    endpoint = await served.play(page)
    async with served.parked(page) as parked:
        await endpoint.send("send", text="one")
    [answer] = parked
    assert answer.said() == [text("one")]
    assert answer.ended and "content-length" in answer.headers
    again = await page.poll(section(1))
    assert again.said() == [text("one")], "what is not acknowledged comes again"
    await endpoint.send("send", text="two")
    assert (await page.poll(section(1, 1))).said() == [text("two")]
    endpoint.leave()


@FORMS
async def test_poll_time(form: str) -> None:
    async with serving(poll_time=0.2) as served:
        page = served.page(form=form)
        await page.opened()
        answer = await page.poll(section(1))
        assert answer.said() == []
        assert answer.document("section") == ["section", 1, 0, 0]


@pytest.mark.parametrize("seconds", [0, 0.1])
async def test_a_page_may_ask_for_a_shorter_poll(seconds: float) -> None:
    async with serving(poll_time=10) as served:
        page = served.page()
        await page.opened()
        with anyio.fail_after(5):
            answer = await page.poll(document("wait", seconds), section(1))
        assert answer.said() == []


@pytest.mark.parametrize("seconds", [-1, True, "1", None, [1]])
async def test_what_is_no_time_asks_for_nothing(seconds: object) -> None:
    async with serving(poll_time=0.2) as served:
        page = served.page()
        await page.opened()
        answer = await page.poll(document("wait", seconds), section(1))
        assert answer.said() == []


async def test_poll_holds_at_most_a_batch() -> None:
    async with serving(max_batch=100_000, part_size=10_000) as served:
        page = served.page("/puppet")
        endpoint = await served.play(page)
        for _ in range(30):
            await endpoint.send("send", bytes=b"x" * 10_000)
        answer = await page.poll(section(1))
        assert 100_000 <= len(answer.body) < 120_000
        answer = await page.poll(section(1, len(answer.said())))
        assert answer.ended and answer.said()
        endpoint.leave()


async def test_a_closed_socket_does_not_answer_polls_for_ever(served: Served) -> None:
    page = served.page("/puppet")
    ended = await served.play(page, 1)
    alive = await served.play(page, 2)
    ended.leave()  # without a close: 1006
    answer = await page.poll(section(1), section(2))
    assert answer.document("gone") == ["gone", 1]
    async with anyio.create_task_group() as tasks:
        parked = Answers(tasks).ask(lambda: page.poll(section(2)))
        carrier = served.registry.carriers[page.key]
        await served.eventually(lambda: carrier.attach == page.attach, "the poll came")
        assert not parked, "the page has been told already"
        # Who names it again has not heard.
        again = await page.poll(section(1), section(2))
        assert again.document("gone") == ["gone", 1]
        await alive.send("send", text="alive")
    assert (await page.poll(section(2))).said(2) == [text("alive")]
    alive.leave()


@FORMS
@pytest.mark.parametrize("how", ["poll", "stream"])
async def test_who_returns_at_once_is_heard_beside_another_socket(form: str, how: str) -> None:
    """No attach names it: the downstream that the page has is the other socket's."""
    async with serving(open_answer_time=0.05) as served, anyio.create_task_group() as tasks:
        page = served.page("/puppet", form=form)
        alive = await served.play(page, 1)

        async def down() -> list[Frame]:
            if how == "poll":
                return (await page.poll(section(1))).frames
            async with page.stream(section(1)) as downstream:
                return await downstream.until(DOCUMENT, "gone")

        came = Answers(tasks).ask(down)
        carrier = served.registry.carriers[page.key]
        await served.eventually(lambda: carrier.downstream is not None, "the page attached")
        nonce = drawn()
        assert (await page.open(2, nonce=nonce)).document("opening") is not None
        brief = await served.stage.endpoint()
        await brief.accept()
        await brief.send("send", text="good-bye")
        brief.leave()
        await served.eventually(lambda: len(served.registry.sessions) == 1, "it is over")
        assert (await page.open(2, nonce=nonce)).document("opened") is not None
        await served.eventually(lambda: bool(came), "the page was told")
        said = [frame for number, frame in by_socket(came[0]) if number == 2]
        assert said == [text("good-bye")]
        assert documents(came[0], "gone") == [["gone", 2]]
        alive.leave()


async def test_take_over_answers_the_older_poll(served: Served) -> None:
    page = served.page()
    await page.opened()
    async with served.parked(page, attach=1) as older:
        async with page.stream(attach=2) as newer:
            await newer.until(DOCUMENT, "credit")
            await served.eventually(lambda: bool(older), "the older poll is answered")
    [answer] = older
    assert [payload[0] for _, payload in answer.frames] == ["head", "end"]


async def test_empty_carriers_let_their_downstream_go(served: Served) -> None:
    page = served.page()
    await page.opened()
    async with page.stream() as downstream:
        await page.upload(section(1, 0, 1), close(1000, "bye"))
        frames = await downstream.until_end()
        assert answered(frames, 1) == [close(1000, "bye")]


def answered(frames: list[Frame], socket: int) -> list[Frame]:
    return [frame for number, frame in by_socket(frames) if number == socket]


# --- Tickets --------------------------------------------------------------------------------------


async def test_events(served: Served) -> None:
    page = served.page(form="json")
    await page.opened()
    ticket = await page.ticket(attach=7)
    async with page.events(ticket) as downstream:
        assert downstream.status == 200
        assert downstream.headers["content-type"].partition(";")[0] == "text/event-stream"
        assert downstream.headers["cache-control"].startswith("no-store, no-cache, no-transform")
        assert downstream.headers["access-control-allow-origin"] == served.url
        frames = await downstream.until(DOCUMENT, "credit")
        assert frames[0][1] == ["head", 1, page.key, 7]
        await page.upload(section(1, 0, 1), text("line\nfeed, \r and \u2028"))
        await downstream.until_text("line\nfeed, \r and \u2028")
        # A ticket is good for repeats of the same GET; the latest of them serves.
        async with page.events(ticket) as repeat:
            await repeat.until_text("line\nfeed, \r and \u2028")
            frames = await downstream.until_end()
            # A newer attach ends it, and the ticket with it.
            async with page.stream(attach=8) as newer:
                await newer.until(DOCUMENT, "credit")
                await repeat.until_end()
                async with page.events(ticket) as dead:
                    assert dead.status == 204
                await page.upload(section(1, 0, 2), text("two"))
                await newer.until_text("two")


async def test_a_ticket_stands_for_an_absent_origin(served: Served) -> None:
    page = served.page()
    await page.opened()
    ticket = await page.ticket()
    page.headers = {}
    async with page.events(ticket) as downstream:
        assert downstream.status == 200
        await downstream.until(DOCUMENT, "head")


async def test_tickets_that_are_no_good(served: Served) -> None:
    page = served.page()
    await page.opened()
    ticket = await page.ticket()
    for wrong in (drawn(), ticket[:-1] + ("A" if ticket[-1] != "A" else "Q")):
        async with page.events(wrong) as downstream:
            assert downstream.status == 204
            assert not downstream.headers.get("content-length", "").strip("0")
    async with page.events(ticket, origin="http://localhost:1") as downstream:
        assert downstream.status == 204
    async with page.events(ticket, origin="https://evil.example") as downstream:
        assert downstream.status == 403
    stranger = served.page()
    async with stranger.events(ticket) as downstream:
        assert downstream.status == 204


async def test_a_late_ticket_does_not_displace_a_newer_one(served: Served) -> None:
    page = served.page()
    await page.opened()
    newer = await page.ticket(attach=3)
    older = await page.ticket(attach=2)
    async with page.events(older) as downstream:
        assert downstream.status == 204
    async with page.events(newer) as downstream:
        assert downstream.status == 200
        await downstream.until(DOCUMENT, "head")


async def test_expired_tickets() -> None:
    async with serving(ticket_time=0.05) as served:
        page = served.page()
        await page.opened()
        ticket = await page.ticket()
        await anyio.sleep(0.1)
        async with page.events(ticket) as downstream:
            assert downstream.status == 204
        used = await page.ticket()
        async with page.events(used) as downstream:
            await downstream.until(DOCUMENT, "head")
            await anyio.sleep(0.1)
            async with page.events(used) as repeat:
                assert repeat.status == 200


async def test_events_are_renewed_by_their_size() -> None:
    async with serving(text_stream_renew=50_000) as served:
        page = served.page("/puppet")
        endpoint = await served.play(page)
        await endpoint.send("send", text="x" * 60_000)
        async with page.events(await page.ticket()) as downstream:
            frames = await downstream.until_end()
            assert downstream.texts() == ["x" * 60_000]
            assert frames[-1][1][0] == "end"
        endpoint.leave()


# --- Credit and window ----------------------------------------------------------------------------


@FORMS
async def test_no_upload_waits_for_the_application(form: str) -> None:
    async with (
        serving(window_bytes=70_000, window_frames=8, part_size=10_000) as served,
        neighbour(served),
    ):
        page = served.page("/puppet", form=form)
        endpoint = await served.play(page)
        messages = [text(f"{number}") for number in range(1, 13)]
        answer = await page.upload(section(1, 0, 1), *messages)
        assert answer.status == 200 and answer.ack() == 8
        assert answer.document("credit") == ["credit", 70_000, 8]
        again = await page.upload(section(1, 0, 9), *messages[8:])
        assert again.ack() == 8
        # A close needs no credit, but it may not come before its turn.
        assert (await page.upload(section(1, 0, 10), close())).ack() == 8
        async with page.stream() as downstream:
            await downstream.until(DOCUMENT, "credit")
            assert await endpoint.texts(4) == ["1", "2", "3", "4"]
            await downstream.until_credit(12)
            answer = await page.upload(section(1, 0, 9), *messages[8:], close(1000, "done"))
            assert answer.status in (200, 204)
            assert await endpoint.texts(8) == [str(number) for number in range(5, 13)]
            assert await endpoint.disconnect() == (1000, "done")
        endpoint.leave()


@FORMS
async def test_what_is_answered_at_once_goes_before_the_answer_to_the_upload(
    served: Served, form: str
) -> None:
    page = served.page(form=form)
    await page.opened()
    async with page.stream(attach=7) as downstream:
        await downstream.until(DOCUMENT, "credit")
        # Each comes while the application waits for it.
        for number in range(1, 4):
            answer = await page.upload(section(1, 0, number), text(f"{number}"))
            frames = await downstream.until_text(f"{number}")
            if form == "binary":
                written = answer.headers["emulation"].split()[3:]
            else:
                written = [str(count) for count in (answer.document("written") or [])[1:]]
            assert written == ["7", str(len(frames))]


async def test_a_parked_poll_tells_the_credit() -> None:
    async with serving(window_frames=8) as served:
        page = served.page("/puppet")
        endpoint = await served.play(page)
        await page.upload(section(1, 0, 1), *[text("x")] * 8)
        async with served.parked(page) as parked:
            await endpoint.texts(8)
        [answer] = parked
        told = answer.document("credit")
        assert told is not None and told[2] > 8
        endpoint.leave()


async def test_bytes_beyond_the_credit_are_not_taken() -> None:
    async with serving(window_bytes=100_000) as served:
        page = served.page("/puppet")
        endpoint = await served.play(page)
        whole = b"x" * 40_000
        answer = await page.upload(section(1, 0, 1), (2, whole), (2, whole), (2, whole))
        assert answer.ack() == 2
        assert len((await endpoint.receive())["bytes"]) == 40_000
        answer = await page.upload(section(1, 0, 3), (2, whole))
        assert answer.status == 204 or answer.ack() == 3
        endpoint.leave()


async def test_the_largest_message() -> None:
    async with serving(max_message_size=100_000) as served, neighbour(served):
        page = served.page("/puppet")
        first = await served.play(page)
        second = await served.play(page, 2)
        part = b"x" * 50_000
        fits = [(4, part), (2, part)]
        assert (await page.upload(section(1, 0, 1), *fits)).status == 204
        assert len((await first.receive())["bytes"]) == 100_000
        tail = [(4, part), (4, part), (2, b"y")]
        answer = await page.upload(section(1, 0, 3), *tail, section(2, 0, 1), text("fine"))
        assert answer.ack(2) == 1
        assert (await first.disconnect())[0] == 1009
        assert await second.texts(1) == ["fine"]
        async with page.stream(section(1), section(2)) as downstream:
            await downstream.until(CLOSE)
            [(_, payload)] = answered(downstream.frames, 1)
            assert int.from_bytes(payload[:2], "big") == 1009
        first.leave()
        second.leave()


async def test_ack_of_what_was_never_sent(served: Served) -> None:
    page = served.page("/puppet")
    first = await served.play(page)
    second = await served.play(page, 2)
    await page.upload(section(1, 7), section(2, 0, 1), text("fine"))
    assert (await first.disconnect())[0] == 1002
    assert await second.texts(1) == ["fine"]
    async with page.stream(section(1), section(2)) as downstream:
        await downstream.until(CLOSE)
        [(_, payload)] = answered(downstream.frames, 1)
        assert int.from_bytes(payload[:2], "big") == 1002
    first.leave()
    second.leave()


async def test_the_window_holds_the_application_back() -> None:
    async with serving(window_frames=4) as served:
        page = served.page("/puppet")
        endpoint = await served.play(page)
        for number in range(4):
            await endpoint.send("send", text=str(number))
        async with anyio.create_task_group() as tasks:
            sent = Answers(tasks).ask(lambda: endpoint.send("send", text="4"))
            answer = await page.poll(section(1))
            assert [payload for _, payload in answer.said()] == [b"0", b"1", b"2", b"3"]
            assert not sent
            await page.upload(section(1, 1))
        assert sent
        assert (await page.poll(section(1, 4))).said() == [text("4")]
        endpoint.leave()


async def test_a_page_that_does_not_acknowledge_ends_by_send_timeout() -> None:
    async with serving(window_frames=4, send_timeout=0.2) as served, neighbour(served):
        page = served.page("/puppet")
        endpoint = await served.play(page)
        async with page.stream() as downstream:
            with pytest.raises(OSError):
                for _ in range(5):
                    await endpoint.send("send", text="x")
            assert await endpoint.disconnect() == (1006, "")
            await downstream.until(DOCUMENT, "gone")
            assert documents(downstream.frames, "gone") == [["gone", 1]]
        endpoint.leave()


async def test_sockets_take_turns() -> None:
    async with serving() as served:
        page = served.page("/puppet")
        busy = await served.play(page, 1)
        quiet = await served.play(page, 2)
        for _ in range(15):
            await busy.send("send", bytes=b"x" * 65_000)
        await quiet.send("send", text="quiet")
        answer = await page.poll(section(1), section(2))
        numbers = [socket for socket, _ in by_socket(answer.frames)]
        assert numbers.index(2) < len(numbers) - 1, "the quiet one came last"
        busy.leave()
        quiet.leave()


# --- Presence -------------------------------------------------------------------------------------


@FORMS
async def test_heartbeat(form: str) -> None:
    async with serving(heartbeat=0.2, poll_time=0.2) as served:
        page = served.page(form=form)
        await page.opened()
        async with page.stream() as downstream:
            await downstream.until(DOCUMENT, "ping")
            count = len(documents(downstream.frames, "ping"))
            with anyio.fail_after(TIMEOUT):
                while len(documents(downstream.frames, "ping")) < count + 2:
                    assert await downstream.more()


async def test_a_page_may_ask_for_a_shorter_heartbeat() -> None:
    async with serving(heartbeat=10) as served:
        page = served.page()
        await page.opened()
        with anyio.fail_after(5):
            async with page.stream(document("wait", 0), section(1)) as downstream:
                await downstream.until(DOCUMENT, "ping")


async def test_heartbeat_of_events() -> None:
    async with serving(heartbeat=0.2, poll_time=0.2) as served:
        page = served.page()
        await page.opened()
        async with page.events(await page.ticket()) as downstream:
            await downstream.until(DOCUMENT, "ping")


async def test_absence_and_what_is_left_of_it() -> None:
    """A page that is silent ends after the resume time, and leaves nothing behind."""
    async with serving(heartbeat=0.05, resume_time=0.1, poll_time=0.05) as served:
        pages = [served.page("/puppet") for _ in range(3)]
        endpoints = [await served.play(page) for page in pages]
        ghost, talker, listener = pages
        await ghost.upload(section(1))
        async with listener.stream() as downstream, anyio.create_task_group() as tasks:

            async def talk() -> None:
                while talker.key in served.registry.carriers and not done.is_set():
                    await talker.upload(section(1))
                    await anyio.sleep(0.2)

            done = anyio.Event()
            tasks.start_soon(talk)
            with anyio.fail_after(15):
                # A stream that is parked and never answers a ping is no sign of life.
                assert await endpoints[0].disconnect() == (1006, "")
                assert await endpoints[2].disconnect() == (1006, "")
                await downstream.until_end()
                assert documents(downstream.frames, "gone") == [["gone", 1]]
            assert talker.key in served.registry.carriers
            answer = await ghost.upload(section(1))
            assert answer.status == 404
            done.set()
        await talker.upload(section(1, 0, 1), close())
        assert await endpoints[1].disconnect() == (1000, "")
        for endpoint in endpoints:
            endpoint.leave()


async def test_nothing_is_left_of_many_sessions() -> None:
    async with serving(resume_time=0.3, heartbeat=0.05, poll_time=0.05) as served:
        page = served.page()
        for socket in range(1, 51):
            await page.opened(socket)
            await page.upload(section(socket, 0, 1), close())
        for _ in range(50):
            other = served.page()
            await other.opened()
            await other.upload(section(1, 0, 1), close())
        assert not served.registry.sessions
        assert not served.registry.applications
        registry = served.registry
        await served.eventually(
            lambda: not any(carrier.sessions for carrier in registry.carriers.values()),
            "the graves are empty",
        )
        assert not registry.starts
        assert not registry._clients
        await served.eventually(lambda: not registry.carriers, "the carriers are forgotten")
        assert not registry.natives


async def test_a_request_body_that_never_comes() -> None:
    async with serving(body_timeout=0.3) as served, neighbour(served):
        page = served.page()
        await page.opened()
        url = httpx.URL(served.url)
        async with connection_to(url.host, url.port) as (reader, writer):
            request = (
                f"POST /echo?emulation=send.{page.key} HTTP/1.1\r\nHost: x\r\n"
                "Content-Type: application/octet-stream\r\nContent-Length: 100\r\n\r\n@"
            )
            writer.write(request.encode())
            with anyio.fail_after(5):
                answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"connection: close" in answer.lower()
        assert b"the body did not come in time" in answer


async def test_chunked_uploads_are_refused(served: Served) -> None:
    page = served.page()
    await page.opened()

    async def chunks() -> AsyncIterator[bytes]:
        yield b"@"

    headers = {"content-type": "application/octet-stream", **page.headers}
    response = await page.client.post(page.url("send"), content=chunks(), headers=headers)
    assert response.status_code == 411
    assert response.headers["access-control-allow-origin"] == served.url


async def test_pages_that_leave_in_the_middle(served: Served) -> None:
    page = served.page()
    await page.opened()
    url = httpx.URL(served.url)
    for verb in ("send", "stream", "poll", "open"):
        async with connection_to(url.host, url.port) as (_, writer):
            writer.write(
                f"POST /echo?emulation={verb}.{page.key} HTTP/1.1\r\nHost: x\r\nContent-Type: "
                "application/octet-stream\r\nContent-Length: 100\r\n\r\n@".encode()
            )
            await anyio.sleep(0.02)
    async with page.stream() as downstream:
        await downstream.until(DOCUMENT, "head")
    await page.upload(section(1, 0, 1), text("alive"))
    async with page.stream() as downstream:
        await downstream.until_text("alive")
