"""docs/protocol.md sections 2 and 4: identities, and one start for each socket."""

from __future__ import annotations

import re
from typing import Any

import anyio
import pytest

from emulation.protocol.frames import DOCUMENT, document
from tests.session.native import dial
from tests.session.stage import Played, Served, serving
from tests.session.wire import FORMS, Answer, Page, documents, drawn, numbers, section, text

pytestmark = pytest.mark.usefixtures("beside")


async def test_the_forms_of_the_identities(served: Served) -> None:
    page = served.page()
    answer = await page.open()
    [[_, secret, node]] = documents(answer.frames, "secret")
    assert re.fullmatch(r"[\w-]{32}", secret, re.ASCII), "192 bits"
    assert re.fullmatch(r"[\w-]{1,32}", node, re.ASCII)
    [[_, ticket]] = documents((await page.post("ticket", section(1), number=1)).frames, "ticket")
    assert re.fullmatch(r"[\w-]{22}", ticket, re.ASCII), "128 bits"
    other = served.page()
    await other.opened()
    assert other.secret != page.secret and other.node == page.node


@FORMS
async def test_the_secret_is_told_before_the_decision_to_who_has_none(
    served: Served, form: str
) -> None:
    page = served.page(form=form)
    nonce = drawn()
    first = await page.open(nonce=nonce)
    assert [words[0] for _, words in first.frames] == ["head", "secret", "opened", "end"]
    # Who repeats it because the answer was lost, has none either.
    secret, page.secret = page.secret, ""
    assert (await page.open(nonce=nonce)).frames == first.frames
    page.secret = secret
    repeated = await page.open(nonce=nonce)
    assert [words[0] for _, words in repeated.frames] == ["head", "opened", "end"]
    second = await page.open(2)
    assert [words[0] for _, words in second.frames] == ["head", "opened", "end"]
    assert second.head == ["head", 1, page.key, 2]


@FORMS
async def test_every_try_has_the_same_answer(served: Served, form: str) -> None:
    """Over and over, on both ways, in both forms: one start, one decision."""
    page = served.page("/puppet", query=f"token={drawn()}", form=form)
    nonce = drawn()
    undecided = await page.open(nonce=nonce, protocols=("one", "two"))
    assert [words[0] for _, words in undecided.frames] == ["head", "secret", "opening", "end"]
    endpoint = await served.stage.endpoint()
    assert endpoint.scope["subprotocols"] == ["one", "two"]
    await endpoint.accept(subprotocol="two")
    told = []
    for page.form in ("binary", "json", "binary"):
        told += documents((await page.open(nonce=nonce, protocols=("one", "two"))).frames, "opened")
    async with dial(page, nonce, "one", "two") as native:
        told.append(await native.until("opened"))
    assert told == [told[0]] * 4 and told[0][:3] == ["opened", 1, "two"]
    assert served.stage.starts(page.query) == 1
    endpoint.leave()


async def test_a_nonce_joins_for_a_time_after_the_last_try() -> None:
    """Then it is spent, and starts nothing, as long as its session is remembered."""
    async with serving(nonce_time=0.2) as served:
        page = served.page(query=f"token={drawn()}")
        nonce = drawn()
        await page.open(nonce=nonce)
        start = served.registry.starts[nonce]
        await served.eventually(lambda: not start.joins, "the nonce is spent")
        secret, page.secret = page.secret, ""
        for _ in range(2):
            late = await page.open(nonce=nonce)
            assert late.status == 404
            assert documents(late.frames, "gone") == [["gone", 1]]
            assert not documents(late.frames, "secret") and not page.secret
        async with dial(page, nonce) as native:
            assert await native.until("gone") == ["gone", 1]
            await native.until_closed()
        assert served.stage.starts(page.query) == 1
        # The session is another matter: its page may have had the answer.
        page.secret = secret
        await page.upload(section(1, 0, 1), text("alive"))
        assert numbers((await page.poll(section(1))).frames) == {1: text("alive")}


