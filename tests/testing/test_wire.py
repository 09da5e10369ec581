"""The rules of docs/protocol.md that only a faulty server or network makes the client keep."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from emulation.protocol.frames import BINARY, CLOSE, DOCUMENT, TEXT, Frame, document
from emulation.testing import Closed, connect
from tests.testing.scripted import OPENED, PARAMETERS, Reply, Request, Script, body, scripted

pytestmark = pytest.mark.integration

Answer = Callable[[Request], Reply | None]

HELLO = [document("section", 1, 0, 1), (TEXT, b"hello")]


def in_turn(*answers: Answer) -> Any:
    """Answer the first request with the first, …, and all further ones with the last."""
    waiting = list(answers)

    async def handle(request: Request) -> Reply | None:
        return (waiting.pop(0) if len(waiting) > 1 else waiting[0])(request)

    return handle


def saying(*frames: Frame) -> Answer:
    return lambda request: request.reply(*frames)


def never(request: Request) -> Reply | None:
    return None


def taken(request: Request) -> Reply:
    """Acknowledge all of an upload."""
    sections = []
    for _, socket, _, first in request.documents("section"):
        last = first + len(request.messages) - 1 if first else 0
        sections.append(document("section", socket, last, 0))
    return request.reply(*sections)


def script(
    poll: Sequence[Answer] = (never,),
    send: Sequence[Answer] = (taken,),
    start: Sequence[Answer] = (saying(*OPENED),),
) -> Script:
    bye = in_turn(lambda request: Reply(204, b""))
    return Script(open=in_turn(*start), poll=in_turn(*poll), send=in_turn(*send), bye=bye)


def polled(served: Script, *, json: bool = False) -> Any:
    return connect(served.url, transport="poll", json=json, resume=3)


@pytest.mark.parametrize("json", [False, True])
async def test_message_of_an_answer_is_received(json: bool) -> None:
    async with scripted(script(poll=[saying(*HELLO), never])) as served:
        async with polled(served, json=json) as ws:
            assert await ws.receive() == "hello"
            ws.abort()
    [first, second, *_] = served.asked("poll")
    assert [s[:4] for s in first.documents("section")] == [["section", 1, 0, 0]]
    assert [s[:4] for s in second.documents("section")] == [["section", 1, 1, 0]]
    assert (first.number, second.number) == (1, 2)
    assert first.frames[0][1] == ["head", 1, "s" * 32, 1, "node"]


BAD: Frame = (TEXT, b"bad")


def with_another_number(request: Request) -> Reply:
    other = request._replace(frames=[(DOCUMENT, ["head", 1, "", 9, ""])])
    return Reply(200, body(other, document("section", 1, 0, 1), BAD))


def with_another_key(request: Request) -> Reply:
    return Reply(200, body(request._replace(key="x" * 22), document("section", 1, 0, 1), BAD))


def with_a_wrong_end(request: Request) -> Reply:
    return Reply(200, body(request, document("section", 1, 0, 1), BAD, end=1))


def with_an_empty_body(request: Request) -> Reply:
    return Reply(200, b"")


def with_a_portal(request: Request) -> Reply:
    return Reply(200, b"<html>Please sign in.</html>")


def without_a_head(request: Request) -> Reply:
    return Reply(200, b"\x01\x03bad")


def without_a_section(request: Request) -> Reply:
    return request.reply(BAD)


@pytest.mark.parametrize(
    "faulty",
    [
        with_another_number,
        with_another_key,
        with_a_wrong_end,
        with_an_empty_body,
        with_a_portal,
        without_a_head,
        without_a_section,
    ],
)
async def test_answer_that_is_not_ours_is_never_data(faulty: Answer) -> None:
    async with scripted(script(poll=[faulty, saying(*HELLO), never])) as served:
        async with polled(served) as ws:
            assert await ws.receive() == "hello"
            ws.abort()
    assert [request.number for request in served.asked("poll")][:3] == [1, 2, 3]


async def test_frames_that_came_whole_before_a_cut_count() -> None:
    def cut(request: Request) -> Reply:
        content = body(request, *HELLO, (TEXT, b"world"))
        return Reply(200, content[: content.index(b"world") + 2], length=len(content))

    again = saying(document("section", 1, 0, 2), (TEXT, b"world"))
    async with scripted(script(poll=[cut, again, never])) as served:
        async with polled(served) as ws:
            assert [await ws.receive(), await ws.receive()] == ["hello", "world"]
            ws.abort()
    assert [s[:4] for s in served.asked("poll")[1].documents("section")] == [["section", 1, 1, 0]]


async def test_repeated_frames_are_dropped_and_gaps_wait() -> None:
    answers = [
        saying(document("section", 1, 0, 2), (TEXT, b"after the gap")),
        saying(*HELLO, (TEXT, b"world")),
        saying(*HELLO, (TEXT, b"world"), (BINARY, b"!")),
        never,
    ]
    async with scripted(script(poll=answers)) as served, polled(served) as ws:
        assert [await ws.receive() for _ in range(3)] == ["hello", "world", b"!"]
        ws.abort()


async def test_unknown_documents_and_sockets_are_skipped() -> None:
    frames = [
        document("novelty", {"a": 1}),
        document("section", 9, 0, 1),
        BAD,
        *HELLO,
        document("novelty"),
    ]
    async with scripted(script(poll=[saying(*frames), never])) as served, polled(served) as ws:
        assert await ws.receive() == "hello"
        ws.abort()


async def test_ping_is_answered_with_an_upload() -> None:
    answers = [saying(*HELLO, document("ping")), never]
    async with scripted(script(poll=answers)) as served, polled(served) as ws:
        await reached(lambda: served.asked("send"))
        assert served.asked("send")[0].documents("section") == [["section", 1, 1, 0]]
        ws.abort()


async def test_lost_answer_repeats_the_upload_under_its_number() -> None:
    def lost(request: Request) -> Reply:
        return Reply(200, b"", length=1)

    async with scripted(script(send=[lost, with_a_portal, taken])) as served:
        async with polled(served) as ws:
            await ws.send("hello")
            await ws.drain()
            ws.abort()
    uploads = served.asked("send")
    assert [upload.number for upload in uploads] == [1, 1, 1]
    assert [upload.messages for upload in uploads] == [[b"hello"]] * 3


async def test_short_answer_acknowledges_all() -> None:
    def short(request: Request) -> Reply:
        return Reply(204, b"", [f"Emulation: 1 {request.key} {request.number} 0 0"])

    async with scripted(script(send=[short])) as served, polled(served) as ws:
        await ws.send("one")
        await ws.send("two")
        await ws.drain()
        assert ws.buffered_amount == 0
        ws.abort()
    assert served.asked("send")[0].messages == [b"one", b"two"]


@pytest.mark.parametrize("said", ["", "Emulation: 1 {key} 9 0 0", "Emulation: 1 x 1 0 0"])
async def test_204_of_somebody_else_makes_uploads_json(said: str) -> None:
    def foreign(request: Request) -> Reply:
        return Reply(204, b"", [said.format(key=request.key)] if said else [])

    async with scripted(script(send=[foreign, taken])) as served, polled(served) as ws:
        await ws.send("hello")
        await ws.drain()
        ws.abort()
    [first, second] = served.asked("send")
    assert (first.is_binary, second.is_binary) == (True, False)
    assert (first.number, second.number) == (1, 2)
    assert first.messages == second.messages == [b"hello"]


@pytest.mark.parametrize("json", [False, True])
async def test_413_halves_the_upload(json: bool) -> None:
    def too_large(request: Request) -> Reply:
        return Reply(413, b"<html>too large</html>")

    async with scripted(script(send=[too_large, taken])) as served:
        async with polled(served, json=json) as ws:
            for _ in range(20):
                await ws.send("é" * 2_000)
            await ws.drain()
            ws.abort()
    sizes = [int(upload.headers["content-length"]) for upload in served.asked("send")]
    assert 25_000 < sizes[0] <= PARAMETERS["upload"]
    assert max(sizes[1:]) <= 25_000


async def test_credit_holds_messages_back() -> None:
    more = saying(document("section", 1, 0, 0), document("credit", 100_000, 150))
    gate = asyncio.Event()

    async def poll(request: Request) -> Reply | None:
        if request.number > 1:
            return None
        await gate.wait()
        return more(request)

    made = script()
    made.handlers["poll"] = poll
    async with scripted(made) as served, polled(served) as ws:
        for number in range(130):
            await ws.send(str(number))
        await reached(lambda: len(sent(served)) >= 100)
        assert sent(served) == [b"%d" % number for number in range(100)]
        assert ws.buffered_amount == sum(len(str(number)) for number in range(100, 130))
        gate.set()
        await ws.drain()
        assert sent(served) == [b"%d" % number for number in range(130)]
        ws.abort()


async def test_large_message_goes_in_parts() -> None:
    async with scripted(script()) as served, polled(served) as ws:
        await ws.send("é" * 20_000)
        await ws.drain()
        ws.abort()
    parts = sent(served)
    assert [len(part) for part in parts] == [16_384, 16_384, 40_000 - 2 * 16_384]
    assert b"".join(parts).decode() == "é" * 20_000


async def test_undecided_open_is_repeated_with_its_nonce() -> None:
    undecided = saying(OPENED[0], document("opening", 1))
    async with scripted(script(start=[undecided, saying(OPENED[1])])) as served:
        async with polled(served) as ws:
            ws.abort()
    [first, second] = served.asked("open")
    assert first.documents("open") == second.documents("open")
    assert [first.frames[0][1][2], second.frames[0][1][2]] == ["", "s" * 32]


async def test_key_in_use_is_drawn_anew() -> None:
    def in_use(request: Request) -> Reply:
        return request.reply(document("error", 409, "The key is in use."), status=409)

    async with scripted(script(start=[in_use, saying(*OPENED)])) as served:
        async with polled(served) as ws:
            ws.abort()
    [first, second] = served.asked("open")
    assert first.key != second.key
    assert first.documents("open") == second.documents("open")


async def test_busy_server_is_asked_again_after_its_time() -> None:
    def busy(request: Request) -> Reply:
        error = document("error", 503, "The server is going down.")
        return request.reply(error, status=503, headers=["Retry-After: 1"])

    loop = asyncio.get_running_loop()
    async with scripted(script(start=[busy, saying(*OPENED)])) as served:
        started = loop.time()
        async with polled(served) as ws:
            assert loop.time() - started >= 1
            ws.abort()


@pytest.mark.parametrize(
    "start",
    [
        saying(OPENED[0], document("gone", 1)),
        saying(OPENED[0], document("opened", 1, "not-offered", PARAMETERS)),
        lambda request: request.reply(document("error", 404, "Unknown."), status=404),
        lambda request: request.reply(document("error", 400, "Malformed."), status=400),
        lambda request: Reply(400, b'[["head",2,"",0]]\n'),
    ],
    ids=["gone", "subprotocol", "404", "400", "version"],
)
async def test_opening_that_makes_no_sense_is_given_up(start: Answer) -> None:
    async with scripted(script(start=[start])) as served:
        with pytest.raises(Closed, match="not cleanly with 1006"):
            async with polled(served):
                pass
    assert len(served.asked("open")) <= 3


@pytest.mark.parametrize(
    "frames",
    [
        [document("gone", 1)],
        [document("section", 1, 5, 0)],
        [document("section", 1, 0, 1), (TEXT, b"\xff")],
        [document("section", 1, 0, 1), (0x3F, b"")],
        [document("section", 1, 0, 1), (CLOSE, b"\x03\xed")],
    ],
    ids=["gone", "ack of nothing", "not UTF-8", "unknown frame", "code 1005"],
)
async def test_session_in_error_ends_with_1006(frames: list[Frame]) -> None:
    async with scripted(script(poll=[saying(*frames), never])) as served, polled(served) as ws:
        with pytest.raises(Closed, match="not cleanly with 1006"):
            await ws.receive()


async def test_close_is_answered_and_acknowledged() -> None:
    close: Frame = (CLOSE, (4000).to_bytes(2, "big") + b"bye")
    answers = [saying(document("section", 1, 0, 1), close), never]
    async with scripted(script(poll=answers)) as served, polled(served) as ws:
        with pytest.raises(Closed, match="closed cleanly with 4000 'bye'"):
            await ws.receive()
    [upload] = served.asked("send")
    assert upload.documents("section") == [["section", 1, 1, 1]]
    assert upload.messages == [close[1]]


async def test_close_that_is_not_answered_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emulation.testing.socket._CLOSE_TIMEOUT", 0.2)
    async with scripted(script()) as served, polled(served) as ws:
        await ws.close(4000)
        assert ws.close_code == 1006


async def test_empty_answers_that_come_early_slow_the_polls_down() -> None:
    empty = saying(document("section", 1, 0, 0))
    loop = asyncio.get_running_loop()
    async with scripted(script(poll=[empty, empty, saying(*HELLO), never])) as served:
        started = loop.time()
        async with polled(served) as ws:
            assert await ws.receive() == "hello"
            assert loop.time() - started >= 0.25 + 0.5
            ws.abort()


async def test_stream_that_is_held_back_is_given_up() -> None:
    """The answer to an upload says that frames were written which never came (section 8.1)."""

    def written(request: Request) -> Reply:
        return request.reply(document("written", 1, 50), document("section", 1, 1, 0))

    def head_only(request: Request) -> Reply:
        content = body(request, *HELLO)
        return Reply(200, content[: content.index(b"hello") - 2], is_held=True)

    async def stream(request: Request) -> Reply | None:
        if request.number > 1:
            return request.reply(*HELLO)
        return head_only(request)

    made = script(send=[written])
    made.handlers["stream"] = stream
    async with scripted(made) as served:
        async with connect(served.url, transport="stream", resume=3) as ws:
            await ws.send("anybody there?")
            assert await ws.receive() == "hello"
            ws.abort()
    assert len(served.asked("stream")) > 1


@pytest.mark.parametrize("transport", ["stream", "sse"])
async def test_downstream_on_a_slow_way_gets_more_time(
    transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client with one transport has none to go to when the head is late (section 8.1)."""
    monkeypatch.setattr("emulation.testing.downstream.PROOF_TIME", 0.25)

    async def late(request: Request) -> Reply:
        await asyncio.sleep(0.6)
        if transport == "stream":
            return request.reply(*HELLO)
        tickets = len(served.asked("ticket"))
        return Reply(200, events(request, *HELLO, number=tickets), STREAM)

    made = event_script(never)
    made.handlers[transport] = late
    async with scripted(made) as served:
        async with connect(served.url, transport=transport, resume=3) as ws:
            assert await ws.receive() == "hello"
            ws.abort()


