"""Bodies of uploads (docs/protocol.md section 6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from emulation.protocol.codec import BinaryEncoder, Encoder, JSONEncoder, frame_to_json
from emulation.protocol.frames import Frame, document
from emulation.testing.socket import EmulatedWebSocket

__all__ = ["SMALLEST_BODY", "Upload", "build", "encoder"]

# Down to this a body is halved when it is too large for somebody (section 6).
SMALLEST_BODY: Final = 16_384
# What a section and its acknowledgement take at most, and what head and `end` do.
_SECTION_SIZE: Final = 96
_ENVELOPE_SIZE: Final = 256
# The type and the length of a frame in the binary form; the brackets and the line's end in JSON.
_FRAME_SIZE: Final = 6
_LINE_SIZE: Final = 3
# Section 6: the deadline of an upload.
_LEAST_TIME: Final = 10.0
_SLOWEST: Final = 8_000


class Upload(NamedTuple):
    """One upload, sent until it is answered; `last` says how far it goes, by socket."""

    number: int
    body: bytes
    is_binary: bool
    last: dict[int, int]

    @property
    def deadline(self) -> float:
        """The seconds after which it is abandoned."""
        return _LEAST_TIME + len(self.body) / _SLOWEST


def encoder(*, is_binary: bool) -> Encoder:
    """Return an encoder of the form."""
    return BinaryEncoder() if is_binary else JSONEncoder()


def build(
    head: Frame,
    number: int,
    sockets: Sequence[EmulatedWebSocket],
    *,
    is_binary: bool,
    limit: int,
    is_due: bool,
) -> Upload | None:
    """Make the next upload; None when nobody has anything to say and none `is_due`.

    Sockets that come first have their frames in it first.
    """
    room = limit - _ENVELOPE_SIZE - _SECTION_SIZE * len(sockets)
    has_frames = False
    chosen: list[tuple[EmulatedWebSocket, int, list[Frame]]] = []
    for socket in sockets:
        first = socket.connection.acknowledged + 1
        frames, size = _frames(socket, room, is_binary=is_binary, is_first=not has_frames)
        room -= size
        has_frames = has_frames or bool(frames)
        is_due = is_due or bool(frames) or socket.connection.owes_ack
        chosen.append((socket, first, frames))
    if not is_due:
        return None
    writer = encoder(is_binary=is_binary)
    pieces = [writer.encode([head])]
    last: dict[int, int] = {}
    for socket, first, frames in chosen:
        if frames:
            last[socket.number] = first + len(frames) - 1
        ack = socket.connection.tell_ack()
        section = document("section", socket.number, ack, first if frames else 0)
        pieces.append(writer.encode([section, *frames]))
        socket.update()
    pieces.append(writer.end())
    return Upload(number, b"".join(pieces), is_binary, last)


def _frames(
    socket: EmulatedWebSocket, room: int, *, is_binary: bool, is_first: bool
) -> tuple[list[Frame], int]:
    """Take the frames that may go and fit; the first of a body goes whatever its size."""
    connection = socket.connection
    frames: list[Frame] = []
    size = 0
    # One at a time: below zero there is room for one frame only, even where it is empty.
    while fresh := connection.frames_after(connection.acknowledged + len(frames), -1):
        [frame] = fresh
        if is_binary:
            cost = len(frame[1]) + _FRAME_SIZE
        else:
            cost = len(frame_to_json(frame)) + _LINE_SIZE
        if size + cost > room and (frames or not is_first):
            break
        frames.append(frame)
        size += cost
    return frames, size