async def test_a_nonce_is_remembered_as_long_as_its_session() -> None:
    async with serving(resume_time=0.2) as served:
        page = served.page("/nowhere", query=f"token={drawn()}")
        nonce = drawn()
        for _ in range(2):
            refused = await page.open(nonce=nonce)
            assert documents(refused.frames, "refused") == [["refused", 1, 403]]
        await served.eventually(lambda: nonce not in served.registry.starts, "it is forgotten")


@FORMS
async def test_a_number_is_never_used_again(served: Served, form: str) -> None:
    page = served.page(form=form)
    nonce = drawn()
    await page.open(1, nonce=nonce)
    starts = len(served.stage.scopes)
    # Another socket under the same number, and the same socket under another.
    assert (await page.open(1, nonce=drawn())).status == 400
    assert (await page.open(2, nonce=nonce)).status == 400
    assert len(served.stage.scopes) == starts


@FORMS
@pytest.mark.parametrize("ends", ["opened", "refused"])
async def test_headers_of_the_application_stand_on_its_decision(
    served: Served, form: str, ends: str
) -> None:
    page = served.page("/puppet", form=form)
    nonce = drawn()
    undecided = await page.open(nonce=nonce)
    assert "x-room" not in undecided.headers and "set-cookie" not in undecided.headers
    endpoint = await served.stage.endpoint()
    headers = [(b"x-room", b"7"), (b"set-cookie", b"a=1"), (b"server", b"other"), (b"etag", b"x")]
    if ends == "opened":
        await endpoint.accept(headers=headers)
    else:
        await endpoint.receive()
        await endpoint.send("http.response.start", status=410, headers=headers)
        await endpoint.send("http.response.body")
    answer = await page.open(nonce=nonce)
    assert documents(answer.frames, ends)
    assert (answer.status == 403) == (ends == "refused")
    assert (answer.headers["x-room"], answer.headers["set-cookie"]) == ("7", "a=1")
    assert "etag" not in answer.headers and answer.headers["server"] != "other"
    async with dial(page, nonce) as native:
        found = native.headers
        assert (found["x-room"], found["set-cookie"]) == ("7", "a=1")
        assert "etag" not in found
    endpoint.leave()


async def test_an_open_is_answered_while_the_application_thinks() -> None:
    """Nothing but the decision is waited for, and that no longer than it takes."""
    async with serving(open_answer_time=20) as served:
        page = served.page("/puppet")
        answers: list[Answer] = []

        async def ask(nonce: str) -> None:
            answers.append(await page.open(nonce=nonce))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, drawn())
            endpoint = await served.stage.endpoint()
            await endpoint.accept()
        assert answers[0].document("opened") is not None
        endpoint.leave()


@FORMS
async def test_a_cookie_may_change_for_who_has_the_secret(served: Served, form: str) -> None:
    """A balancer that keeps clients by a cookie sets it on `opening`, or anew on every answer."""
    page = served.page("/puppet", query=f"token={drawn()}", form=form)
    nonce = drawn()
    for number in range(3):
        answer = await page.open(nonce=nonce, cookie=f"login=1; route={number}")
        assert documents(answer.frames, "opening") == [["opening", 1]]
    endpoint = await served.stage.endpoint()
    await endpoint.accept()
    secret = page.secret
    for page.secret, status in (("", 403), ("x" * 32, 404), (secret, 200)):
        answer = await page.open(nonce=nonce, cookie="login=1; route=3")
        assert answer.status == status
    assert documents(answer.frames, "opened")
    assert served.stage.starts(page.query) == 1
    # All else is as it was.
    page.query += "&more=1"
    assert (await page.open(nonce=nonce, cookie="login=1; route=3")).status == 403
    endpoint.leave()


@FORMS
@pytest.mark.parametrize("stripped", [0, 1])
async def test_an_origin_may_be_stripped_of_some_tries(
    served: Served, form: str, stripped: int
) -> None:
    page = served.page("/puppet", query=f"token={drawn()}", form=form)
    nonce, origin = drawn(), page.headers["origin"]
    for number in range(2):
        page.headers = {} if number == stripped else {"origin": origin}
        answer = await page.open(nonce=nonce)
        assert documents(answer.frames, "opening") == [["opening", 1]]
    endpoint = await served.stage.endpoint()
    await endpoint.accept()
    assert documents((await page.open(nonce=nonce)).frames, "opened")
    assert served.stage.starts(page.query) == 1
    endpoint.leave()


