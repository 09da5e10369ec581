"""One side of a connection: traces that both languages replay, and every rule by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulation.exceptions import LocalProtocolError, RemoteProtocolError
from emulation.protocol.codec import frame_from_json
from emulation.protocol.connection import Connection, Credit, Limits, State
from emulation.protocol.frames import BINARY, BINARY_PART, CLOSE, TEXT, TEXT_PART, Frame
from tests.protocol.vectors import cases

LIMITS = Limits(
    window_bytes=100, window_frames=8, max_message_size=50, part_size=10, close_timeout=10.0
)
STATES = {
    "open": State.OPEN,
    "close sent": State.CLOSE_SENT,
    "close taken": State.CLOSE_TAKEN,
    "closed": State.CLOSED,
    "failed": State.FAILED,
}


# --- Traces ---------------------------------------------------------------------------------------


class Replay:
    """Do the steps of a trace on one side, and look at what comes of them."""

    def __init__(self, case: Any, side: str) -> None:
        self.bounded = side == "server"
        credit = Credit(*case["credit"]) if case["credit"] and side == "page" else None
        self.connection = Connection(Limits(close_timeout=10.0, **case["limits"]), credit)

    def step(self, step: Any) -> None:
        act: Callable[[Any], None] = getattr(self, step["do"].replace(" ", "_"))
        if "error" in step:
            with pytest.raises(RemoteProtocolError) as info:
                act(step)
            assert info.value.close_code == step["error"]
        else:
            act(step)
        for name, value in step["then"].items():
            assert (name, self.look(name)) == (name, value)

    def look(self, name: str) -> object:
        connection = self.connection
        if name == "state":
            return next(word for word, state in STATES.items() if state is connection.state)
        if name == "credit":
            return list(connection.credit or connection.granted)
        if name == "close":
            return connection.close_taken and list(connection.close_taken)
        return getattr(connection, {"unacknowledged": "unacknowledged_bytes"}.get(name, name))

    def send(self, step: Any) -> None:
        self.connection.send(message(step["message"]))

    def close(self, step: Any) -> None:
        self.connection.send_close(0.0, step["code"], step["reason"])

    def write(self, step: Any) -> None:
        written = self.connection.frames_after(step["after"], step["max"])
        assert written == frames(step["frames"])

    def take(self, step: Any) -> None:
        waiting = len(self.connection.inbox)
        try:
            self.connection.take(step["first"], frames(step["frames"]), bounded=self.bounded)
        finally:
            taken = list(self.connection.inbox)[waiting:]
            assert [item for item, _ in taken] == [message(item) for item in step["messages"]]

    def ack(self, step: Any) -> None:
        self.connection.take_ack(step["number"])

    def credit(self, step: Any) -> None:
        self.connection.take_credit(Credit(step["bytes"], step["frames"]))

    def receive(self, step: Any) -> None:
        assert self.connection.next_message() == message(step["message"])

    def tell_ack(self, step: Any) -> None:
        assert self.connection.tell_ack() == step["number"]

    def fail(self, step: Any) -> None:
        self.connection.fail()


def frames(elements: list[Any]) -> list[Frame]:
    return [frame_from_json(element) for element in elements]


def message(element: Any) -> str | bytes:
    if type(element) is str:
        return element
    kind, payload = frame_from_json(element)
    assert kind == BINARY
    return bytes(payload)


@pytest.mark.parametrize(
    "case", cases("connections", side="both") + cases("connections", side="page")
)
def test_a_page_goes_through_the_trace(case: Any) -> None:
    replay = Replay(case, "page")
    for step in case["steps"]:
        replay.step(step)


@pytest.mark.parametrize(
    "case", cases("connections", side="both") + cases("connections", side="server")
)
def test_a_server_goes_through_the_trace(case: Any) -> None:
    replay = Replay(case, "server")
    for step in case["steps"]:
        replay.step(step)


# --- The close handshake, as its table has it -----------------------------------------------------


def connection_in(state: State) -> Connection:
    connection = Connection(LIMITS)
    if state is State.FAILED:
        connection.fail()
    if state in (State.CLOSE_SENT, State.CLOSED):
        connection.send_close(0.0)
    if state in (State.CLOSE_TAKEN, State.CLOSED):
        connection.take(1, [(CLOSE, b"")])
    assert connection.state is state
    return connection


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (State.OPEN, State.CLOSE_SENT),
        (State.CLOSE_SENT, None),
        (State.CLOSE_TAKEN, State.CLOSED),
        (State.CLOSED, None),
        (State.FAILED, None),
    ],
)
def test_a_close_is_sent_once_and_not_after_the_end(before: State, after: State | None) -> None:
    connection = connection_in(before)
    numbered = connection.numbered
    if after is None:
        with pytest.raises(LocalProtocolError, match=f"SEND_CLOSE in state {before.name}"):
            connection.send_close(1.0, 1000)
        assert (connection.state, connection.numbered) == (before, numbered)
    else:
        connection.send_close(1.0, 1000)
        assert (connection.state, connection.numbered) == (after, numbered + 1)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (State.OPEN, State.CLOSE_TAKEN),
        (State.CLOSE_SENT, State.CLOSED),
        (State.CLOSE_TAKEN, State.CLOSE_TAKEN),
        (State.CLOSED, State.CLOSED),
        (State.FAILED, State.FAILED),
    ],
)
def test_a_close_is_taken_once_and_not_after_the_end(before: State, after: State) -> None:
    connection = connection_in(before)
    received = connection.received
    connection.take(received + 1, [(CLOSE, b"")])
    assert connection.state is after
    assert connection.received == received + (before is not after)


@pytest.mark.parametrize("state", State)
def test_failing_ends_what_is_not_over_yet(state: State) -> None:
    connection = connection_in(state)
    connection.fail()
    assert connection.state is (State.CLOSED if state is State.CLOSED else State.FAILED)
    assert connection.is_over
    assert connection.close_deadline is None


@pytest.mark.parametrize("state", [state for state in State if state is not State.OPEN])
def test_nothing_is_sent_after_a_close(state: State) -> None:
    with pytest.raises(LocalProtocolError, match="after the close"):
        connection_in(state).send("late")


def test_a_close_that_may_not_be_sent_changes_nothing() -> None:
    connection = Connection(LIMITS)
    for code, reason in ((1006, ""), (1000, "r" * 124), (None, "reason")):
        with pytest.raises(LocalProtocolError):
            connection.send_close(0.0, code, reason)
    assert (connection.state, connection.numbered) == (State.OPEN, 0)


def test_a_close_that_is_not_answered_in_time_fails() -> None:
    connection = Connection(LIMITS)
    connection.check(1e9)
    connection.send_close(5.0, 1000)
    assert connection.close_deadline == 15.0
    connection.check(14.9)
    assert not connection.is_over
    connection.check(15.0)
    assert connection.state is State.FAILED


def test_a_close_that_was_answered_has_no_deadline() -> None:
    connection = connection_in(State.CLOSED)
    assert connection.close_deadline is None
    connection.check(1e9)
    assert connection.state is State.CLOSED


def test_what_was_sent_before_a_failure_still_goes_and_is_acknowledged() -> None:
    connection = Connection(LIMITS)
    connection.send("one")
    connection.send("two")
    assert len(connection.frames_after(0, 3)) == 1
    connection.fail()
    assert connection.frames_after(0, 100) == [(TEXT, b"one"), (TEXT, b"two")]
    assert connection.take_ack(2)
    assert connection.unacknowledged_bytes == 0


# --- Sending --------------------------------------------------------------------------------------


def test_a_text_with_a_lone_surrogate_is_the_applications_fault() -> None:
    connection = Connection(LIMITS)
    with pytest.raises(LocalProtocolError, match="surrogate"):
        connection.send("\ud800")
    assert (connection.numbered, connection.unacknowledged_bytes) == (0, 0)


def test_bytes_are_copied_when_they_are_sent() -> None:
    connection = Connection(LIMITS)
    buffer = bytearray(b"before")
    connection.send(memoryview(buffer))  # any buffer will do
    buffer[:] = b"after!"
    assert connection.frames_after(0, 100) == [(BINARY, b"before")]


@pytest.mark.parametrize("case", cases("parts"))
def test_a_message_is_cut_into_parts(case: Any) -> None:
    connection = Connection(LIMITS._replace(part_size=case["part_size"]))
    data = bytes.fromhex(case["message"])
    text = case["kind"] == "text"
    connection.send(data.decode() if text else data)
    written = connection.frames_after(0, 1000)
    assert [payload.hex() for _, payload in written] == case["pieces"]
    last, part = (0x01, 0x03) if text else (0x02, 0x04)
    assert [kind for kind, _ in written] == [part] * (len(written) - 1) + [last]
    assert connection.unacknowledged_bytes == len(data)


@given(st.text(max_size=60) | st.binary(max_size=60), st.integers(1, 9))
def test_parts_are_whole_characters_and_join_to_the_message(
    sent: str | bytes, part_size: int
) -> None:
    limits = LIMITS._replace(part_size=part_size, max_message_size=1000, window_frames=1000)
    sender, receiver = Connection(limits), Connection(limits)
    sender.send(sent)
    written = [(kind, bytes(payload)) for kind, payload in sender.frames_after(0, 1000)]
    for kind, payload in written:
        # A part smaller than a code point is not to be had.
        assert len(payload) <= max(part_size, 4)
        if kind in (TEXT, TEXT_PART):
            payload.decode()
    receiver.take(1, written)
    assert receiver.next_message() == sent
    assert receiver.next_message() is None


def test_the_window_lets_the_last_frame_pass_its_end() -> None:
    connection = Connection(LIMITS._replace(window_frames=100))
    connection.send(b"x" * 50)
    connection.send(b"x" * 49)
    assert connection.has_room
    connection.send(b"x" * 50)
    assert not connection.has_room
    connection.frames_after(0, 1000)
    connection.take_ack(5)
    assert connection.unacknowledged_bytes == 99
    assert connection.has_room


def test_a_window_that_is_full_to_the_byte_has_no_room() -> None:
    connection = Connection(LIMITS._replace(part_size=50))
    for _ in range(4):
        assert connection.has_room
        connection.send("x" * (LIMITS.window_bytes // 4))
    assert not connection.has_room


def test_an_ack_goes_alone_for_a_quarter_of_the_frames_since_the_last() -> None:
    connection = Connection(LIMITS)
    quarter = LIMITS.window_frames // 4
    for number in range(1, 2 * quarter):
        connection.take(number, [(TEXT, b"")])
        assert connection.owes_ack == (number == quarter), number
        if connection.owes_ack:
            connection.tell_ack()


def test_the_window_counts_frames() -> None:
    connection = Connection(LIMITS)
    for _ in range(LIMITS.window_frames):
        assert connection.has_room
        connection.send("")
    assert not connection.has_room


def test_a_close_takes_no_room_in_the_window() -> None:
    connection = Connection(LIMITS)
    connection.send("x")
    connection.send_close(0.0, 1000, "reason")
    assert connection.unacknowledged_bytes == 1
    connection.frames_after(0, 1000)
    connection.take_ack(2)
    assert connection.unacknowledged_bytes == 0


def test_the_server_has_no_credit_to_take() -> None:
    connection = Connection(LIMITS)
    assert not connection.take_credit(Credit(1, 1))
    assert connection.credit is None


def test_credit_says_whether_it_grew() -> None:
    connection = Connection(LIMITS, Credit(10, 10))
    assert not connection.take_credit(Credit(10, 10))
    assert not connection.take_credit(Credit(9, 9))
    assert connection.take_credit(Credit(9, 11))
    assert connection.credit == Credit(10, 11)


# --- Taking ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("faulty", "code"),
    [
        ([(TEXT, b"\xff")], 1007),
        ([(TEXT_PART, b"\xe2\x82"), (TEXT, b"")], 1007),
        ([(TEXT_PART, b"\xff"), (TEXT, b"whole by itself")], 1007),
        ([(TEXT_PART, b"x" * 50), (TEXT, b"x")], 1009),
        ([(TEXT_PART, b"x"), (BINARY, b"whole by itself")], 1002),
        ([(0x06, b"")], 1002),
        ([(CLOSE, b"x")], 1002),
    ],
)
def test_a_fault_stays_a_fault_when_it_is_repeated(faulty: list[Frame], code: int) -> None:
    connection = Connection(LIMITS)
    for _ in range(3):
        with pytest.raises(RemoteProtocolError) as info:
            connection.take(1, faulty, bounded=True)
        assert info.value.close_code == code
        assert connection.received == len(faulty) - 1
        # Alone, as after an acknowledgement of what stood before it.
        with pytest.raises(RemoteProtocolError):
            connection.take(len(faulty), faulty[-1:], bounded=True)
    assert not connection.inbox


@given(st.lists(st.sampled_from([0, 1, 4095, 4096, 9000]), max_size=8))
def test_short_and_long_parts_join_to_the_message(sizes: list[int]) -> None:
    connection = Connection(LIMITS._replace(max_message_size=1 << 20))
    parts = [bytes([number]) * size for number, size in enumerate(sizes)]
    connection.take(1, [(BINARY_PART, part) for part in parts])
    connection.take(len(parts) + 1, [(BINARY, b"end")])
    whole = b"".join(parts) + b"end"
    assert connection.inbox == [(whole, len(whole))]


def test_a_failed_connection_lets_go_of_its_pieces() -> None:
    connection = Connection(LIMITS)
    connection.take(1, [(TEXT_PART, b"half")])
    connection.fail()
    connection.take(2, [(TEXT, b"whole")])
    assert (connection.received, len(connection.inbox)) == (1, 0)


def test_what_the_application_will_not_receive_gives_its_credit_back() -> None:
    connection = Connection(LIMITS)
    connection.take(1, [(BINARY, b"x" * 50)] * 2, bounded=True)
    assert connection.granted == Credit(100, 8)
    assert not connection.owes_credit
    assert connection.unreceived_bytes == 100
    connection.clear_inbox()
    assert connection.unreceived_bytes == 0
    assert connection.granted == Credit(200, 10)
    assert connection.owes_credit
    assert connection.tell_credit() == Credit(200, 10)
    assert not connection.owes_credit
    assert connection.next_message() is None


def test_credit_is_owed_for_a_quarter_of_the_frames() -> None:
    connection = Connection(LIMITS)
    connection.take(1, [(BINARY, b"")] * 2, bounded=True)
    connection.next_message()
    assert not connection.owes_credit
    connection.next_message()
    assert connection.owes_credit


@pytest.mark.parametrize("window", [1, 2, 3, 4])
def test_the_smallest_windows_owe_nothing_when_nothing_happened(window: int) -> None:
    connection = Connection(LIMITS._replace(window_frames=window, window_bytes=window))
    assert not connection.owes_credit
    assert not connection.owes_ack
    connection.take(1, [(BINARY, b"")], bounded=True)
    assert connection.owes_ack
    assert connection.tell_ack() == 1
    assert not connection.owes_ack
    connection.next_message()
    assert connection.owes_credit
    connection.tell_credit()
    assert not connection.owes_credit


def test_a_repeat_is_not_reckoned_again() -> None:
    connection = Connection(LIMITS)
    for _ in range(20):
        connection.take(1, [(BINARY, b"x" * 40), (BINARY, b"y" * 40)], bounded=True)
    assert connection.granted == Credit(100, 8)
    assert (connection.received, len(connection.inbox)) == (2, 2)


@pytest.mark.parametrize("first", [0, 1, 2, 3, 2**53 - 1, 10**30])
def test_any_first_number_is_harmless(first: int) -> None:
    connection = Connection(LIMITS)
    connection.take(1, [(TEXT, b"one")])
    connection.take(first, [(TEXT, b"one"), (TEXT, b"two")][max(first - 1, 0) :])
    assert [item for item, _ in connection.inbox] == ["one", "two"][: connection.received]


def test_server_tells_its_application_that_a_message_is_too_large() -> None:
    server = Connection(LIMITS)
    server.send(b"x" * LIMITS.max_message_size)
    with pytest.raises(LocalProtocolError, match="max_message_size = 50"):
        server.send(b"x" * (LIMITS.max_message_size + 1))
    assert server.numbered == 5


# --- Boundaries -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "kinds"), [(10, [BINARY]), (11, [BINARY_PART, BINARY])])
def test_a_message_as_long_as_a_part_is_none(size: int, kinds: list[int]) -> None:
    connection = Connection(LIMITS)
    connection.send(b"x" * size)
    assert [kind for kind, _ in connection.frames_after(0, 1000)] == kinds


def test_a_pages_part_is_never_more_than_half_of_the_window() -> None:
    connection = Connection(LIMITS._replace(window_bytes=12), Credit(1000, 100))
    connection.send(b"x" * 13)
    assert [len(payload) for _, payload in connection.frames_after(0, 1000)] == [6, 6, 1]


def test_an_ack_says_whether_it_let_go_of_anything() -> None:
    connection = Connection(LIMITS)
    connection.send("x")
    connection.frames_after(0, 1000)
    assert [connection.take_ack(number) for number in (0, 1, 1, 0)] == [False, True, False, False]


@pytest.mark.parametrize(("size", "taken"), [(50, 2), (51, 1)])
def test_credit_may_be_used_up_exactly(size: int, taken: int) -> None:
    connection = Connection(LIMITS._replace(max_message_size=100))
    connection.take(1, [(BINARY, b"x" * 50), (BINARY, b"y" * size)], bounded=True)
    assert connection.received == taken


def test_who_grants_no_credit_is_not_bound_by_any() -> None:
    connection = Connection(LIMITS._replace(max_message_size=1000))
    connection.take(1, [(BINARY, b"x" * 500)] * 20)
    assert connection.received == 20


# --- What a native socket's home does frame by frame ----------------------------------------------


@pytest.mark.parametrize("state", State)
def test_a_message_is_offered_to_an_open_connection_alone(state: State) -> None:
    connection = connection_in(state)
    numbered = connection.numbered
    is_open = state is State.OPEN
    assert connection.offer("message") is is_open
    assert connection.numbered == numbered + is_open


def test_a_message_is_offered_while_the_window_has_room() -> None:
    connection = Connection(LIMITS)
    assert [connection.offer(b"x" * 50) for _ in range(3)] == [True, True, False]
    assert connection.unacknowledged_bytes == 100
    assert connection.frames_after(0, 100)[-1] == (BINARY, b"x" * 10)


def test_frames_go_one_by_one() -> None:
    connection = Connection(LIMITS)
    assert connection.frame_after(0) is None
    for message in ("1", "2", "3"):
        connection.send(message)
    assert connection.frame_after(0) == (TEXT, b"1")
    assert connection.sent == 1
    assert connection.frame_after(1) == (TEXT, b"2")
    assert connection.frame_after(0) == (TEXT, b"1")
    assert connection.sent == 2
    connection.take_ack(2)
    for number in (0, 1, 2):  # below the last ack each is that ack
        assert connection.frame_after(number) == (TEXT, b"3")
        assert connection.sent == 3
    assert connection.frame_after(3) is None
    assert connection.sent == 3


def test_nothing_behind_the_last_number_counts_as_nothing_sent() -> None:
    connection = Connection(LIMITS)
    connection.send("1")
    assert connection.frames_after(1, 100) == []
    assert connection.frame_after(1) is None
    assert connection.sent == 0


def test_messages_are_taken_one_by_one() -> None:
    connection = Connection(LIMITS)
    assert connection.take_message("one", 3)
    assert connection.take_message(b"two", 3)
    assert connection.take_message(b"x" * 50, 50)
    assert connection.inbox == [("one", 3), (b"two", 3), (b"x" * 50, 50)]
    assert (connection.received, connection.bytes_taken) == (3, 56)
    assert connection.unreceived_bytes == 56
    assert connection.take_message(b"x" * 44, 44)
    assert not connection.take_message(b"x", 1), "beyond the credit"
    assert (connection.received, connection.bytes_taken, len(connection.inbox)) == (4, 100, 4)
    connection.take(5, [(BINARY, b"")], bounded=True)
    assert connection.received == 5


def beside_a_part(connection: Connection) -> None:
    connection.take(1, [(TEXT_PART, b"begun")])


@pytest.mark.parametrize(
    ("before", "size"),
    [
        (lambda connection: connection.send_close(0.0), 1),
        (lambda connection: connection.take(1, [(CLOSE, b"")]), 1),
        (lambda connection: connection.fail(), 1),
        (beside_a_part, 1),
        (lambda connection: None, 51),
        (lambda connection: connection.take(1, [(BINARY, b"")] * 8), 1),
    ],
    ids=["close sent", "close taken", "failed", "a part", "too large", "no credit"],
)
def test_what_is_out_of_the_ordinary_is_not_taken_as_a_message(
    before: Callable[[Connection], None], size: int
) -> None:
    connection = Connection(LIMITS)
    before(connection)
    was = (connection.received, connection.bytes_taken, list(connection.inbox))
    assert not connection.take_message(b"x" * size, size)
    assert (connection.received, connection.bytes_taken, connection.inbox) == was


# --- Sums -----------------------------------------------------------------------------------------


def test_the_bytes_of_all_messages_are_summed_up() -> None:
    connection = Connection(LIMITS)
    assert (connection.bytes_numbered, connection.bytes_taken) == (0, 0)
    for message in ("snow ☃", b"x" * 25, b""):
        connection.send(message)
    connection.take(1, [(TEXT, b"one"), (BINARY_PART, b"tw"), (BINARY, b"o")])
    assert (connection.bytes_numbered, connection.bytes_taken) == (33, 6)
    connection.frames_after(0, 100)
    connection.take_ack(5)
    assert connection.bytes_numbered == 33


def test_bytes_are_kept_as_they_came() -> None:
    """A copy of each message would be the dearest thing on its way."""
    connection = Connection(LIMITS._replace(max_message_size=1 << 20, part_size=1 << 20))
    message = b"x" * 100_000
    connection.send(message)
    [(_, payload)] = connection.frames_after(0, 1 << 20)
    assert payload is message


@pytest.mark.parametrize(
    ("window", "quarter"), [(1, 1), (3, 1), (7, 1), (8, 2), (100, 25), (103, 25)]
)
def test_a_quarter_of_the_bytes_is_worth_telling(window: int, quarter: int) -> None:
    connection = Connection(LIMITS._replace(window_bytes=window, window_frames=1 << 20))
    number = 1

    def take(size: int) -> None:
        nonlocal number
        connection.take(number, [(BINARY, b"x" * size)])
        connection.next_message()
        number += 1

    for _ in range(3):
        assert connection.owes_credit is connection.owes_ack is False
        take(quarter - 1)
        assert connection.owes_credit is connection.owes_ack is False
        take(1)
        assert connection.owes_credit is connection.owes_ack is True
        connection.tell_ack()
        connection.tell_credit()


@pytest.mark.parametrize(
    ("window", "quarter"), [(1, 1), (3, 1), (7, 1), (8, 2), (100, 25), (103, 25)]
)
def test_a_quarter_of_the_frames_is_worth_telling(window: int, quarter: int) -> None:
    connection = Connection(LIMITS._replace(window_bytes=1 << 20, window_frames=window))
    number = 1
    for _ in range(3):
        for count in range(quarter):
            assert connection.owes_credit is connection.owes_ack is False, count
            connection.take(number, [(BINARY, b"")])
            connection.next_message()
            number += 1
        assert connection.owes_credit is connection.owes_ack is True
        connection.tell_ack()
        connection.tell_credit()


@pytest.mark.parametrize(
    ("window", "quarter"), [(1, 1), (3, 1), (7, 1), (8, 2), (100, 25), (103, 25)]
)
def test_who_has_not_a_quarter_of_the_bytes_left_may_wait(window: int, quarter: int) -> None:
    connection = Connection(LIMITS._replace(window_bytes=window, window_frames=1 << 20))
    for _ in range(3):
        for left in range(window, -1, -1):
            assert connection.may_wait_for_credit is (left < quarter), left
            if left:
                connection.take(connection.received + 1, [(BINARY, b"x")])
                connection.next_message()
        connection.tell_credit()


@pytest.mark.parametrize("window", [1, 3, 7, 8, 100, 103])
def test_who_has_no_frame_left_may_wait(window: int) -> None:
    connection = Connection(LIMITS._replace(window_bytes=1 << 20, window_frames=window))
    for _ in range(3):
        for left in range(window, -1, -1):
            assert connection.may_wait_for_credit is (left == 0), left
            if left:
                connection.take(connection.received + 1, [(BINARY, b"")])
                connection.next_message()
        connection.tell_credit()


@pytest.mark.parametrize("marks", range(1, 9))
@pytest.mark.parametrize("before", range(1, 5))
def test_no_part_begins_with_a_byte_order_mark(before: int, marks: int) -> None:
    """Node's native class takes U+FEFF from the beginning of a message, and a part is one there."""
    limits = LIMITS._replace(part_size=30, max_message_size=1000, window_bytes=1000)
    connection = Connection(limits)
    message = "x" * before + ("y" * 27 + "\ufeff" * marks) * 3 + "z"
    connection.send(message)
    parts = [bytes(payload) for _, payload in connection.frames_after(0, 1000)]
    assert b"".join(parts).decode() == message
    assert not any(part.decode().startswith("\ufeff") for part in parts)


def test_a_text_of_byte_order_marks() -> None:
    """There is no other place to cut it, and none is looked for."""
    connection = Connection(LIMITS._replace(part_size=3000, max_message_size=1 << 20))
    connection.send("x" + "\ufeff" * 70_000)
    assert len(connection.frames_after(0, 1 << 20)) == 71
