"""The connection: one emulated WebSocket without its transports (docs/protocol.md sections 5, 11).

It numbers and keeps what one side sends until the other has acknowledged it, takes what comes in
order and once, reckons credit and window, and goes through the close handshake. It never waits and
reads no clock: `now` is an argument, in seconds of any clock that does not go back.

    state        send a close     take a close     fail
    OPEN         CLOSE_SENT       CLOSE_TAKEN      FAILED
    CLOSE_SENT   -                CLOSED           FAILED
    CLOSE_TAKEN  CLOSED           -                FAILED
    CLOSED       -                -                -
    FAILED       -                -                -

CLOSED is the grave: what is unacknowledged, the own close included, is still sent again, and
repeats of the other side's frames are still acknowledged.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from itertools import islice
from typing import Final, NamedTuple, TypeAlias

from emulation.exceptions import LocalProtocolError, RemoteProtocolError
from emulation.protocol.close import CloseCode, close_payload, parse_close
from emulation.protocol.frames import (
    BINARY,
    BINARY_PART,
    CLOSE,
    TEXT,
    TEXT_PART,
    Frame,
)

__all__ = ["Connection", "Credit", "Limits", "Message", "Sendable", "State"]


class State(Enum):
    """How far the close handshake has come."""

    OPEN = auto()
    CLOSE_SENT = auto()
    CLOSE_TAKEN = auto()
    CLOSED = auto()
    FAILED = auto()


class _Move(Enum):
    SEND_CLOSE = auto()
    TAKE_CLOSE = auto()
    FAIL = auto()


_MOVES: Final[dict[tuple[State, _Move], State]] = {
    (State.OPEN, _Move.SEND_CLOSE): State.CLOSE_SENT,
    (State.OPEN, _Move.TAKE_CLOSE): State.CLOSE_TAKEN,
    (State.OPEN, _Move.FAIL): State.FAILED,
    (State.CLOSE_SENT, _Move.TAKE_CLOSE): State.CLOSED,
    (State.CLOSE_SENT, _Move.FAIL): State.FAILED,
    (State.CLOSE_TAKEN, _Move.SEND_CLOSE): State.CLOSED,
    (State.CLOSE_TAKEN, _Move.FAIL): State.FAILED,
}

# U+FEFF in UTF-8.
_BOM: Final = b"\xef\xbb\xbf"
# Longer runs of it (bytes) are no text.
_BOM_RUN: Final = 48

# The most bytes that a code point has in UTF-8: no part of a text can be shorter.
_MAX_CODE_POINT: Final = 4

# Parts shorter than this are gathered in one piece of memory, for there may be very many.
_SHORT_PART: Final = 4096

# A message as its receiver gets it, with the bytes of payload that it had on the wire.
Message = tuple[str | bytes, int]
# What an application may send: servers take each kind of bytes.
Sendable: TypeAlias = "str | bytes | bytearray | memoryview"


class Credit(NamedTuple):
    """How far the other side may send, in sums since the socket opened."""

    bytes: int
    frames: int


class Limits(NamedTuple):
    """What one connection may hold: bytes, and a number of frames."""

    window_bytes: int
    window_frames: int
    max_message_size: int
    part_size: int
    close_timeout: float


class Connection:
    """One side of an emulated WebSocket.

    `credit` is what the other side has granted this one, None where it grants none and the window
    alone holds the sender back (the server).
    """

    __slots__ = (
        "_bytes_due",
        "_bytes_passed",
        "_bytes_sent",
        "_bytes_told",
        "_close_deadline",
        "_frames",
        "_frames_due",
        "_frames_passed",
        "_most_passed",
        "_part_size",
        "_pieces",
        "_pieces_kind",
        "_pieces_size",
        "_unacknowledged_bytes",
        "ack_told",
        "acknowledged",
        "bytes_numbered",
        "bytes_taken",
        "close_taken",
        "credit",
        "inbox",
        "limits",
        "owes_credit",
        "received",
        "sent",
        "state",
    )

    def __init__(self, limits: Limits, credit: Credit | None = None) -> None:
        self.limits = limits
        self.state = State.OPEN
        # What this side sends: `_frames` are those from acknowledged + 1 on; `sent` is the highest
        # number that was ever put on the wire.
        # Lists, for an empty deque takes ten times their room, and idle sessions are many.
        self._frames: list[Frame] = []
        self._unacknowledged_bytes = 0
        # The payload bytes of all messages that were sent and taken.
        self.bytes_numbered = 0
        self.acknowledged = 0
        self.sent = 0
        self.credit = credit
        self._bytes_sent = 0
        part_size = limits.part_size
        if credit is not None:
            # Credit that has grown by less than a quarter of the window is not told: a larger part
            # could wait for it for ever.
            part_size = min(part_size, limits.window_bytes // 2)
        self._part_size = max(part_size, _MAX_CODE_POINT)
        # What it takes: `received` is the highest number taken, `ack_told` the last ack told.
        self.received = 0
        self.ack_told = 0
        self._bytes_told = 0
        self.bytes_taken = 0
        # Of a message in parts, what has come, and how long that is. Most have none: None is small.
        self._pieces: list[bytes | bytearray] | None = None
        self._pieces_size = 0
        self._pieces_kind = 0
        self.inbox: list[Message] = []
        # What has been taken and does not wait for the application; the credit is a window more.
        # The bytes of a message in parts pass one by one, and wait all together when it is whole;
        # what was granted meanwhile stays granted.
        self._bytes_passed = 0
        self._most_passed = 0
        self._frames_passed = 0
        # How much has to pass for the credit to be worth telling, and whether it has.
        self._bytes_due = limits.window_bytes >> 2 or 1
        self._frames_due = limits.window_frames >> 2 or 1
        self.owes_credit = False
        self.close_taken: tuple[int | None, str] | None = None
        self._close_deadline: float | None = None

    def _move(self, move: _Move) -> None:
        state = _MOVES.get((self.state, move))
        if state is None:
            raise LocalProtocolError(f"{move.name} in state {self.state.name}")
        self.state = state

    # --- What this side sends ---------------------------------------------------------------------

    @property
    def numbered(self) -> int:
        """The highest number given to a frame."""
        return self.acknowledged + len(self._frames)

    @property
    def unacknowledged_bytes(self) -> int:
        """The payload bytes that this side keeps for replay."""
        return self._unacknowledged_bytes

    @property
    def has_room(self) -> bool:
        """Whether the window lets another message in; the one let in may pass its end."""
        limits = self.limits
        return (
            self._unacknowledged_bytes < limits.window_bytes
            and len(self._frames) < limits.window_frames
        )

    def offer(self, message: Sendable) -> bool:
        """Number a message if state and window allow it; tell whether they did.

        Raises LocalProtocolError for a message that `send` refuses.
        """
        if self.state is not State.OPEN or not self.has_room:
            return False
        self.send(message)
        return True

    def send(self, message: Sendable) -> None:
        """Number a message, in parts where it is longer than a part may be.

        Raises LocalProtocolError after a close, for a text with surrogates, and on the server for a
        message over the largest size.
        """
        if self.state is not State.OPEN:
            raise LocalProtocolError("a message after the close")
        if isinstance(message, str):
            try:
                payload = message.encode()
            except UnicodeEncodeError:
                raise LocalProtocolError("a text with a lone surrogate is not Unicode") from None
            kind = TEXT
        else:
            # Not bytes(5), which are five zeros.
            payload = message if type(message) is bytes else bytes(memoryview(message))
            kind = BINARY
        size = len(payload)
        # A page's message goes all the same, and its server closes with 1009, as natively.
        if self.credit is None and size > self.limits.max_message_size:
            raise LocalProtocolError(
                f"a message of {size} bytes is over max_message_size = "
                f"{self.limits.max_message_size}: send less at once, or raise it in Config"
            )
        self._unacknowledged_bytes += size
        self.bytes_numbered += size
        if size > self._part_size:
            self._send_parts(kind, payload)
        else:
            self._frames.append((kind, payload))

    def _send_parts(self, kind: int, payload: bytes) -> None:
        part = TEXT_PART if kind == TEXT else BINARY_PART
        start, size = 0, len(payload)
        view = memoryview(payload)  # not copied before they are written
        while size - start > self._part_size:
            end = start + self._part_size
            if kind == TEXT:
                # Not inside a code point: a byte 10xxxxxx continues one (RFC 3629 section 3).
                while payload[end] & 0xC0 == 0x80:
                    end -= 1
                # Nor before U+FEFF: Node's native class takes it from a message's beginning.
                for before in range(end, max(end - _BOM_RUN, start), -3):
                    if payload[before : before + 3] != _BOM:
                        end = before
                        break
            self._frames.append((part, view[start:end]))
            start = end
        self._frames.append((kind, view[start:]))

    def send_close(self, now: float, code: int | None = None, reason: str = "") -> None:
        """Number a close behind all that was sent; raises LocalProtocolError as close_payload does,
        and where a close was sent already."""
        payload = close_payload(code, reason)
        self._move(_Move.SEND_CLOSE)
        self._frames.append((CLOSE, payload))
        if self.state is State.CLOSE_SENT:
            self._close_deadline = now + self.limits.close_timeout

    def frames_after(self, number: int, max_bytes: int) -> list[Frame]:
        """Return the frames behind this number that may go now, and mark them as sent.

        They have together at most `max_bytes` of payload, but at least one is returned where there
        is one. A number below the last ack counts as that ack.
        """
        start = max(number - self.acknowledged, 0)
        if start >= len(self._frames):
            return []
        if self.credit is None and self._unacknowledged_bytes <= max_bytes:
            frames = self._frames[start:]
        else:
            frames = self._slice(start, max_bytes)
        last = self.acknowledged + start + len(frames)
        if last > self.sent:
            if self.credit is not None:
                fresh = last - self.sent
                self._bytes_sent += sum(_cost(frame) for frame in frames[-fresh:])
            self.sent = last
        return frames

    def frame_after(self, number: int) -> Frame | None:
        """Return the frame behind this number alone, as `frames_after` does; for the server."""
        at = max(number - self.acknowledged, 0)
        if at >= len(self._frames):
            return None
        last = self.acknowledged + at + 1
        if last > self.sent:
            self.sent = last
        return self._frames[at]

    def _slice(self, start: int, max_bytes: int) -> list[Frame]:
        frames: list[Frame] = []
        size = 0
        number = self.acknowledged + start
        allowance = self.credit.bytes - self._bytes_sent if self.credit else 0
        for frame in islice(self._frames, start, None):
            number += 1
            cost = len(frame[1])
            if frames and size + cost > max_bytes:
                break
            if self.credit is not None and number > self.sent and frame[0] != CLOSE:
                allowance -= cost
                if allowance < 0 or number > self.credit.frames:
                    break
            size += cost
            frames.append(frame)
        return frames

    def take_ack(self, number: int) -> bool:
        """Let go of what the other side has taken; the answer says whether that was anything.

        Raises RemoteProtocolError with 1002 for a number that was never sent.
        """
        if number <= self.acknowledged:
            return False
        if number > self.sent:
            text = "an acknowledgement of what was never sent"
            raise RemoteProtocolError(400, CloseCode.PROTOCOL_ERROR, text)
        count = number - self.acknowledged
        for frame in self._frames[:count]:
            self._unacknowledged_bytes -= _cost(frame)
        del self._frames[:count]
        self.acknowledged = number
        return True

    def take_credit(self, credit: Credit) -> bool:
        """Take what the other side grants; it never falls. The answer says whether it grew."""
        if self.credit is None:
            return False
        grown = Credit(max(credit.bytes, self.credit.bytes), max(credit.frames, self.credit.frames))
        changed = grown != self.credit
        self.credit = grown
        return changed

    # --- What this side takes ---------------------------------------------------------------------

    def take(self, first: int, frames: Sequence[Frame], *, bounded: bool = False) -> None:
        """Take numbered frames, the first of which has the number `first`, as far as may be.

        What was taken before is passed over, after a gap or a close nothing is taken, and where
        `bounded` the credit that was granted ends it; `received` then says how far it went.
        Messages that are whole wait in `inbox`. Raises RemoteProtocolError with the code that ends
        the session, 1002, 1007 or 1009; what stood before the fault has been taken.
        """
        if first > self.received + 1 or self.state is State.FAILED:
            return
        # A side that has sent its close discards what still comes (RFC 6455 section 1.4).
        is_open = self.state is State.OPEN
        largest = self.limits.max_message_size
        taken = self.received + 1 - first
        for kind, payload in frames[taken:] if taken else frames:
            if self.close_taken is not None:
                break
            if kind == CLOSE:
                self._take_close(payload)
                continue
            size = len(payload)
            # Frames that were taken number `received`: a close is the last one and costs nothing.
            if bounded and not self._is_granted(size):
                break
            if kind > BINARY:
                self._take_part(kind, payload)
            else:
                waits = size
                message: str | bytes = payload
                if self._pieces_kind or size > largest:
                    message, waits = self._complete(kind, payload)
                    self._bytes_passed -= waits - size
                elif kind == TEXT:
                    message = _decode(payload)
                if is_open:
                    self.inbox.append((message, waits))
                else:
                    self._pass(waits)
            self.received += 1
            self.bytes_taken += size

    def take_message(self, message: str | bytes, size: int) -> bool:
        """Take the next frame, where it is a whole message of so many bytes; tell whether it was.

        Where anything is out of the ordinary it is not, and is left to `take`.
        """
        if (
            self.state is not State.OPEN
            or self._pieces_kind
            or size > self.limits.max_message_size
            or not self._is_granted(size)
        ):
            return False
        self.inbox.append((message, size))
        self.received += 1
        self.bytes_taken += size
        return True

    def _is_granted(self, size: int) -> bool:
        """Tell whether the credit that was granted allows another frame of so many bytes."""
        limits = self.limits
        return (
            self.bytes_taken + size - self._most_passed <= limits.window_bytes
            and self.received - self._frames_passed < limits.window_frames
        )

    def _complete(self, kind: int, payload: bytes) -> Message:
        size = self._pieces_size + len(payload)
        self._check_size(size)
        self._check_kind(kind)
        # A fault leaves the pieces as they are, so that the repeat of its frame is at fault again.
        whole = b"".join((*(self._pieces or ()), payload))
        message = _decode(whole) if kind == TEXT else whole
        self._discard_pieces()
        return message, size

    def _take_part(self, kind: int, payload: bytes) -> None:
        if kind not in (TEXT_PART, BINARY_PART):
            text = "a numbered frame of an unknown type"
            raise RemoteProtocolError(400, CloseCode.PROTOCOL_ERROR, text)
        whole = TEXT if kind == TEXT_PART else BINARY
        if self._pieces_kind:
            self._check_kind(whole)
        size = self._pieces_size + len(payload)
        self._check_size(size)
        if self._pieces is None:
            self._pieces = []
        pieces = self._pieces
        if len(payload) >= _SHORT_PART:
            pieces.append(payload)
        elif pieces and isinstance(last := pieces[-1], bytearray):
            last += payload
        else:
            pieces.append(bytearray(payload))
        self._pieces_size, self._pieces_kind = size, whole
        self._pass(len(payload))

    def _check_kind(self, kind: int) -> None:
        if kind != self._pieces_kind:
            raise RemoteProtocolError(400, CloseCode.PROTOCOL_ERROR, "parts of two kinds")

    def _check_size(self, size: int) -> None:
        if size > self.limits.max_message_size:
            raise RemoteProtocolError(400, CloseCode.TOO_BIG, "a message over the largest size")

    def _take_close(self, payload: bytes) -> None:
        close = parse_close(payload)
        self._move(_Move.TAKE_CLOSE)
        self.received += 1
        self.close_taken = close
        self._close_deadline = None
        self._discard_pieces()
        self._drop_unsent()

    def _drop_unsent(self) -> None:
        """Forget what no number on the wire stands for, but for the own close (section 11)."""
        unsent = [self._frames.pop() for _ in range(self.numbered - self.sent)]
        self._unacknowledged_bytes -= sum(map(_cost, unsent))
        if unsent and unsent[0][0] == CLOSE:
            self._frames.append(unsent[0])

    def _discard_pieces(self) -> None:
        self._pieces = None
        self._pieces_size = 0
        self._pieces_kind = 0

    def next_message(self) -> str | bytes | None:
        """Hand the next message to the application, which raises the credit; None without one."""
        if not self.inbox:
            return None
        message, size = self.inbox.pop(0)
        self._pass(size)
        return message

    def clear_inbox(self) -> None:
        """Discard what the application will not receive any more."""
        for _, size in self.inbox:
            self._pass(size)
        self.inbox.clear()

    @property
    def unreceived_bytes(self) -> int:
        """The payload bytes that wait for the application."""
        return self.bytes_taken - self._bytes_passed

    def _pass(self, size: int) -> None:
        """Let the bytes of a frame, or of a message that waited, count as credit again."""
        self._frames_passed += 1
        self._bytes_passed += size
        if self._bytes_passed > self._most_passed:
            self._most_passed = self._bytes_passed
        if self._most_passed >= self._bytes_due or self._frames_passed >= self._frames_due:
            self.owes_credit = True

    @property
    def granted(self) -> tuple[int, int]:
        """How far the other side may send by now, as a Credit says it; it never falls.

        Told where it may be lost, it is still owed.
        """
        limits = self.limits
        return (
            self._most_passed + limits.window_bytes,
            self._frames_passed + limits.window_frames,
        )

    @property
    def may_wait_for_credit(self) -> bool:
        """Whether the other side may send nothing more, if the last credit but this did not come.

        Its next piece may need a quarter of the window.
        """
        limits = self.limits
        quarter = limits.window_bytes >> 2 or 1
        bytes_told = self._bytes_due + limits.window_bytes - quarter
        frames_told = self._frames_due + limits.window_frames - (limits.window_frames >> 2 or 1)
        return bytes_told - self.bytes_taken < quarter or frames_told <= self.received

    def tell_credit(self) -> tuple[int, int]:
        """Return the credit, which the other side now is told."""
        limits = self.limits
        self._bytes_due = self._most_passed + (limits.window_bytes >> 2 or 1)
        self._frames_due = self._frames_passed + (limits.window_frames >> 2 or 1)
        self.owes_credit = False
        return self.granted

    @property
    def owes_ack(self) -> bool:
        """Whether an ack should go alone: for a quarter of the window, or for a close."""
        fresh = self.received - self.ack_told
        if not fresh:
            return False
        limits = self.limits
        return (
            fresh >= (limits.window_frames >> 2 or 1)
            or self.bytes_taken - self._bytes_told >= (limits.window_bytes >> 2 or 1)
            or self.close_taken is not None
        )

    def tell_ack(self) -> int:
        """Return the ack, which the other side now is told."""
        self.ack_told = self.received
        self._bytes_told = self.bytes_taken
        return self.received

    # --- The end ----------------------------------------------------------------------------------

    @property
    def is_over(self) -> bool:
        """Whether the application's part is over: closed by both, or failed."""
        return self.state in (State.CLOSED, State.FAILED)

    @property
    def close_deadline(self) -> float | None:
        """When the close handshake fails, None where none is under way."""
        return self._close_deadline

    def check(self, now: float) -> None:
        """Fail the connection when the other side has not answered the close in its time."""
        if self._close_deadline is not None and now >= self._close_deadline:
            self.fail()

    def fail(self) -> None:
        """End the connection without a handshake (1006); what was sent before still goes."""
        if self.is_over:
            return
        self._move(_Move.FAIL)
        self._close_deadline = None
        self._discard_pieces()


def _decode(payload: bytes | bytearray) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        text = "a text that is not UTF-8"
        raise RemoteProtocolError(400, CloseCode.INVALID_DATA, text) from None


def _cost(frame: Frame) -> int:
    return 0 if frame[0] == CLOSE else len(frame[1])
