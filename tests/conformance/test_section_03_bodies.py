"""docs/protocol.md section 3: bodies in both forms, whole, in pieces, cut and altered."""

from __future__ import annotations

import asyncio
import random
import re

import anyio
import httpx
import pytest

from emulation.protocol.codec import decode_body
from emulation.protocol.frames import (
    BINARY,
    BINARY_PART,
    CLOSE,
    DOCUMENT,
    TEXT,
    TEXT_PART,
    Frame,
    document,
)
from tests.session.stage import Played, Served, serving
from tests.session.wire import (
    FORMS,
    Page,
    by_socket,
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

# Of every kind and size: an own byte of length, two, three; what JSON escapes; what is no ASCII.
FRAMES: list[Frame] = [
    text(""),
    (BINARY, b""),
    text('"\\\0\x7f\u2028 é 😀'),
    (BINARY, bytes(range(256))),
    (TEXT_PART, b"of two "),
    (TEXT, b"parts"),
    (BINARY_PART, b"\xff" * 200),
    (BINARY, b"\0"),
    text("x" * 20_000),
]
MESSAGES = ["", b"", '"\\\0\x7f\u2028 é 😀', bytes(range(256)), "of two parts",
            b"\xff" * 200 + b"\0", "x" * 20_000]  # fmt: skip


async def until_echoed(page: Page, socket: int) -> list[str | bytes]:
    """Return what the application at /echo has sent back to a socket, by one poll."""
    said = (await page.poll(document("wait", 0), section(socket))).said(socket)
    return [payload.decode() if kind == TEXT else payload for kind, payload in said]


# --- In pieces, and together ----------------------------------------------------------------------


@FORMS
@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_a_body_comes_in_any_pieces(served: Served, form: str, size: int) -> None:
    page = served.page(form=form)
    await page.opened()
    chance = random.Random(f"{form} {size}")
    # A byte at a time takes long for the last frame.
    frames = FRAMES[: -1 if size == 1 else None]
    request = page.raw("send", encoded(page.head(1), section(1, 0, 1), *frames, form=form))
    url = httpx.URL(served.url)
    async with connection_to(url.host, url.port) as (reader, writer):
        while request:
            at = chance.randint(1, 2 * size)
            piece, request = request[:at], request[at:]
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        answer = await read_answer(reader)
    assert answer.status == 204 or answer.ack() == len(frames)
    assert await until_echoed(page, 1) == MESSAGES[: -1 if size == 1 else None]


@FORMS
async def test_bodies_come_together(served: Served, form: str) -> None:
    """Several requests in one write of the client's, in their order."""
    page = served.page(form=form)
    await page.opened()
    requests = [
        page.raw("send", encoded(page.head(n), section(1, 0, n), text(str(n)), form=form))
        for n in range(1, 6)
    ]
    url = httpx.URL(served.url)
    async with connection_to(url.host, url.port) as (reader, writer):
        writer.write(b"".join(requests))
        for number in range(1, 6):
            answer = await read_answer(reader)
            if form == "json":
                assert answer.head == ["head", 1, page.key, number]
                assert answer.ack() == number
            else:
                assert answer.headers["emulation"] == f"1 {page.key} {number} 0 0"
    assert await until_echoed(page, 1) == ["1", "2", "3", "4", "5"]


@FORMS
async def test_one_upload_has_sections_of_many_sockets(served: Served, form: str) -> None:
    page = served.page(form=form)
    for socket in (1, 2, 3):
        await page.opened(socket)
    answer = await page.upload(
        section(2, 0, 1), text("two, 1"), (BINARY, b"two, 2"),
        section(1, 0, 1), text("one, 1"),
        section(3),
        section(2, 0, 3), text("two, 3"),
        section(1, 0, 2), (TEXT_PART, b"one, "), (TEXT, b"2"),
    )  # fmt: skip
    if form == "json":
        assert [answer.ack(socket) for socket in (1, 2, 3)] == [3, 3, 0]
    else:
        assert answer.status == 204
    poll = await page.poll(document("wait", 0), section(1), section(2), section(3))
    assert poll.said(1) == [text("one, 1"), text("one, 2")]
    assert poll.said(2) == [text("two, 1"), (BINARY, b"two, 2"), text("two, 3")]
    assert poll.said(3) == []


@FORMS
async def test_a_frame_may_be_as_large_as_an_upload(played: Played, form: str) -> None:
    page, endpoint = played
    size = 500_000 if form == "binary" else 380_000
    answer = await page.upload(section(1, 0, 1), (BINARY, b"\xa5" * size), text("behind it"))
    assert answer.status == 204 or answer.ack() == 2
    assert (await endpoint.receive())["bytes"] == b"\xa5" * size
    assert await endpoint.texts(1) == ["behind it"]


# --- Cut and altered ------------------------------------------------------------------------------


@FORMS
async def test_of_a_body_that_is_cut_counts_what_came_whole(served: Served, form: str) -> None:
    """Cut at every byte, one after the other: each frame is taken as soon as it is whole, once."""
    page = served.page(form=form)
    await page.opened()
    lines = [[section(1, 0, 1), text("one")], [(BINARY, b"two"), text("três")], [text("four")]]
    # In the JSON form only whole lines count.
    pieces = [encoded(*line, form=form, end=False) for line in lines]
    head = encoded(page.head(1), form=form, end=False)
    body = b"".join([head, *pieces])
    for cut in range(1, len(body) + 1):
        answer = await page.request("POST", page.url("send"), body[:cut])
        if cut < len(head):
            assert answer.status == 400
            continue
        frames, is_ended = decode_body(body[:cut], binary=form == "binary", limit=1000)
        assert answer.status == 200 and not is_ended
        came = sum(kind != DOCUMENT for kind, _ in frames)
        if documents(frames, "section"):
            assert answer.ack() == came
        else:
            assert not documents(answer.frames, "section")
    assert await until_echoed(page, 1) == ["one", b"two", "três", "four"]


@FORMS
@pytest.mark.parametrize("by", [-1, 1])
async def test_nothing_of_an_altered_body_counts(played: Played, form: str, by: int) -> None:
    """Neither its frames nor its acknowledgements, nor that it came at all."""
    page, endpoint = played
    await endpoint.send("send", text="down")
    assert (await page.poll(section(1))).said() == [text("down")]
    body = encoded(page.head(1), section(1, 1, 1), text("altered"), form=form)
    altered = re.sub(rb'\["end",(\d+)\]', lambda found: b'["end",%d]' % (int(found[1]) + by), body)
    assert len(altered) == len(body)
    for verb in ("send", "poll", "stream", "ticket", "bye"):
        answer = await page.request("POST", page.url(verb), altered)
        assert answer.status == 400, verb
    # What it said it had is still kept, and comes again.
    assert (await page.poll(section(1))).said() == [text("down")]
    await page.upload(section(1, 1, 1), text("true"))
    assert await endpoint.texts(1) == ["true"]


@FORMS
async def test_an_upload_that_was_cut_is_not_said_to_be_taken_whole(
    served: Served, form: str
) -> None:
    page = served.page(form=form)
    await page.opened()
    body = encoded(page.head(1), section(1, 0, 1), text("one"), form=form, end=False)
    answer = await page.request("POST", page.url("send"), body)
    assert answer.status == 200 and answer.ended
    assert answer.ack() == 1


@FORMS
async def test_known_documents_may_have_more_elements(served: Served, form: str) -> None:
    page = served.page(form=form)
    body = encoded(
        document("head", 1, "", 1, "", "more", {}),
        document("open", 1, drawn(), ["chat"], "poll", "more"),
        form=form,
    )
    answer = await page.request("POST", page.url("open"), body)
    told = answer.document("opened")
    assert told is not None and told[2] == "chat"
    _, page.secret, page.node = answer.document("secret") or []
    answer = await page.upload(document("section", 1, 0, 1, "", "more", [None]), text("one"))
    assert answer.status == 204 or answer.ack() == 1
    poll = await page.poll(document("wait", 0, "more"), document("section", 1, 0, 0, "", 7))
    assert poll.said() == [text("one")]


# --- Parts ----------------------------------------------------------------------------------------

LONG = ["é" * 70_000, "😀" * 40_000, "a" + "\u20ac" * 50_000, bytes(range(256)) * 700]


@FORMS
@pytest.mark.parametrize("message", LONG, ids=["é", "😀", "a€", "bytes"])
@pytest.mark.parametrize("way", ["stream", "poll", "sse"])
async def test_a_long_message_goes_down_in_parts(
    played: Played, message: str | bytes, way: str
) -> None:
    page, endpoint = played
    what = "text" if isinstance(message, str) else "bytes"
    await endpoint.send("send", **{what: message})
    await endpoint.send("send", text="behind it")
    if way == "poll":
        said = (await page.poll(section(1))).said()
    elif way == "stream":
        async with page.stream() as downstream:
            await downstream.until_text("behind it")
            said = [frame for _, frame in by_socket(downstream.frames)]
    else:
        async with page.events(await page.ticket()) as downstream:
            await downstream.until_text("behind it")
            said = [frame for _, frame in by_socket(downstream.frames)]
    endpoint.leave()
    part, last = (TEXT_PART, TEXT) if what == "text" else (BINARY_PART, BINARY)
    assert said.pop() == text("behind it")
    assert [kind for kind, _ in said] == [part] * (len(said) - 1) + [last]
    assert len(said) > 1 and all(len(payload) <= 65_536 for _, payload in said)
    if what == "text":
        # Cut between code points: each piece is text by itself.
        assert "".join(payload.decode() for _, payload in said) == message
    else:
        assert b"".join(payload for _, payload in said) == message


@FORMS
async def test_parts_are_put_together_across_uploads(played: Played) -> None:
    page, endpoint = played
    await page.upload(section(1, 0, 1), (TEXT_PART, "três ".encode()), (TEXT_PART, b"piec"))
    await page.upload(section(1, 0, 3), (TEXT, "es é".encode()), (BINARY_PART, b"\xff"))
    await page.upload(section(1, 0, 5), (BINARY_PART, b""), (BINARY, b"\xfe"))
    assert await endpoint.texts(1) == ["três pieces é"]
    assert (await endpoint.receive())["bytes"] == b"\xff\xfe"


@FORMS
async def test_a_close_discards_what_is_unfinished(played: Played) -> None:
    page, endpoint = played
    await page.upload(section(1, 0, 1), text("whole"), (TEXT_PART, b"unfini"), close(3000, "x"))
    assert await endpoint.texts(1) == ["whole"]
    event = await endpoint.receive()
    assert (event["type"], event["code"]) == ("websocket.disconnect", 3000)
    assert (await page.poll(section(1))).said() == [close(3000, "x")]


@FORMS
async def test_the_sum_of_parts_is_bounded_to_the_byte(form: str) -> None:
    async with serving(max_message_size=100_000) as served:
        page = served.page("/puppet", form=form)
        endpoint = await served.play(page)
        fits = [(BINARY_PART, b"x" * 60_000), (BINARY, b"x" * 40_000)]
        await page.upload(section(1, 0, 1), *fits)
        assert len((await endpoint.receive())["bytes"]) == 100_000
        answer = await page.upload(
            section(1, 0, 3), (BINARY_PART, b"x" * 60_000), (BINARY, b"x" * 40_001)
        )
        assert answer.status == 200 and answer.ack() == 3
        assert (await endpoint.disconnect())[0] == 1009
        [(kind, payload)] = (await page.poll(section(1, 0))).said()
        assert (kind, payload[:2]) == (CLOSE, (1009).to_bytes(2, "big"))
        endpoint.leave()


@FORMS
async def test_numbers_go_on_over_parts(played: Played) -> None:
    """A part is a frame like any other: it has a number and is acknowledged by it."""
    page, endpoint = played
    await endpoint.send("send", text="one")
    await endpoint.send("send", bytes=b"x" * 150_000)
    await endpoint.send("send", text="five")
    first = numbers((await page.poll(section(1))).frames)
    assert [kind for kind, _ in first.values()] == [1, 4, 4, 2, 1] and list(first) == [
        1,
        2,
        3,
        4,
        5,
    ]
    # Half of a message may be acknowledged.
    again = numbers((await page.poll(section(1, 3))).frames)
    assert again == {4: first[4], 5: first[5]}


async def test_the_json_form_is_ascii_in_short_lines(served: Served) -> None:
    page = served.page("/puppet", form="json")
    endpoint = await served.play(page)
    for number in range(40):
        await endpoint.send("send", text=f"{number} é 😀 \u2028 " + "x" * 1500)
    answer = await page.poll(section(1))
    lines = answer.body.split(b"\n")
    assert answer.body.isascii() and lines.pop() == b""
    assert re.fullmatch(rb'\[\["end",\d+\]\]', lines[-1])
    # A line ends with the first frame that brings it to 4,096 bytes.
    assert len(lines) > 10 and all(len(line) < 4_096 + 1_700 for line in lines)
    endpoint.leave()


async def test_ends_are_told_on_streams(served: Served) -> None:
    """Each downstream says its bytes, from its first to its `end`, which the decoders check."""
    for form in ("binary", "json"):
        page = served.page(form=form)
        await page.opened()
        async with page.stream() as downstream, page.stream():
            await page.upload(section(1, 0, 1), text("é" * 1000))
            with anyio.fail_after(10):
                frames = await downstream.until_end()
            assert len(documents(frames, "end")) == 1
