"""Which answers are ours, and what those mean that are none (docs/protocol.md sections 3, 10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from emulation.exceptions import RemoteProtocolError
from emulation.protocol.codec import decode_body
from emulation.protocol.frames import DOCUMENT, WIRE_VERSION, Frame
from emulation.protocol.handshake import parse_answer_head
from emulation.testing.exceptions import Failure, GivenUp, KeyTaken, TooLarge
from emulation.testing.http import Exchange

__all__ = ["Answer", "check_head", "find", "read_answer", "take_status"]

# `@` is the type of a document in the binary form, `[` begins a line of the JSON form.
_FIRST_BYTES: Final = {b"@": True, b"[": False}


class Answer(NamedTuple):
    """The frames of an answer behind its head; `is_whole` says that its `end` came."""

    status: int
    headers: list[tuple[str, str]]
    frames: list[Frame]
    is_whole: bool


async def read_answer(
    exchange: Exchange, key: str, number: int, *, limit: int, timeout: float
) -> Answer:
    """Read an answer whole and check it; raises Failure where it is none of ours."""
    body = await exchange.read_whole(timeout)
    if exchange.status == 413:
        raise TooLarge("the body was too large")
    is_binary = _FIRST_BYTES.get(body[:1])
    if is_binary is None:
        raise Failure(f"an answer that is not ours, with status {exchange.status}")
    try:
        frames, is_whole = decode_body(body, binary=is_binary, limit=limit)
    except RemoteProtocolError as error:
        raise Failure(f"an answer that is not ours: {error}") from error
    check_head(frames, key, number, is_error=exchange.status != 200)
    return Answer(exchange.status, exchange.headers, frames[1:], is_whole)


def check_head(frames: Sequence[Frame], key: str, number: int, *, is_error: bool = False) -> None:
    """Make sure that a body begins with our head for this request; raises Failure."""
    if frames and frames[0][0] == DOCUMENT:
        document = frames[0][1]
        if document[0] == "head" and document[1:2] != [WIRE_VERSION]:
            raise GivenUp(f"the server speaks version {document[1:2]} of the wire")
    try:
        head = parse_answer_head(frames)
    except RemoteProtocolError as error:
        raise Failure(f"an answer that is not ours: {error}") from error
    if head.number == 0 and is_error:
        return
    if (head.key, head.number) != (key, number):
        raise Failure("an answer to another request")


def take_status(answer: Answer) -> None:
    """Raise what an error answer of ours means: a kind of Failure."""
    status = answer.status
    if status == 200:
        return
    error = find(answer.frames, "error")
    text = f"{status}: {error[2] if error and len(error) > 2 else 'no sentence'}"
    if status == 400:
        raise Failure(text, counts=True)
    if status == 409:
        raise KeyTaken(text)
    if status in (429, 503):
        wait = dict(answer.headers).get("retry-after", "")
        raise Failure(text, wait=float(wait) if wait.isascii() and wait.isdigit() else 1.0)
    if 400 <= status < 500 and status != 408:
        raise GivenUp(text)
    raise Failure(text)


def find(frames: Sequence[Frame], name: str) -> list[Any] | None:
    """Return the first document of this name."""
    for kind, payload in frames:
        if kind == DOCUMENT and payload[0] == name:
            found: list[Any] = payload
            return found
    return None