TICKET = "t" * 22


def events(
    request: Request, *frames: Frame, number: int = 1, line_end: str = "\n", extra: str = ""
) -> bytes:
    """Write a body of ours as an event stream; the GET itself says nothing of its number."""
    asked = request._replace(frames=[(DOCUMENT, ["head", 1, "", number, ""])])
    lines = body(asked, *frames).decode().splitlines()
    return "".join(f"{extra}data:{line}\n\n" for line in lines).replace("\n", line_end).encode()


def event_script(*answers: Answer) -> Script:
    made = script()
    made.handlers["ticket"] = in_turn(saying(document("ticket", TICKET)))
    made.handlers["sse"] = in_turn(*answers)
    return made


STREAM = ["Content-Type: text/event-stream; charset=utf-8"]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("extra", ["", ": comment\n", "event: message\nid: 7\nretry: 9\n"])
async def test_event_stream_is_read_in_all_its_forms(line_end: str, extra: str) -> None:
    def stream(request: Request) -> Reply:
        content = events(request, *HELLO, line_end=line_end, extra=extra)
        return Reply(200, content, STREAM)

    async with scripted(event_script(stream, never)) as served:
        async with connect(served.url, transport="sse", resume=3) as ws:
            assert await ws.receive() == "hello"
            ws.abort()


@pytest.mark.parametrize(
    "faulty",
    [
        lambda request: Reply(204, b""),
        lambda request: Reply(200, events(request, *HELLO), ["Content-Type: text/html"]),
        lambda request: Reply(200, events(request, *HELLO)[:-1], STREAM),
    ],
    ids=["dead ticket", "another type", "cut event"],
)
async def test_event_stream_that_fails_brings_a_new_ticket(faulty: Answer) -> None:
    async with scripted(event_script(faulty, never)) as served:
        async with connect(served.url, transport="sse", resume=3) as ws:
            await reached(lambda: len(served.asked("ticket")) > 1)
            ws.abort()
    assert [request.number for request in served.asked("ticket")][:2] == [1, 2]


def sent(served: Script) -> list[bytes]:
    return [message for upload in served.asked("send") for message in upload.messages]


async def reached(condition: Callable[[], Any]) -> None:
    """Wait for what the server is asked."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("the client has not asked for it within 10 s")
