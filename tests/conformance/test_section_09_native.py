"""docs/protocol.md section 9: one native socket for one socket."""

from __future__ import annotations

import json
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from emulation.protocol.frames import BINARY, DOCUMENT, document
from tests.session.native import Native, dial, opened, resumed
from tests.session.stage import Endpoint, Served
from tests.session.wire import Page, close, documents, drawn, numbers, section, text

pytestmark = pytest.mark.usefixtures("beside")


async def played(served: Served, native: Native) -> Endpoint:
    endpoint = await served.stage.endpoint()
    await endpoint.accept()
    await native.until("opened")
    return endpoint


async def test_the_secret_is_told_to_the_socket_that_makes_the_carrier(served: Served) -> None:
    page = served.page()
    async with opened(page) as first:
        words = await first.until("opened")
        assert [said[0] for said in first.said] == ["secret", "opened"]
        assert words[1] in (0, 1) and words[3]["frames"] == served.middleware.config.window_frames
        async with opened(page, 2) as second:
            await second.until("opened")
            assert [said[0] for said in second.said] == ["opened"]
            for native, message in ((first, "one"), (second, "two")):
                await native.send(message)
                assert await native.messages(1) == [message]


ESCAPED = ["", "x", "\0", "\0x", '\0["ping"]', "\0[", "\0\0", "\0\0[", "x\0", "é😀"]


@pytest.mark.parametrize("name", ["resume", "0123456789_-abcdefghij"])
async def test_an_upgrade_whose_marker_was_lost_starts_nothing(served: Served, name: str) -> None:
    """The page goes on without it, and the application starts once."""
    page = served.page("/puppet")
    url = f"{served.url.replace('http', 'ws', 1)}/puppet"
    before = len(served.stage.scopes)
    with pytest.raises(InvalidStatus):
        async with connect(url, subprotocols=[Subprotocol(f"emulation.{name}")], proxy=None):
            pass
    endpoint = await served.play(page)
    assert len(served.stage.scopes) == before + 1
    endpoint.leave()


async def test_text_that_looks_like_a_document_is_none(served: Served) -> None:
    """Both ways: what begins with U+0000 has one more. Nothing that is sent down is empty."""
    page = served.page("/puppet")
    async with opened(page) as native:
        endpoint = await played(served, native)
        for message in ESCAPED:
            on_wire = "\0" + message if message.startswith("\0") else message
            await native.send(on_wire)
            assert await endpoint.texts(1) == [message]
            await endpoint.send("send", text=message)
            assert await native.message() == (on_wire or "\0")
            await native.send(message.encode())
            assert (await endpoint.receive())["bytes"] == message.encode()
            await endpoint.send("send", bytes=message.encode())
            if message:
                assert await native.message() == message.encode()
            else:
                assert await native.until("b") == ["b", ""]
        endpoint.leave()


@pytest.mark.parametrize("code", [1000, 1001, 1011, 3000, 4999, None])
async def test_a_native_close_ends_no_session(served: Served, code: int | None) -> None:
    page = served.page("/puppet")
    async with opened(page) as native:
        endpoint = await played(served, native)
        await native.send("one")
        assert await endpoint.texts(1) == ["one"]
        if code is None:
            native.connection.transport.abort()
        else:
            await native.connection.close(code, "whoever says so")
    await endpoint.send("send", text="meanwhile")
    async with resumed(page) as again:
        assert (await again.receive())[:2] == ["resumed", 1]
        assert await again.messages(1) == ["meanwhile"]
        await again.send("two")
        assert await endpoint.texts(1) == ["two"]
    endpoint.leave()


async def test_nothing_goes_before_resumed(served: Served) -> None:
    page = served.page("/puppet")
    endpoint = await served.play(page)
    await page.upload(section(1, 0, 1), text("up"))
    await endpoint.texts(1)
    for number in range(1, 4):
        await endpoint.send("send", text=f"{number}")
    assert len(numbers((await page.poll(section(1))).frames)) == 3
    async with dial(page, "resume") as native:
        await endpoint.send("send", text="4")
        await native.say("head", 1, page.secret, 1, page.node, 2)
        await endpoint.send("send", text="5")
        words = await native.receive()
        config = served.middleware.config
        assert words == ["resumed", 1, config.window_bytes + 2, config.window_frames + 1]
        # From the page's ack on, in order, each once.
        assert await native.messages(3) == ["3", "4", "5"]
        assert all(isinstance(said, list) for said in native.said[1:-3])
    endpoint.leave()


async def test_a_resume_that_acknowledges_what_was_never_sent(served: Served) -> None:
    page = served.page("/puppet")
    endpoint = await served.play(page)
    async with resumed(page, ack=1) as native:
        assert (await native.until("c"))[1] == 1002
        assert (await endpoint.disconnect())[0] == 1002
    endpoint.leave()


