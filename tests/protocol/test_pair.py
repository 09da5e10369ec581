"""Both sides of a connection over a wire that cuts, repeats, delays, reorders and swaps bodies."""

from __future__ import annotations

import os
from collections.abc import Callable
from random import Random
from typing import Any, TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from emulation.exceptions import RemoteProtocolError
from emulation.protocol.connection import Credit, Limits, State
from emulation.protocol.frames import CLOSE
from tests.protocol.pair import CLOSE_TIMEOUT, ConnectionPair

LIMITS = Limits(
    window_bytes=40,
    window_frames=6,
    max_message_size=60,
    part_size=10,
    close_timeout=CLOSE_TIMEOUT,
)
# The most that is fair: half of the window.
PAGE_PART_SIZE = 20
WALKS = 2_000 if os.environ.get("EMULATION_PROFILE") == "thorough" else 40

Item = TypeVar("Item")

CLOSES = [(None, ""), (1000, ""), (1001, "bye"), (4999, "tschüß")]
SIZES = [0, 1, 10, 30, 1000]
SECONDS = [0.0, 1.0, 1.0, CLOSE_TIMEOUT]
LETTERS = "aé€😀\0"

# What an action takes, as hypothesis draws it and as a walk does. Of what the wire has kept the
# newest is as likely as all others together; and mostly all of a body comes.
ARGUMENTS: dict[str, tuple[st.SearchStrategy[Any], Callable[[Random], Any]]] = {
    "message": (
        st.one_of(
            st.text(LETTERS, max_size=15),
            st.binary(max_size=25),
            st.binary(min_size=41, max_size=60),
        ),
        lambda random: random.choice(
            [
                "".join(random.choices(LETTERS, k=random.randrange(16))),
                random.randbytes(random.randrange(26)),
                random.randbytes(random.randrange(41, 61)),
            ]
        ),
    ),
    "close": (st.sampled_from(CLOSES), lambda random: random.choice(CLOSES)),
    "seconds": (st.sampled_from(SECONDS), lambda random: random.choice(SECONDS)),
    "size": (st.sampled_from(SIZES), lambda random: random.choice(SIZES)),
    "place": (
        st.just(-1) | st.integers(0, 50),
        lambda random: random.choice([-1, random.randrange(50)]),
    ),
    "cut": (
        st.none() | st.none() | st.integers(0, 200),
        lambda random: random.choice([None, None, random.randrange(200)]),
    ),
}

# The actions, what each takes, and how often a walk takes it.
ACTIONS: dict[str, tuple[list[str], int]] = {
    "page_sends": (["message"], 30),
    "server_sends": (["message"], 30),
    "server_receives": ([], 40),
    "page_closes": (["close"], 1),
    "server_closes": (["close"], 1),
    "time_passes": (["seconds"], 2),
    "page_uploads": (["size"], 20),
    "page_repeats_its_upload": ([], 10),
    "an_upload_comes": (["place", "cut"], 30),
    "an_answer_comes": (["place", "cut"], 30),
    "page_attaches": ([], 5),
    "an_attach_comes": (["place", "cut"], 10),
    "a_stream_begins_to_come": (["place"], 10),
    "server_writes": (["size"], 30),
    "page_reads": (["size"], 40),
}


def pick(items: list[Item], place: int) -> list[Item]:
    """Return the item of that place alone, nothing where there is none."""
    return [items[place if place < 0 else place % len(items)]] if items else []