@FORMS
async def test_an_origin_may_be_stripped_of_what_is_no_upgrade(served: Served, form: str) -> None:
    page = served.page("/puppet", query=f"token={drawn()}", form=form)
    nonce = drawn()
    async with anyio.create_task_group() as tasks:

        async def upgrade() -> None:
            async with dial(page, nonce):
                pass

        tasks.start_soon(upgrade)
        endpoint = await served.stage.endpoint()
        await endpoint.accept()
    del page.headers["origin"]
    assert documents((await page.open(nonce=nonce)).frames, "opened")
    assert served.stage.starts(page.query) == 1
    endpoint.leave()


@FORMS
@pytest.mark.parametrize("before", ["", "login=1", "room=old; login=1"])
async def test_a_cookie_of_the_answer_that_was_lost_does_not_count(
    served: Served, form: str, before: str
) -> None:
    """The 101 has come, with its headers, and nothing behind it: the page goes on over HTTP."""
    page = served.page("/puppet", query=f"token={drawn()}", form=form)
    nonce = drawn()
    headers = {"cookie": before} if before else {}
    async with anyio.create_task_group() as tasks:

        async def upgrade() -> None:
            async with dial(page, nonce, headers=headers) as native:
                assert native.headers["set-cookie"] == "room=new; Path=/"

        tasks.start_soon(upgrade)
        endpoint = await served.stage.endpoint()
        await endpoint.accept(headers=[(b"set-cookie", b"room=new; Path=/")])
    after = before.replace("room=old", "room=new") if "room" in before else f"{before}; room=new"
    thief = await page.open(nonce=nonce, cookie="room=new; login=2")
    assert thief.status == 403
    answer = await page.open(nonce=nonce, cookie=after.removeprefix("; "))
    assert documents(answer.frames, "opened")
    assert served.stage.starts(page.query) == 1
    endpoint.leave()


async def test_undecided_for_too_long_is_gone_and_no_error() -> None:
    """A 404 would say that the carrier is not known, with all its sockets."""
    async with serving(open_timeout=0.3, open_answer_time=0.2) as served:
        page = served.page("/puppet")
        endpoint = await served.play(page)
        nonce = drawn()
        answer = await page.open(2, nonce=nonce)
        while documents(answer.frames, "opening"):
            answer = await page.open(2, nonce=nonce)
        assert (answer.status, documents(answer.frames, "gone")) == (200, [["gone", 2]])
        # From now on the nonce is spent.
        answer = await page.open(2, nonce=nonce)
        assert (answer.status, documents(answer.frames, "gone")) == (404, [["gone", 2]])
        slow = await served.stage.endpoint()
        assert await slow.disconnect() == (1006, "")
        await page.upload(section(1, 0, 1), text("unharmed"))
        assert await endpoint.texts(1) == ["unharmed"]
        slow.leave()
        endpoint.leave()


async def test_a_head_spends_no_nonce(served: Served) -> None:
    """A native socket may die behind the page's head: then the page does not know the decision."""
    page = served.page("/puppet", query=f"token={drawn()}")
    first = await served.play(page)
    nonce = drawn()
    async with dial(page, nonce) as native:
        await native.until("hello")
        await native.say("head", 1, page.secret, 2, page.node)
        second = await served.stage.endpoint()
        carrier = served.registry.carriers[page.key]
        await served.eventually(lambda: 2 in carrier.sessions, "the head has come")
    assert documents((await page.open(2, nonce=nonce)).frames, "opening") == [["opening", 2]]
    async with dial(page, nonce) as native:
        await native.until("hello")
        await native.say("head", 1, page.secret, 2, page.node)
        await second.accept()
        # Nobody reads `opened`.
    assert documents((await page.open(2, nonce=nonce)).frames, "opened")
    await page.upload(section(2, 0, 1), text("it goes on"))
    assert await second.texts(1) == ["it goes on"]
    assert (await page.open(2, nonce=nonce)).document("opening") == ["opening", 2]
    assert served.stage.starts(page.query) == 2
    first.leave()
    second.leave()