async def test_a_resume_goes_on_in_the_middle_of_a_message(served: Served) -> None:
    """Parts have the numbers that they have everywhere."""
    page = served.page("/puppet")
    endpoint = await served.play(page)
    message = bytes(range(256)) * 800
    await endpoint.send("send", bytes=message)
    parts = numbers((await page.poll(section(1))).frames)
    assert len(parts) == 4
    async with resumed(page, ack=2) as native:
        await native.until("resumed")
        found: list[Any] = []
        while not found or found[-1] != parts[4][1]:
            said = await native.receive()
            if said == ["part"] or isinstance(said, bytes):
                found.append(said)
        assert found == [["part"], parts[3][1], parts[4][1]]
        await native.say("ack", 4)
        await native.say("part")
        await native.send(b"half ")
        await native.say("ping")
        assert await native.until("ack") == ["ack", 1]
    # And the other way, over HTTP.
    await page.upload(section(1, 4, 2), (BINARY, b"of it"))
    assert (await endpoint.receive())["bytes"] == b"half of it"
    assert not numbers((await page.poll(document("wait", 0), section(1))).frames)
    endpoint.leave()


async def test_an_upload_that_comes_behind_a_resume(served: Served) -> None:
    """Native messages have no number: they count from the ack that `resumed` told, and no other."""
    page = served.page("/puppet")
    endpoint = await served.play(page)
    await page.upload(section(1, 0, 1), text("one"))
    async with resumed(page) as native:
        assert (await native.until("resumed"))[1] == 1
        # On its way before the page knew; its answer is lost, or comes later than `resumed`.
        late = await page.upload(section(1, 0, 2), text("two"), text("three"))
        assert late.status == 204
        for message in ("two", "three", "four"):
            await native.send(message)
        assert await endpoint.texts(4) == ["one", "two", "three", "four"]
        late = await page.upload(section(1, 0, 3), text("three"), text("four"), text("five"))
        assert late.status == 204
        for message in ("five", "six"):
            await native.send(message)
        assert await endpoint.texts(2) == ["five", "six"]
        await endpoint.send("send", text="still at home here")
        assert await native.messages(1) == ["still at home here"]
    endpoint.leave()


@pytest.mark.parametrize("comes", ["before the head", "behind the head"])
async def test_an_ack_that_overtakes_a_resume(served: Served, comes: str) -> None:
    """The page counts from the ack of its head: what it has had meanwhile is not left out."""
    page = served.page("/puppet")
    endpoint = await served.play(page)
    async with page.stream() as downstream:
        await downstream.until(DOCUMENT, "credit")
        for number in range(1, 6):
            await endpoint.send("send", text=str(number))
        await downstream.until_text("5")
        async with dial(page, "resume") as native:
            if comes == "before the head":
                await page.upload(section(1, 4))
            await native.say("head", 1, page.secret, 1, page.node, 2)
            await native.until("resumed")
            if comes == "behind the head":
                await page.upload(section(1, 4))
            await endpoint.send("send", text="6")
            # 3 and 4 it drops, whatever they are.
            assert (await native.messages(4))[2:] == ["5", "6"]
    endpoint.leave()


async def test_unknown_documents_are_skipped(served: Served) -> None:
    page = served.page("/puppet")
    async with opened(page) as native:
        endpoint = await played(served, native)
        await native.say("future", {"a": [1]})
        await native.say("ping", "more", None)
        await native.say("future")
        await native.send("one")
        assert await endpoint.texts(1) == ["one"]
        endpoint.leave()


@pytest.mark.parametrize("head", [[2, "", 1, ""], [2], ["1", "", 1, ""]])
@pytest.mark.parametrize("way", ["start", "resume"])
async def test_another_version_is_told(served: Served, head: list[Any], way: str) -> None:
    page = served.page()
    await page.opened()
    other = served.page()
    target, nonce = (other, drawn()) if way == "start" else (page, "resume")
    async with dial(target, nonce) as native:
        await native.say("head", *head)
        assert await native.until("error") == ["error", 400, "unsupported wire version"]
        await native.until_closed()
    await page.upload(section(1, 0, 1), text("unharmed"))
    assert numbers((await page.poll(section(1))).frames) == {1: text("unharmed")}


async def test_what_is_no_frame_behind_its_bracket_is_a_fault(served: Served) -> None:
    for message in ("\0[", "\0[]", "\0[1]", '\0["part"', '\0["b","?"]', '\0["x"]'):
        page = served.page("/puppet")
        async with opened(page) as native:
            endpoint = await played(served, native)
            await native.send(message)
            assert (await native.until("c"))[1] == 1002, json.dumps(message)
            assert (await endpoint.disconnect())[0] == 1002
            endpoint.leave()


