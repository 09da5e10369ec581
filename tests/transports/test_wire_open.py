"""Opening on the wire: one start of the application for each socket, whatever is tried."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import pytest
import websockets.asyncio.client as websocket
from websockets.asyncio.client import ClientConnection
from websockets.typing import Origin, Subprotocol

from emulation.protocol.frames import document
from tests.session.stage import Served, neighbour, serving
from tests.session.wire import Answer, Page, close, drawn, section, text

NO_HANDSHAKE = "returned without completing handshake"


@pytest.fixture(scope="module")
async def served() -> AsyncIterator[Served]:
    async with serving(expected=NO_HANDSHAKE, open_answer_time=0.2) as running:
        yield running


@pytest.fixture(autouse=True)
async def beside(served: Served) -> AsyncIterator[None]:
    async with neighbour(served):
        yield


async def dial(page: Page, nonce: str, *protocols: str) -> ClientConnection:
    """Open a native socket for a nonce."""
    url = page.url("ws", query=page.query).replace("http", "ws", 1)
    offered = [Subprotocol(name) for name in (f"emulation.{nonce}", *protocols)]
    return await websocket.connect(
        url, subprotocols=offered, origin=Origin(page.base), proxy=None, compression=None
    )


def query() -> str:
    """Return a query that no other test has."""
    return f"token={drawn()}"


async def both(*calls: Callable[[], Awaitable[Answer]]) -> list[Answer]:
    """Make requests at the same time; their answers in the same order."""
    answers: dict[int, Answer] = {}

    async def ask(index: int, call: Callable[[], Awaitable[Answer]]) -> None:
        answers[index] = await call()

    async with anyio.create_task_group() as tasks:
        for index, call in enumerate(calls):
            tasks.start_soon(ask, index, call)
    return [answers[index] for index in range(len(calls))]


async def test_opened_says_what_the_server_allows(served: Served) -> None:
    page = served.page()
    answer = await page.open(protocols=("chat.v2", "chat.v1"))
    assert answer.status == 200
    opened = answer.document("opened")
    assert opened is not None and opened[:3] == ["opened", 1, "chat.v2"]
    config = served.middleware.config
    assert opened[3] == {
        "heartbeat": config.heartbeat,
        "poll": config.poll_time,
        "resume": config.resume_time,
        "bytes": config.window_bytes,
        "frames": config.window_frames,
        "message": config.max_message_size,
        "upload": config.max_upload,
        "transports": list(config.transports),
    }
    assert len(page.secret) == 32
    assert page.secret not in str(served.stage.scopes[-1])


async def test_a_repeated_open_joins(served: Served) -> None:
    page = served.page(query=query())
    nonce = drawn()
    first = await page.open(nonce=nonce)
    secret, page.secret = page.secret, ""
    second = await page.open(nonce=nonce)
    assert first.frames == second.frames
    assert page.secret == secret
    page.secret = secret
    assert (await page.open(nonce=nonce)).document("opened") is not None
    assert served.stage.starts(page.query) == 1


async def test_concurrent_opens_join(served: Served) -> None:
    page = served.page(query=query())
    nonce = drawn()
    answers = await both(*[lambda: page.open(nonce=nonce)] * 5)
    assert all(answer.frames == answers[0].frames for answer in answers)
    assert served.stage.starts(page.query) == 1


async def test_undecided_is_told_and_asked_again(served: Served) -> None:
    page = served.page("/puppet")
    nonce = drawn()
    first = await page.open(nonce=nonce)
    assert first.document("opening") == ["opening", 1]
    assert first.document("secret") is not None
    endpoint = await served.stage.endpoint()
    await endpoint.accept(subprotocol="late", headers=[(b"x-late", b"1")])
    second = await page.open(nonce=nonce)
    assert second.document("opened") is not None
    assert second.headers["x-late"] == "1"
    assert not served.stage.has_endpoint
    endpoint.leave()


async def test_refusals_are_the_same_for_all_who_join(served: Served) -> None:
    page = served.page("/puppet", query=query())
    nonce = drawn()
    await page.open(nonce=nonce)
    endpoint = await served.stage.endpoint()
    assert (await endpoint.receive())["type"] == "websocket.connect"
    await endpoint.send("close", code=1000)
    for _ in range(2):
        answer = await page.open(nonce=nonce)
        assert answer.status == 403
        assert answer.document("refused") == ["refused", 1, 403]
    native = await dial(page, nonce)
    assert await until(native, "refused") == ["refused", 1, 403]
    assert served.stage.starts(page.query) == 1
    endpoint.leave()


async def test_denial_keeps_its_status(served: Served) -> None:
    headers = [
        (b"x-why", b"law"),
        (b"Set-Cookie", b"seen=yes; Max-Age=0"),
        (b"content-language", b"en"),
    ]
    page = served.page("/puppet")
    await page.open(nonce=(nonce := drawn()))
    endpoint = await served.stage.endpoint()
    assert "websocket.http.response" in endpoint.scope["extensions"]
    await endpoint.receive()
    await endpoint.send("http.response.start", status=451, headers=headers)
    await endpoint.send("http.response.body", body=b"reflect-me", more_body=True)
    assert (await page.open(nonce=nonce)).document("opening") is not None
    await endpoint.send("http.response.body")
    answer = await page.open(nonce=nonce)
    assert answer.status == 403
    assert answer.document("refused") == ["refused", 1, 451]
    assert b"reflect-me" not in answer.body
    assert answer.headers["set-cookie"] == "seen=yes; Max-Age=0"
    assert "content-language" not in answer.headers
    endpoint.leave()


async def test_no_websocket_route_is_the_frameworks_refusal(served: Served) -> None:
    answer = await served.page("/nowhere").open()
    assert answer.status == 403
    assert answer.document("refused") == ["refused", 1, 403]
    assert answer.headers["access-control-allow-origin"] == served.url


@pytest.mark.parametrize("what", ["path", "query", "origin", "cookie", "authorization"])
@pytest.mark.parametrize("document_name", ["open", "cancel"])
async def test_a_nonce_is_its_first_requests_own(
    served: Served, what: str, document_name: str
) -> None:
    page = served.page(query=query())
    nonce = drawn()
    await page.open(nonce=nonce)
    thief = served.page(query=page.query)
    thief.key = page.key
    match what:
        case "path":
            thief.path = "/puppet"
        case "query":
            thief.query += "x"
        case "origin":
            thief.headers["origin"] = "http://localhost:1"
        case "cookie":
            thief.headers["cookie"] = "session=x"
        case _:
            thief.headers["authorization"] = "Bearer x"
    answer = await thief.post(
        "open", document(document_name, 1, nonce, [], ""), number=1, query=thief.query
    )
    assert answer.status == 403
    assert answer.document("secret") is None and page.secret.encode() not in answer.body
    assert served.stage.starts(page.query) == 1
    async with page.stream() as downstream:
        await page.upload(section(1, 0, 1), text("unharmed"))
        await downstream.until_text("unharmed")


async def test_a_nonce_is_spent_by_the_first_use_of_the_secret(served: Served) -> None:
    page = served.page(query=query())
    nonce = drawn()
    await page.open(nonce=nonce)
    await page.upload(section(1))
    secret, page.secret = page.secret, ""
    answer = await page.open(nonce=nonce)
    # Late: said of a socket that lives, `gone` would end it in its page.
    assert answer.document("opening") == ["opening", 1]
    assert answer.document("secret") is None and not page.secret
    native = await dial(page, nonce)
    assert await until(native, "gone") == ["gone", 1]
    page.secret = secret
    assert (await page.open(nonce=nonce)).document("opening") == ["opening", 1]
    assert served.stage.starts(page.query) == 1


async def until(native: ClientConnection, name: str) -> list[object]:
    """Receive up to a document."""
    with anyio.fail_after(10):
        while True:
            message = await native.recv()
            if isinstance(message, str) and message.startswith("\0["):
                said = json.loads(message[1:])
                if said[0] == name:
                    return list(said)


async def test_an_upgrade_and_an_open_start_once(served: Served) -> None:
    page = served.page("/puppet", query=query())
    nonce = drawn()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: page.open(nonce=nonce))
        native = await dial(page, nonce)
    endpoint = await served.stage.endpoint()
    assert not served.stage.has_endpoint
    secret, page.secret = page.secret, ""
    assert await until(native, "secret") == ["secret", secret, page.node]
    await endpoint.accept()
    assert (await page.open(nonce=nonce)).document("opened") is not None
    assert (await until(native, "opened"))[:2] == ["opened", 1]
    assert page.secret == secret
    assert served.stage.starts(page.query) == 1
    endpoint.leave()


async def test_an_open_behind_a_silent_upgrade_takes_the_session(served: Served) -> None:
    page = served.page(query=query())
    nonce = drawn()
    await dial(page, nonce)
    await page.opened(nonce=nonce)
    assert served.stage.starts(page.query) == 1
    async with page.stream() as downstream:
        await page.upload(section(1, 0, 1), text("by stream"))
        await downstream.until_text("by stream")


async def test_cancel_ends_the_start(served: Served) -> None:
    page = served.page("/puppet")
    nonce = drawn()
    await page.open(nonce=nonce)
    endpoint = await served.stage.endpoint()
    assert (await endpoint.receive())["type"] == "websocket.connect"
    answer = await page.post("open", document("cancel", 1, nonce), number=1)
    assert answer.status == 200
    assert answer.document("gone") == ["gone", 1]
    with pytest.raises(OSError):
        await endpoint.send("accept")
    assert await endpoint.disconnect() == (1006, "")
    assert (await page.open(nonce=nonce)).status == 404
    endpoint.leave()


async def test_cancel_of_an_unknown_nonce_is_gone(served: Served) -> None:
    page = served.page()
    answer = await page.post("open", document("cancel", 1, drawn()), number=1)
    assert (answer.status, answer.document("gone")) == (200, ["gone", 1])
    assert page.key not in served.registry.carriers


async def test_cancel_does_not_end_what_is_known_to_be_open(served: Served) -> None:
    page = served.page()
    nonce = drawn()
    await page.open(nonce=nonce)
    await page.upload(section(1, 0, 1), text("one"))
    await page.post("open", document("cancel", 1, nonce), number=1)
    async with page.stream() as downstream:
        await downstream.until_text("one")


async def test_undecided_for_too_long() -> None:
    async with serving(open_answer_time=0.05, open_timeout=0.3) as served:
        page = served.page("/puppet")
        nonce = drawn()
        await page.open(nonce=nonce)
        endpoint = await served.stage.endpoint()
        await endpoint.receive()
        assert await endpoint.disconnect() == (1006, "")
        answer = await page.open(nonce=nonce)
        assert answer.document("gone") == ["gone", 1], answer.frames
        endpoint.leave()


async def test_never_attached() -> None:
    async with serving(attach_timeout=0.3) as served:
        page = served.page("/puppet")
        endpoint = await served.play(page)
        assert await endpoint.disconnect() == (1006, "")
        answer = await page.poll(section(1))
        assert answer.document("gone") == ["gone", 1]
        endpoint.leave()


async def test_never_attached_by_a_page_whose_uploads_come() -> None:
    """What lies between may refuse attaches for a while, by their rate, and let uploads pass."""
    async with serving(attach_timeout=0.3) as served:
        page = served.page("/puppet")
        endpoint = await served.play(page)
        for _ in range(6):
            await anyio.sleep(0.1)
            answer = await page.upload(section(1))
            assert answer.document("gone") is None, answer.frames
        assert await endpoint.disconnect() == (1006, "")
        endpoint.leave()


LIMITS: dict[str, tuple[dict[str, Any], int]] = {
    "max_sessions": ({"max_sessions": 3}, 503),
    "max_sessions_per_client": ({"max_sessions_per_client": 3}, 429),
    "max_carriers": ({"max_carriers": 3}, 503),
}


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("way", ["open", "ws"])
async def test_limits(name: str, way: str) -> None:
    config, status = LIMITS[name]
    async with serving(**config) as served, neighbour(served):
        pages = [served.page(), served.page()]
        for page in pages:
            await page.opened()
            await page.upload(section(1))
        carriers = len(served.registry.carriers)
        late = served.page(query="late")
        nonce = drawn()
        if way == "ws":
            native = await dial(late, nonce)
            assert (await until(native, "error"))[:2] == ["error", status]
        else:
            answer = await late.open(nonce=nonce)
            assert answer.status == status
            assert int(answer.headers["retry-after"]) > 0
            assert answer.headers["access-control-allow-origin"] == served.url
        assert not served.stage.starts("late")
        assert len(served.registry.carriers) == carriers, "a carrier without a socket was left"
        # One leaves, and the same request finds room.
        await pages[0].upload(section(1, 0, 1), close())
        async with pages[0].stream() as downstream:
            await downstream.until(0x05)
        await served.eventually(lambda: len(served.registry.sessions) == 2, "a session ended")
        assert (await late.open(nonce=nonce)).status == 200
        assert served.stage.starts("late") == 1


async def test_a_carrier_at_the_limit_waits_for_its_first_head() -> None:
    """One that was dropped meanwhile would keep its session, watched by nobody, for ever."""
    async with serving(max_carriers=1, attach_timeout=0.5) as served:
        page, late = served.page(), served.page(query="late")
        native = await dial(page, drawn())
        await until(native, "opened")
        nonce = drawn()
        assert (await late.open(nonce=nonce)).status == 503
        assert not served.stage.starts("late")
        await native.close()
        await served.eventually(lambda: not served.registry.sessions, "the session ended")
        assert (await late.open(nonce=nonce)).status == 200


async def test_a_head_that_comes_when_its_carrier_is_gone() -> None:
    async with serving() as served:
        page = served.page()
        native = await dial(page, drawn())
        await until(native, "opened")
        served.registry.drop_carrier(served.registry.carriers[page.key])
        await native.send("\0" + json.dumps(["head", 1, "", 1, ""]))
        assert (await until(native, "error"))[:2] == ["error", 404]


HEADERS = {"cookie": "c=" + "x" * 20_000, "authorization": "Bearer " + "y" * 20_000}


@pytest.mark.parametrize("name", HEADERS)
async def test_what_is_kept_of_a_request_is_bounded(name: str) -> None:
    """Servers may take headers of any size, and a refused start is kept for its repeats."""
    async with serving() as served:
        page = served.page()
        page.headers[name] = HEADERS[name]
        assert (await page.open(nonce=drawn())).status == 200
        greedy = served.page(query="greedy")
        greedy.headers.update(HEADERS)
        answer = await greedy.open(nonce=drawn())
        assert answer.status == 431
        assert (answer.document("error") or [])[:2] == ["error", 431]
        assert not served.stage.starts("greedy")
        assert len(served.registry.starts) == 1


async def test_limit_of_a_carrier() -> None:
    async with serving(max_sessions_per_carrier=2) as served:
        page = served.page(query="q")
        await page.opened(1)
        await page.opened(2)
        answer = await page.open(3, nonce=(nonce := drawn()))
        assert answer.status == 429
        assert int(answer.headers["retry-after"]) > 0
        assert served.stage.starts("q") == 2
        await page.upload(section(1, 0, 1), close())
        await served.eventually(lambda: len(served.registry.sessions) == 1, "a session ended")
        assert (await page.open(3, nonce=nonce)).status == 200


async def test_undecided_while_the_server_goes_down() -> None:
    """Another server may accept it: it is no refusal."""
    async with serving(open_answer_time=5) as served:
        pages = [served.page("/puppet", query="by=open"), served.page("/puppet", query="by=ws")]
        answers: list[Answer] = []

        async def ask() -> None:
            answers.append(await pages[0].open())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            endpoint = await served.stage.endpoint()
            await endpoint.receive()
            served.middleware.go_down()
            assert await endpoint.disconnect() == (1012, "")
            endpoint.leave()
        assert answers[0].status == 503
        assert int(answers[0].headers["retry-after"]) > 0
        late = await pages[1].open()
        assert late.status == 503
        native = await dial(pages[1], drawn())
        assert (await until(native, "error"))[1] == 503


@pytest.mark.parametrize("way", ["secret", "ticket"])
async def test_a_carrier_is_its_principals_own(way: str) -> None:
    def principal(scope: Any) -> str | None:
        cookies = [value for name, value in scope["headers"] if name == b"cookie"]
        return cookies[0].decode() if cookies else None

    async with serving(principal=principal) as served:
        page = served.page()
        page.headers["cookie"] = "user=ada"
        await page.opened()
        ticket = await page.ticket()
        for cookie in ("user=eve", ""):
            thief = {**page.headers, "cookie": cookie}
            if way == "secret":
                answer = await page.upload(section(1), cookie=cookie)
                assert answer.status == 404
            else:
                async with page.events(ticket, cookie=thief["cookie"]) as downstream:
                    assert downstream.status == 204
        async with page.events(ticket) as downstream:
            assert downstream.status == 200
            await page.upload(section(1, 0, 1), text("mine"))
            await downstream.until_text("mine")


async def test_key_in_use_by_an_upgrade(served: Served) -> None:
    page = served.page()
    await page.opened()
    other = served.page()
    other.key = page.key
    answer = await other.open()
    assert answer.status == 409
    assert answer.document("secret") is None


async def test_accept_with_a_header_that_breaks_its_line() -> None:
    async with serving(expected=NO_HANDSHAKE) as served:
        page = served.page("/puppet")
        async with anyio.create_task_group() as tasks:
            answers: list[Answer] = []

            async def ask() -> None:
                answers.append(await page.open())

            tasks.start_soon(ask)
            endpoint = await served.stage.endpoint()
            await endpoint.receive()
            with pytest.raises(Exception, match="malformed header"):
                await endpoint.send("accept", headers=[(b"x-a", b"b\r\nset-cookie: c=d")])
            endpoint.leave()
        assert answers[0].status == 403
        assert answers[0].document("refused") == ["refused", 1, 500]


async def test_headers_of_the_accept(served: Served) -> None:
    page = served.page("/puppet")
    await page.open(nonce=(nonce := drawn()))
    endpoint = await served.stage.endpoint()
    headers = [
        (b"Set-Cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"X-Trace", b"3"),
        (b"cache-control", b"public"),
        (b"content-length", b"1"),
        (b"transfer-encoding", b"chunked"),
    ]
    await endpoint.accept(headers=headers)
    answer = await page.open(nonce=nonce)
    assert answer.status == 200
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert answer.headers["x-trace"] == "3"
    assert "public" not in answer.headers["cache-control"]
    assert answer.ended
    endpoint.leave()


async def test_marker_of_the_application(served: Served) -> None:
    """What is not exactly our marker reaches the application as it stands."""
    key = drawn()
    for own in (
        "emulation=x",
        "emulation=",
        f"emulation=open.{key}&emulation=open.{key}",
        f"emulation=open.{key}&emulation=send.{key}",
        f"emulation=open%2E{key}",
        f"%65mulation=open.{key}",
        f"emulation=open.{key}x",
        f"emulation=OPEN.{key}",
        f"emulation=sse.{key}",
        f"emulation=open.{key[:-1]}",
        f"emulation=open.{key};a=1",
    ):
        response = await served.client.post(f"{served.url}/anywhere?a=%41&{own}", content=b"")
        assert response.json() == {"query": f"a=%41&{own}"}