class Play:
    """The applications of both sides do as they like, and so does the wire; then it is good."""

    def __init__(self, *, binary: bool) -> None:
        self.pair = ConnectionPair(LIMITS, PAGE_PART_SIZE, binary=binary)
        self.credit = Credit(LIMITS.window_bytes, LIMITS.window_frames)
        self.is_failed = False

    def act(self, name: str, *arguments: Any) -> None:
        getattr(self, name)(*arguments)

    # --- The applications -------------------------------------------------------------------------

    def page_sends(self, message: str | bytes) -> None:
        self.pair.page.send(message)

    def server_sends(self, message: str | bytes) -> None:
        self.pair.server.send(message)

    def server_receives(self) -> None:
        self.pair.server.receive()

    def page_closes(self, close: tuple[int | None, str]) -> None:
        self.pair.page.send_close(self.pair.now, *close)

    def server_closes(self, close: tuple[int | None, str]) -> None:
        if self.pair.server.close is None:
            self.pair.server.send_close(self.pair.now, *close)
            self.pair.server.connection.clear_inbox()

    def time_passes(self, seconds: float) -> None:
        self.pair.now += seconds
        for side in (self.pair.page, self.pair.server):
            deadline = side.connection.close_deadline
            side.connection.check(self.pair.now)
            late = deadline is not None and self.pair.now >= deadline
            assert (side.connection.close_deadline is None) == (late or deadline is None)
            self.is_failed = self.is_failed or late

    # --- The wire ---------------------------------------------------------------------------------

    def page_uploads(self, max_bytes: int) -> None:
        self.pair.start_upload(max_bytes)

    def page_repeats_its_upload(self) -> None:
        self.pair.repeat_upload()

    def an_upload_comes(self, place: int, cut: int | None) -> None:
        for body in pick(self.pair.uploads, place):
            self.pair.serve_upload(body[:cut])

    def an_answer_comes(self, place: int, cut: int | None) -> None:
        for _, body in pick(self.pair.answers, place):
            self.pair.take_answer(body[:cut])

    def page_attaches(self) -> None:
        self.pair.start_attach()

    def an_attach_comes(self, place: int, cut: int | None) -> None:
        for body in pick(self.pair.attaches, place):
            self.pair.serve_attach(body[:cut])

    def a_stream_begins_to_come(self, place: int) -> None:
        for stream in pick(self.pair.streams, place):
            self.pair.open_reader(stream)

    def server_writes(self, max_bytes: int) -> None:
        self.pair.serve_downstream(max_bytes)

    def page_reads(self, size: int) -> None:
        self.pair.read(size)

    # --- What always holds ------------------------------------------------------------------------

    def check(self) -> None:
        self.check_messages()
        self.check_numbers()
        self.check_what_is_kept()
        self.check_credit()
        self.check_states()

    def check_messages(self) -> None:
        page, server = self.pair.page, self.pair.server
        assert server.received == page.sent[: len(server.received)]
        assert page.received == server.sent[: len(page.received)]

    def check_numbers(self) -> None:
        sides = self.pair.page.connection, self.pair.server.connection
        for one, other in (sides, sides[::-1]):
            assert one.acknowledged <= other.received <= one.sent <= one.numbered
            assert one.ack_told <= one.received

    def check_what_is_kept(self) -> None:
        bound = LIMITS.window_bytes + LIMITS.max_message_size
        for side in (self.pair.page, self.pair.server):
            kept = sum(len(p) for kind, p in side.connection._frames if kind != CLOSE)
            assert side.connection.unacknowledged_bytes == kept
        connection = self.pair.server.connection
        assert connection.unacknowledged_bytes < bound
        queued = sum(size for _, size in connection.inbox)
        assert queued == connection.unreceived_bytes
        assert queued + connection._pieces_size <= bound
        assert len(connection.inbox) <= LIMITS.window_frames
        assert not connection._pieces or connection.close_taken is None

    def check_credit(self) -> None:
        page, server = self.pair.page.connection, self.pair.server.connection
        assert page.credit is not None
        granted = server.granted
        for before, now, limit in zip(self.credit, page.credit, granted, strict=True):
            assert before <= now <= limit
        self.credit = page.credit
        assert server.bytes_taken <= page._bytes_sent <= page.credit.bytes
        # A close needs none.
        closed = self.pair.page.close is not None and page.sent == page.numbered
        assert page.sent - closed <= page.credit.frames

    def check_states(self) -> None:
        page, server = self.pair.page, self.pair.server
        for one, other in ((page, server), (server, page)):
            state = one.connection.state
            assert (state is State.OPEN) == (one.close is None)
            if one.connection.close_taken is not None:
                assert one.connection.close_taken == other.close
            if state is State.FAILED:
                assert self.is_failed

    # --- And in the end ---------------------------------------------------------------------------

    def finish(self) -> None:
        """Make the wire good: all comes that was sent, and the connection closes."""
        page, server = self.pair.page, self.pair.server
        self.pair.settle()
        self.check()
        if self.is_failed:
            return
        if page.close is None:
            assert not page.waiting
            assert not server.waiting
            server.send_close(self.pair.now, 1000, "the end")
            self.pair.settle()
            self.check()
        for one, other in ((page, server), (server, page)):
            # A side that has closed by itself discards what still comes.
            if one.close_answers:
                assert one.received == other.sent
            assert one.connection.state is State.CLOSED
            assert one.connection.close_taken == other.close
            assert one.connection.acknowledged == one.connection.numbered
            assert one.connection.unacknowledged_bytes == 0


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize("seed", range(WALKS))
def test_a_long_walk_over_a_bad_wire(seed: int, binary: bool) -> None:
    random = Random(seed)
    play = Play(binary=binary)
    names = list(ACTIONS)
    weights = [weight for _, weight in ACTIONS.values()]
    for name in random.choices(names, weights, k=400):
        play.act(name, *(ARGUMENTS[kind][1](random) for kind in ACTIONS[name][0]))
        play.check()
    play.finish()