async def test_other_zeros_at_the_head_of_a_text_are_removed(served: Served) -> None:
    page = served.page("/puppet")
    async with opened(page) as native:
        endpoint = await played(served, native)
        for message in ("\0", "\0x", "\0 [", "\0{}"):
            await native.send(message)
        await native.send('\0["b","AAE="]')
        assert await endpoint.texts(4) == ["", "x", " [", "{}"]
        assert (await endpoint.receive())["bytes"] == b"\0\1"
        endpoint.leave()


async def test_an_attach_takes_a_socket_home_and_a_resume_takes_it_back(served: Served) -> None:
    """Again and again, while the application goes on sending: nothing is lost or doubled."""
    page = served.page("/puppet")
    endpoint = await served.play(page)
    got: list[str] = []
    number = 0

    async def say(count: int) -> None:
        nonlocal number
        for _ in range(count):
            number += 1
            await endpoint.send("send", text=str(number))

    for _ in range(5):
        await say(3)
        async with page.stream(section(1, len(got))) as downstream:
            await say(3)
            await downstream.until_text(str(number))
            got += downstream.texts()
            await say(3)
            async with resumed(page, ack=len(got)) as native:
                await native.until("resumed")
                await say(2)
                while got[-1] != str(number):
                    got += await native.messages(1)
    assert got == [str(n) for n in range(1, number + 1)]
    endpoint.leave()


async def test_a_head_that_comes_twice_changes_nothing(served: Served) -> None:
    page = served.page("/puppet")
    async with opened(page) as native:
        endpoint = await played(served, native)
        await native.say("head", 1, page.secret, 2, page.node)
        try:
            await native.until("error")
        except ConnectionClosed:
            pass
    assert documents((await page.poll(section(2))).frames, "gone") == [["gone", 2]]
    await page.upload(section(1, 0, 1), close(1000))
    assert await endpoint.disconnect() == (1000, "")
    async with page.stream() as downstream:
        await downstream.until(DOCUMENT, "section")
    endpoint.leave()


@pytest.mark.parametrize("socket", [1, 2])
async def test_a_native_socket_resumes_one_socket(served: Served, socket: int) -> None:
    """A session that came second would be at home on it, and watched by nobody, for ever."""
    page = served.page("/puppet")
    endpoints = [await served.play(page, number) for number in (1, 2)]
    async with resumed(page) as native:
        await native.until("resumed")
        await native.say("head", 1, page.secret, socket, page.node, 0)
        assert (await native.until("error"))[1] == 400
        await native.until_closed()
    sections = (section(1), section(2))
    for number, endpoint in enumerate(endpoints, 1):
        await endpoint.send("send", text="on its carrier")
        frames = (await page.poll(*sections)).frames
        assert numbers(frames, number) == {1: text("on its carrier")}
        endpoint.leave()


async def test_only_its_own_page_resumes_a_socket(served: Served) -> None:
    page = served.page("/puppet")
    endpoint = await served.play(page)
    for key, secret, node in (
        (page.key, "", page.node),
        (page.key, "x" * 32, page.node),
        (drawn(), page.secret, page.node),
        (page.key, page.secret, "other"),
    ):
        other = Page(page.client, page.base, page.path)
        other.key, other.secret, other.node = key, secret, node
        async with resumed(other) as native:
            assert (await native.until("error"))[1] in (400, 404, 421)
            await native.until_closed()
    await endpoint.send("send", text="for its page")
    assert numbers((await page.poll(section(1))).frames) == {1: text("for its page")}
    endpoint.leave()


async def test_an_upload_that_overtakes_the_attach_with_its_nonce(served: Served) -> None:
    """A socket whose head was lost has no number yet: said of it, `gone` would end it."""
    page = served.page("/puppet")
    first = await served.play(page)
    nonce = drawn()
    async with dial(page, nonce) as native:
        second = await served.stage.endpoint()
        await second.accept()
        await native.until("opened")
    await served.eventually(lambda: not served.registry.natives, "the native socket is gone")
    answer = await page.upload(section(2, 0, 1), text("early"))
    assert not documents(answer.frames, "gone") and not documents(answer.frames, "section")
    poll = await page.poll(document("wait", 0), section(1), document("section", 2, 0, 0, nonce))
    assert not documents(poll.frames, "gone")
    await page.upload(section(2, 0, 1), text("early"))
    assert await second.texts(1) == ["early"]
    assert documents((await page.upload(section(3))).frames, "gone") == [["gone", 3]]
    first.leave()
    second.leave()