async def test_a_native_message_spends_the_nonce(served: Served) -> None:
    page = served.page("/puppet")
    nonce = drawn()
    async with dial(page, nonce) as native:
        endpoint = await served.stage.endpoint()
        await endpoint.accept()
        _, page.secret, page.node = await native.until("secret")
        await native.until("opened")
        await native.say("head", 1, page.secret, 1, page.node)
        await native.send("one")
        assert await endpoint.texts(1) == ["one"]
        assert (await page.open(nonce=nonce)).document("opening") == ["opening", 1]
    endpoint.leave()


@pytest.mark.parametrize("way", ["open", "ws"])
async def test_who_gives_up_while_connecting_ends_the_start(served: Served, way: str) -> None:
    """By `cancel`, with the secret or without it; the nonce starts nothing any more."""
    page = served.page("/puppet", query=f"token={drawn()}")
    nonce = drawn()
    if way == "open":
        await page.open(nonce=nonce)
    else:
        async with dial(page, nonce) as native:
            _, page.secret, page.node = await native.until("secret")
    endpoint = await served.stage.endpoint()
    assert (await endpoint.receive())["type"] == "websocket.connect"
    answer = await page.post("open", document("cancel", 1, nonce), number=1, query=page.query)
    assert (answer.status, documents(answer.frames, "gone")) == (200, [["gone", 1]])
    assert await endpoint.disconnect() == (1006, "")
    again = await page.post("open", document("cancel", 1, nonce), number=1, query=page.query)
    assert (again.status, documents(again.frames, "gone")) == (200, [["gone", 1]])
    late = await page.open(nonce=nonce)
    assert (late.status, documents(late.frames, "gone")) == (404, [["gone", late.head[3]]])
    assert served.stage.starts(page.query) == 1
    endpoint.leave()


BROKEN: dict[str, list[Any]] = {
    "a nonce of another form": ["open", 1, "short", [], ""],
    "a nonce that is no string": ["open", 1, 7, [], ""],
    "a socket that is no number": ["open", "1", "N", [], ""],
    "protocols that are no list": ["open", 1, "N", "chat", ""],
    "a protocol that is no token": ["open", 1, "N", ["a,b"], ""],
    "a protocol of another type": ["open", 1, "N", [7], ""],
    "too many protocols": ["open", 1, "N", ["a"] * 65, ""],
}


@FORMS
@pytest.mark.parametrize("name", BROKEN)
async def test_an_open_that_is_none_starts_nothing(served: Served, form: str, name: str) -> None:
    page = served.page(form=form)
    starts = len(served.stage.scopes)
    words = [drawn() if word == "N" else word for word in BROKEN[name]]
    answer = await page.post("open", document(*words), number=1)
    assert answer.status == 400 and not documents(answer.frames, "secret")
    assert len(served.stage.scopes) == starts
    assert page.key not in served.registry.carriers


@FORMS
async def test_frames_for_a_socket_whose_answer_is_on_its_way_are_kept(played: Played) -> None:
    """The application has accepted, and says something before any downstream is there."""
    page, endpoint = played
    await endpoint.send("send", text="early")
    async with page.stream(section(1)) as downstream:
        await downstream.until_text("early")
        assert downstream.frames[0][0] == DOCUMENT


async def test_a_key_serves_one_origin_only(served: Served) -> None:
    page = served.page()
    await page.opened()
    other = Page(page.client, page.base, headers={"origin": "http://localhost:1"})
    other.key, other.secret, other.node = page.key, page.secret, page.node
    for verb in ("send", "poll", "stream", "ticket", "open"):
        answer = await other.post(verb, section(1), document("open", 2, drawn(), [], ""), number=9)
        assert answer.status == (404 if verb != "open" else 400), verb
    answer = await other.open(2)
    assert answer.status == 404