class BadWire(RuleBasedStateMachine):
    """The same, as short as may be where it fails."""

    @initialize(binary=st.booleans())
    def connect(self, binary: bool) -> None:
        self.play = Play(binary=binary)

    # One rule for all: of several, hypothesis leaves most out of most runs, and it takes many
    # actions together to bring one message through.
    @rule(
        action=st.one_of(
            *(
                st.tuples(st.just(name), *(ARGUMENTS[kind][0] for kind in kinds))
                for name, (kinds, _) in ACTIONS.items()
            )
        )
    )
    def act(self, action: tuple[Any, ...]) -> None:
        self.play.act(*action)
        self.play.check()

    def teardown(self) -> None:
        if hasattr(self, "play"):
            self.play.finish()


TestBadWire: Any = BadWire.TestCase


# --- By hand --------------------------------------------------------------------------------------


@pytest.fixture(params=[True, False], ids=["binary", "json"])
def pair(request: pytest.FixtureRequest) -> ConnectionPair:
    return ConnectionPair(LIMITS, PAGE_PART_SIZE, binary=request.param)


def test_messages_of_every_size_come_through_small_windows(pair: ConnectionPair) -> None:
    for size in range(61):
        pair.page.send(b"x" * size)
        pair.server.send("y" * size)
    pair.settle()
    assert pair.server.received == [b"x" * size for size in range(61)]
    assert pair.page.received == ["y" * size for size in range(61)]


def test_a_late_twin_of_an_upload_is_harmless(pair: ConnectionPair) -> None:
    pair.page.send("one")
    pair.start_upload(1000)
    pair.repeat_upload()
    pair.serve_upload(pair.uploads[0])
    pair.take_answer(pair.answers[0][1])
    pair.page.send("two")
    pair.start_upload(1000)
    pair.serve_upload(pair.uploads[2])
    pair.serve_upload(pair.uploads[1])
    while pair.server.receive():
        pass
    assert pair.server.received == ["one", "two"]


def test_the_answer_to_another_upload_is_none(pair: ConnectionPair) -> None:
    pair.page.send("one")
    pair.start_upload(1000)
    pair.serve_upload(pair.uploads[0])
    pair.start_upload(1000)
    pair.take_answer(pair.answers[0][1])
    assert pair.page.connection.acknowledged == 0
    pair.serve_upload(pair.uploads[1])
    pair.take_answer(pair.answers[1][1])
    assert pair.page.connection.acknowledged == 1


def test_the_answer_to_another_attach_is_given_up(pair: ConnectionPair) -> None:
    pair.start_attach()
    pair.serve_attach(pair.attaches[0])
    pair.start_attach()
    pair.server.send("one")
    pair.serve_downstream(1000)
    pair.open_reader(pair.streams[0])
    pair.read(1000)
    assert (pair.reader, pair.page.received) == (None, [])


def test_the_newest_attach_takes_over_and_writes_all_again(pair: ConnectionPair) -> None:
    pair.start_attach()
    pair.serve_attach(pair.attaches[0])
    pair.server.send("one")
    pair.serve_downstream(1000)
    pair.start_attach()
    pair.serve_attach(pair.attaches[1])
    assert pair.streams[0].is_ended
    pair.serve_attach(pair.attaches[0])
    assert pair.streams[2].is_ended
    pair.serve_downstream(1000)
    pair.open_reader(pair.streams[1])
    pair.read(1000)
    assert pair.page.received == ["one"]


@pytest.mark.parametrize("number", [1, 2, 7, 2**53 - 1])
def test_an_acknowledgement_of_what_was_never_sent_is_a_fault(
    pair: ConnectionPair, number: int
) -> None:
    for side in (pair.page, pair.server):
        with pytest.raises(RemoteProtocolError) as info:
            side.connection.take_ack(number)
        assert info.value.close_code == 1002


@pytest.mark.parametrize("window", [8, 9, 15, 40])
def test_a_page_cuts_parts_so_small_that_credit_never_stands_still(window: int) -> None:
    limits = LIMITS._replace(window_bytes=window, window_frames=100)
    pair = ConnectionPair(limits, 1000, binary=True)
    for size in range(61):
        pair.page.send(b"x" * size)
    pair.settle()
    assert pair.server.received == [b"x" * size for size in range(61)]
