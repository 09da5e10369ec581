"""The native socket on the wire: one socket of a carrier, which other transports may take over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from emulation.protocol.frames import CLOSE, DOCUMENT
from tests.session.native import Native, dial, opened, resumed
from tests.session.stage import Endpoint, Served, neighbour, serving
from tests.session.wire import TIMEOUT, Page, close, drawn, section, text
from tests.support.streams import connection_to


@pytest.fixture(scope="module")
async def served() -> AsyncIterator[Served]:
    async with serving(open_answer_time=0.2) as running:
        yield running


@pytest.fixture(autouse=True)
async def beside(served: Served) -> AsyncIterator[None]:
    async with neighbour(served):
        yield


@asynccontextmanager
async def played(served: Served, page: Page) -> AsyncIterator[tuple[Native, Endpoint]]:
    """Open a socket at `/puppet` natively."""
    async with opened(page) as native:
        endpoint = await served.stage.endpoint()
        await endpoint.accept()
        await native.until("opened")
        yield native, endpoint
        endpoint.leave()


async def test_the_first_words(served: Served) -> None:
    page = served.page()
    async with opened(page, 1, "chat.v2") as native:
        said = await native.until("opened")
        assert [words[0] for words in native.said] == ["secret", "opened"]
        assert said[1] in (0, 1) and said[2] == "chat.v2"
        assert served.stage.scopes[-1]["subprotocols"] == ["chat.v2"]
        for message in ("text", "\0", "\0[1]", "\0\0x", b"\0\xff", "snow ☃ 😀"):
            escaped = (
                "\0" + message if isinstance(message, str) and message[:1] == "\0" else message
            )
            await native.send(escaped)
            [echo] = await native.messages(1)
            assert echo == escaped


async def test_acknowledgement_comes_alone(served: Served) -> None:
    page = served.page("/puppet")
    async with played(served, page) as (native, endpoint):
        await native.send("one")
        assert await native.until("ack") == ["ack", 1]
        await native.say("ping")
        assert await native.until("ack") == ["ack", 1]
        assert await endpoint.texts(1) == ["one"]


async def test_undecided(served: Served) -> None:
    page = served.page("/puppet")
    async with opened(page) as native:
        await native.until("hello")
        endpoint = await served.stage.endpoint()
        await endpoint.accept(subprotocol="late")
        assert (await native.until("opened"))[2] == "late"
        endpoint.leave()


async def test_refused(served: Served) -> None:
    page = served.page("/nowhere")
    async with dial(page, drawn()) as native:
        assert (await native.until("refused"))[2] == 403
        await native.until_closed()


async def test_undecided_and_then_gone() -> None:
    async with serving(open_answer_time=0.05, open_timeout=0.3) as served:
        page = served.page("/puppet")
        async with opened(page) as native:
            endpoint = await served.stage.endpoint()
            await native.until("gone")
            await native.until_closed()
            endpoint.leave()


async def test_the_sockets_of_a_carrier(served: Served) -> None:
    page = served.page()
    await page.opened(1)
    async with opened(page, 2) as native, page.stream() as downstream:
        await native.until("opened")
        await native.send("by native")
        assert await native.messages(1) == ["by native"]
        await page.upload(section(1, 0, 1), text("by stream"))
        await downstream.until_text("by stream")
        assert not downstream.texts(2)
        # Naming it in an attach moves its home to the carrier; the native socket is dropped.
        async with page.stream(section(1, 1), section(2, 1)) as both:
            await native.until_closed()
            await page.upload(section(2, 1, 2), text("moved"))
            await both.until_text("moved")
            assert both.texts(2) == ["moved"]
            # And back again.
            async with resumed(page, 2, ack=2) as again:
                assert (await again.until("resumed"))[1] == 2
                await again.send("back")
                assert await again.messages(1) == ["back"]
                assert both.texts(2) == ["moved"]


async def test_resume(served: Served) -> None:
    page = served.page("/puppet")
    async with played(served, page) as (native, endpoint):
        await native.send("one")
        await native.send("two")
        assert await endpoint.texts(2) == ["one", "two"]
        for number in range(3):
            await endpoint.send("send", text=f"down {number}")
        assert await native.messages(3) == ["down 0", "down 1", "down 2"]
        native.connection.transport.abort()
        await endpoint.send("send", text="meanwhile")
        async with resumed(page, ack=2) as again:
            words = await again.receive()
            assert words[:2] == ["resumed", 2]
            config = served.middleware.config
            assert words[2:] == [config.window_bytes + 6, config.window_frames + 2]
            assert await again.messages(2) == ["down 2", "meanwhile"]
            await again.send("three")
            assert await endpoint.texts(1) == ["three"]


async def test_a_resume_drops_the_native_socket_before(served: Served) -> None:
    page = served.page()
    async with opened(page) as first:
        await first.until("opened")
        async with resumed(page) as second:
            await second.until("resumed")
            await first.until_closed()
            await second.send("one")
            assert await second.messages(1) == ["one"]


async def test_a_late_attach_does_not_move_a_socket(served: Served) -> None:
    page = served.page()
    await page.opened()
    async with page.stream(attach=5) as downstream:
        await downstream.until(DOCUMENT, "credit")
    async with resumed(page) as native:
        await native.until("resumed")
        answer = await page.poll(section(1), attach=4)
        assert [payload[0] for _, payload in answer.frames] == ["head", "end"]
        await native.send("still here")
        assert await native.messages(1) == ["still here"]


async def test_a_resume_of_nobody(served: Served) -> None:
    page = served.page()
    await page.opened()
    async with resumed(page, 7) as native:
        assert await native.until("gone") == ["gone", 7]
        await native.until_closed()
    page.secret = "x" * 32
    async with resumed(page, 1) as native:
        assert (await native.until("error"))[1] == 404
        await native.until_closed()


async def test_parts(served: Served) -> None:
    page = served.page("/puppet")
    async with played(served, page) as (native, endpoint):
        await native.say("part")
        await native.send(b"a" * 10)
        await native.say("ping")
        await native.say("part")
        await native.send(b"b" * 10)
        native.connection.transport.abort()
        # What was half sent on one transport is finished on another.
        async with resumed(page) as again:
            assert (await again.until("resumed"))[1] == 2
            await again.send(b"c")
            assert (await endpoint.receive())["bytes"] == b"a" * 10 + b"b" * 10 + b"c"
            whole = "é" * 100_000
            await endpoint.send("send", text=whole)
            pieces: list[str] = []
            while "".join(pieces) != whole:
                said = await again.receive()
                if said == ["part"]:
                    said = await again.receive()
                    assert isinstance(said, str), "a document stood between a part and its message"
                if isinstance(said, str):
                    pieces.append(said)
            assert len(pieces) == 4


FATAL = {
    "not JSON": (1002, "\0[x"),
    "of no name": (1002, "\0[]"),
    "unknown numbered frame": (1002, '\0["x"]'),
    "ack of what was never sent": (1002, '\0["ack",99]'),
    "ack of nothing": (1002, '\0["ack"]'),
    "a close code that is never sent": (1002, '\0["c",1005]'),
    "too long": (1002, "\0[" + '"x",' * 5000 + '"x"]'),
}


@pytest.mark.parametrize("name", FATAL)
async def test_fatal_to_one_session(served: Served, name: str) -> None:
    code, message = FATAL[name]
    page = served.page("/puppet")
    async with played(served, page) as (native, endpoint):
        await native.send(message)
        assert (await endpoint.disconnect())[0] == code
        assert (await native.until("c"))[1] == code
        await native.say("c", code)
        await native.until_closed()


async def test_beyond_the_credit() -> None:
    async with serving(window_frames=4) as served, neighbour(served):
        page = served.page("/puppet")
        async with played(served, page) as (native, endpoint):
            for number in range(5):
                await native.send(str(number))
            assert (await native.until("c"))[1] == 1002
            assert await endpoint.texts(4) == ["0", "1", "2", "3"]
            assert (await endpoint.disconnect())[0] == 1002


async def test_credit_is_told_as_the_application_receives() -> None:
    async with serving(window_frames=8) as served:
        page = served.page("/puppet")
        async with played(served, page) as (native, endpoint):
            for _ in range(8):
                await native.send("x")
            await endpoint.texts(2)
            assert (await native.until("credit"))[2] == 10


async def test_a_message_over_the_largest() -> None:
    async with serving(max_message_size=100_000) as served, neighbour(served):
        page = served.page("/puppet")
        async with played(served, page) as (native, endpoint):
            for _ in range(3):
                await native.say("part")
                await native.send(b"x" * 50_000)
            assert (await native.until("c"))[1] == 1009
            assert (await endpoint.disconnect())[0] == 1009


@pytest.mark.parametrize("head", [("head", 2, "", 1, ""), ("head", 1), ("head", 1, "wrong", 1, "")])
async def test_a_wrong_head(served: Served, head: tuple[Any, ...]) -> None:
    page = served.page("/puppet")
    async with dial(page, nonce := drawn()) as native:
        endpoint = await served.stage.endpoint()
        await endpoint.accept()
        _, page.secret, _ = await native.until("secret")
        await native.say(*head)
        status = (await native.until("error"))[1]
        assert status == (404 if "wrong" in head else 400)
        await native.until_closed()
    # The start is not lost by it.
    page.secret = ""
    await page.opened(nonce=nonce)
    endpoint.leave()


async def test_documents_before_the_head(served: Served) -> None:
    page = served.page()
    await page.opened()
    async with dial(page, "resume") as native:
        await native.say("ping")
        assert (await native.until("error"))[1] == 400
        await native.until_closed()
    async with dial(page, "resume") as native:
        await native.send("a message")
        assert (await native.until("error"))[1] == 400


async def test_no_head_at_all() -> None:
    async with serving(attach_timeout=0.3) as served:
        page = served.page("/puppet")
        async with dial(page, drawn()) as native:
            endpoint = await served.stage.endpoint()
            await endpoint.accept()
            await native.until("opened")
            assert await endpoint.disconnect() == (1006, "")
            await native.until_closed()
            endpoint.leave()


async def test_messages_with_the_head_are_not_lost(served: Served) -> None:
    """A page sends its head and what it has at once, before it hears anything more."""
    page = served.page("/puppet")
    async with dial(page, drawn()) as native:
        endpoint = await served.stage.endpoint()
        await endpoint.accept()
        await native.until("opened")
        await native.say("head", 1, "", 1, "")
        await native.send("one")
        await native.send("two")
        assert await endpoint.texts(2) == ["one", "two"]
        endpoint.leave()


async def test_close_by_the_page(served: Served) -> None:
    page = served.page("/puppet")
    async with played(served, page) as (native, endpoint):
        await native.send("last")
        await native.say("c", 3001, "enough")
        assert await endpoint.texts(1) == ["last"]
        assert await endpoint.disconnect() == (3001, "enough")
        assert await native.until("c") == ["c", 3001, "enough"]
        await native.until_closed()
        assert ["ack", 2] in native.said


async def test_close_by_the_application(served: Served) -> None:
    page = served.page("/puppet")
    async with played(served, page) as (native, endpoint):
        await endpoint.send("send", text="last")
        await endpoint.send("close", code=3002, reason="done")
        assert await native.messages(1) == ["last"]
        assert await native.until("c") == ["c", 3002, "done"]
        await native.say("c", 3002)
        await native.until_closed()
        await served.eventually(
            lambda: (
                not any(
                    s.nonce
                    for s in served.registry.sessions
                    if s.number == 1 and s.carrier and s.carrier.key == page.key
                )
            ),
            "the session ended",
        )


async def test_a_native_close_ends_the_transport_and_not_the_session(served: Served) -> None:
    page = served.page("/puppet")
    async with played(served, page) as (native, endpoint):
        await native.connection.close(1000, "a proxy's idea")
        await endpoint.send("send", text="still here")
        async with page.stream() as downstream:
            await downstream.until_text("still here")
            await page.upload(section(1, 1, 1), close(1000))
            await downstream.until(CLOSE)
            assert await endpoint.disconnect() == (1000, "")


async def test_presence() -> None:
    async with serving(heartbeat=0.1, resume_time=0.1, poll_time=0.1) as served:
        page = served.page("/puppet")
        async with played(served, page) as (native, endpoint):
            await native.until("ping")
            with anyio.fail_after(TIMEOUT):
                assert await endpoint.disconnect() == (1006, "")
            assert (await native.until("gone")) == ["gone", 1]
            await native.until_closed()


async def test_wrong_offers(served: Served) -> None:
    page = served.page()
    for offered in ("emulation.short", "chat.v2", f"emulation.{drawn()}x"):
        with pytest.raises(InvalidStatus) as refused:
            async with connect(
                page.url("ws").replace("http", "ws", 1),
                subprotocols=[Subprotocol(offered)],
                origin=Origin(page.base),
                proxy=None,
            ):
                pass
        assert refused.value.response.status_code == 403


async def test_forbidden_origin(served: Served) -> None:
    page = served.page(headers={"origin": "https://evil.example"})
    with pytest.raises(InvalidStatus) as refused:
        async with dial(page, drawn()):
            pass
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("what", ["path", "query", "origin", "cookie"])
async def test_a_nonce_is_its_first_requests_own(served: Served, what: str) -> None:
    page = served.page(query=f"token={drawn()}")
    nonce = drawn()
    await page.open(nonce=nonce)
    thief = served.page(query=page.query)
    thief.key = page.key
    headers = {"cookie": "a=b"} if what == "cookie" else None
    if what == "path":
        thief.path = "/puppet"
    elif what == "query":
        thief.query += "x"
    elif what == "origin":
        thief.headers["origin"] = "http://localhost:1"
    async with dial(thief, nonce, headers=headers) as native:
        assert (await native.until("error"))[1] == 403
        said = await native.until_closed()
        assert not any(page.secret in str(words) for words in said)
    assert served.stage.starts(page.query) == 1


async def test_transports_that_are_not_allowed() -> None:
    async with serving(transports=("poll", "stream")) as served:
        page = served.page()
        with pytest.raises(InvalidStatus):
            async with dial(page, drawn()):
                pass
        answer = await page.open()
        told = answer.document("opened")
        assert told is not None and told[3]["transports"] == ["poll", "stream"]


async def test_a_client_that_vanishes_while_the_application_sends(served: Served) -> None:
    page = served.page("/puppet")
    async with played(served, page) as (native, endpoint):
        native.connection.transport.abort()
        for _ in range(20):
            await endpoint.send("send", bytes=b"x" * 10_000)
        async with page.stream() as downstream:
            await downstream.until(DOCUMENT, "section")
            await page.upload(section(1, 20))


async def test_plain_native_passes(served: Served) -> None:
    """A native socket without our marker is the application's own."""
    async with connect(
        f"{served.url}/echo?emulation=x".replace("http", "ws", 1), proxy=None
    ) as connection:
        await connection.send("plain")
        assert await connection.recv() == "plain"
        assert served.stage.scopes[-1]["query_string"] == b"emulation=x"
        assert "emulation" not in served.stage.scopes[-1].get("extensions", {})


async def test_a_page_that_leaves_before_its_upgrade_is_answered() -> None:
    nonce = drawn()
    async with serving(open_answer_time=0.1) as served:
        url = httpx.URL(served.url)
        async with connection_to(url.host, url.port) as (_, writer):
            writer.write(
                f"GET /puppet?emulation=ws.{drawn()} HTTP/1.1\r\nHost: {url.host}:{url.port}\r\n"
                f"Connection: Upgrade\r\nUpgrade: websocket\r\nOrigin: {served.url}\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                f"Sec-WebSocket-Protocol: emulation.{nonce}\r\n\r\n".encode()
            )
            endpoint = await served.stage.endpoint()
        registry = served.registry
        await served.eventually(lambda: not registry.natives, "the native socket is forgotten")
        await anyio.sleep(0.2)  # until the server has tried to answer; it logs no error
        start = registry.starts[nonce]
        assert start.joins
        start.cancel()
        assert await endpoint.disconnect() == (1006, "")
        endpoint.leave()
