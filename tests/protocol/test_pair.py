"""Both sides of a connection over a wire that cuts, repeats, delays, reorders and swaps bodies."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from emulation.exceptions import RemoteProtocolError
from emulation.protocol.connection import Connection, Credit, Limits, State
from emulation.protocol.frames import CLOSE
from tests.protocol.pair import CLOSE_TIMEOUT, ConnectionPair, Side

LIMITS = Limits(
    window_bytes=40,
    window_frames=6,
    max_message_size=60,
    part_size=10,
    close_timeout=CLOSE_TIMEOUT,
)
# The most that is fair: half of the window.
PAGE_PART_SIZE = 20

MESSAGES = st.one_of(
    st.text("aé€😀\0", max_size=15), st.binary(max_size=25), st.binary(min_size=41, max_size=60)
)
# Any of what the wire has kept, the newest as likely as all others together.
PLACES = st.just(-1) | st.integers(0, 50)
# How much of a body comes: all of it, mostly.
CUTS = st.none() | st.none() | st.integers(0, 200)
SIZES = st.sampled_from([0, 1, 10, 30, 1000])
CLOSES = st.sampled_from([(None, ""), (1000, ""), (1001, "bye"), (4999, "tschüß")])


def pick(items: list[Any], place: int) -> Any:
    assume(items)
    return items[place if place < 0 else place % len(items)]


def check_all_came(sender: Side, receiver: Side) -> None:
    """What was sent has come, but for what a side discards that closed by itself."""
    if receiver.close is None or receiver.answered:
        assert receiver.received == sender.sent


class BadWire(RuleBasedStateMachine):
    """The applications of both sides do as they like, and so does the wire; then it is good."""

    pair: ConnectionPair

    @initialize(binary=st.booleans())
    def connect(self, binary: bool) -> None:
        self.pair = ConnectionPair(LIMITS, PAGE_PART_SIZE, binary=binary)
        self.credit = Credit(LIMITS.window_bytes, LIMITS.window_frames)
        self.is_failed = False

    # --- The applications -------------------------------------------------------------------------

    @rule(message=MESSAGES)
    def page_sends(self, message: str | bytes) -> None:
        self.pair.page.send(message)

    @rule(message=MESSAGES)
    def server_sends(self, message: str | bytes) -> None:
        self.pair.server.send(message)

    @rule()
    def server_receives(self) -> None:
        self.pair.server.receive()

    @rule(close=CLOSES)
    def page_closes(self, close: tuple[int | None, str]) -> None:
        self.pair.page.send_close(self.pair.now, *close)

    @rule(close=CLOSES)
    def server_closes(self, close: tuple[int | None, str]) -> None:
        self.pair.server.send_close(self.pair.now, *close)
        if self.pair.server.close == close:
            self.pair.server.connection.clear_inbox()

    @precondition(lambda self: self.pair.page.close or self.pair.server.close)
    @rule(seconds=st.sampled_from([0.0, 1.0, 1.0, 1.0, CLOSE_TIMEOUT]))
    def time_passes(self, seconds: float) -> None:
        self.pair.now += seconds
        for side in (self.pair.page, self.pair.server):
            deadline = side.connection.close_deadline
            side.connection.check(self.pair.now)
            late = deadline is not None and self.pair.now >= deadline
            assert (side.connection.close_deadline is None) == (late or deadline is None)
            self.is_failed = self.is_failed or late

    # --- The wire ---------------------------------------------------------------------------------

    @rule(max_bytes=SIZES)
    def page_uploads(self, max_bytes: int) -> None:
        self.pair.start_upload(max_bytes)

    @rule()
    def page_repeats_its_upload(self) -> None:
        self.pair.repeat_upload()

    @rule(place=PLACES, cut=CUTS)
    def an_upload_comes(self, place: int, cut: int | None) -> None:
        self.pair.serve_upload(pick(self.pair.uploads, place)[:cut])

    @rule(place=PLACES, cut=CUTS)
    def an_answer_comes(self, place: int, cut: int | None) -> None:
        self.pair.take_answer(pick(self.pair.answers, place)[1][:cut])

    @rule()
    def an_upload_goes_and_is_answered(self) -> None:
        self.pair.start_upload(1000)
        self.pair.serve_upload(self.pair.uploads[-1])
        self.pair.take_answer(self.pair.answers[-1][1])

    @rule()
    def page_attaches(self) -> None:
        self.pair.start_attach()

    @rule(place=PLACES, cut=CUTS)
    def an_attach_comes(self, place: int, cut: int | None) -> None:
        self.pair.serve_attach(pick(self.pair.attaches, place)[:cut])

    @rule(place=PLACES)
    def a_stream_begins_to_come(self, place: int) -> None:
        self.pair.open_reader(pick(self.pair.streams, place))

    @rule()
    def page_attaches_and_the_stream_begins(self) -> None:
        self.pair.start_attach()
        self.pair.serve_attach(self.pair.attaches[-1])
        self.pair.open_reader(self.pair.streams[-1])

    @rule(max_bytes=SIZES)
    def server_writes(self, max_bytes: int) -> None:
        self.pair.serve_downstream(max_bytes)

    @rule(size=SIZES)
    def page_reads(self, size: int) -> None:
        self.pair.read(size)

    # --- What always holds ------------------------------------------------------------------------

    @invariant()
    def messages_come_once_in_order_and_unaltered(self) -> None:
        page, server = self.pair.page, self.pair.server
        assert server.received == page.sent[: len(server.received)]
        assert page.received == server.sent[: len(page.received)]

    @invariant()
    def numbers_keep_their_order(self) -> None:
        sides = self.pair.page.connection, self.pair.server.connection
        for one, other in (sides, sides[::-1]):
            assert one.acknowledged <= other.received <= one.sent <= one.numbered
            assert one.ack_told <= one.received

    @invariant()
    def what_is_kept_for_replay_is_bounded(self) -> None:
        for side in (self.pair.page, self.pair.server):
            connection = side.connection
            kept = sum(len(p) for kind, p in connection._frames if kind != CLOSE)
            assert connection.unacknowledged_bytes == kept
            assert kept < LIMITS.window_bytes + LIMITS.max_message_size

    @invariant()
    def what_waits_for_the_application_is_bounded_by_credit(self) -> None:
        connection = self.pair.server.connection
        queued = sum(size for _, size in connection.inbox)
        assert queued == connection._bytes_queued
        assert queued + len(connection._pieces) <= LIMITS.window_bytes + LIMITS.max_message_size
        assert len(connection.inbox) <= LIMITS.window_frames

    @invariant()
    def credit_never_falls_and_is_never_passed(self) -> None:
        page, server = self.pair.page.connection, self.pair.server.connection
        assert page.credit is not None
        granted = server.granted
        for before, now, limit in zip(self.credit, page.credit, granted, strict=True):
            assert before <= now <= limit
        self.credit = page.credit
        assert page._bytes_sent <= page.credit.bytes
        # A close needs no credit.
        closed = self.pair.page.close is not None and page.sent == page.numbered
        assert page.sent - closed <= page.credit.frames
        assert server._bytes_taken <= granted.bytes
        assert server._bytes_taken <= page._bytes_sent

    @invariant()
    def nothing_ends_but_by_a_close_or_in_its_time(self) -> None:
        page, server = self.pair.page, self.pair.server
        for one, other in ((page, server), (server, page)):
            state = one.connection.state
            assert (state is State.OPEN) == (one.close is None)
            if one.connection.close_taken is not None:
                assert one.connection.close_taken == other.close
            if state is State.FAILED:
                assert self.is_failed

    # --- And in the end ---------------------------------------------------------------------------

    def teardown(self) -> None:
        if not hasattr(self, "pair"):
            return
        page, server = self.pair.page, self.pair.server
        self.pair.settle()
        if self.is_failed:
            event("a close that was not answered in time")
            return
        check_all_came(page, server)
        check_all_came(server, page)
        if page.close is None:
            assert not page.waiting and not server.waiting
            event("closed in the end")
            server.send_close(self.pair.now, 1000, "the end")
            self.pair.settle()
        else:
            event("closed on a bad wire")
        for one, other in ((page, server), (server, page)):
            assert one.connection.state is State.CLOSED
            assert one.connection.close_taken == other.close
            assert one.connection.acknowledged == one.connection.numbered
            assert one.connection.unacknowledged_bytes == 0


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


def test_a_part_of_more_than_half_the_window_can_stand_still() -> None:
    """Why section 3 bounds the parts: credit that has grown by less than a quarter is not told."""
    limits = LIMITS._replace(part_size=40, window_frames=100)
    page, server = Connection(limits, Credit(40, 100)), Connection(limits)
    page.send(b"x" * 9)
    page.send(b"x" * 40)
    server.take(1, page.frames_after(0, 1000), bounded=True)
    server.next_message()
    assert not server.owes_credit
    assert server.granted.bytes >= 49
    assert page.frames_after(1, 1000) == []
