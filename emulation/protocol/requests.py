"""Request bodies, which are read whole (docs/protocol.md sections 3 and 4).

Nearly all have one form: a head, sections with short frames, and `end`, in the binary form and with
nothing else. These are read in one pass by patterns; whatever differs in a byte is read by the
decoder, which alone says what a fault is.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from emulation.protocol.frames import CLOSE, TEXT
from emulation.protocol.handshake import NO_DOCUMENTS, RequestHead, Section

__all__ = ["Request", "read_plain"]

# A document of fewer than 128 bytes has one byte of length; a count has at most 15 digits here.
_HEAD = re.compile(rb'@([\x00-\x7f])\["head",1,"([\w-]*)",(0|[1-9][0-9]{0,14}),"([\w-]*)"\]')
_SECTION = re.compile(
    rb'@([\x00-\x7f])\["section",([1-9][0-9]{0,14}),(0|[1-9][0-9]{0,14}),(0|[1-9][0-9]{0,14})'
    rb'(?:,"([\w-]*)")?\]'
)


class Request(NamedTuple):
    """A request's body: its head, its sections, the documents before any, and if it has its end."""

    head: RequestHead
    sections: list[Section]
    documents: list[list[Any]]
    is_ended: bool


def read_plain(body: bytes) -> Request | None:
    """Read a body that is in the plain form, and in the binary one; None where it is not."""
    match = _HEAD.match(body)
    if match is None:
        return None
    at = match.end()
    size, secret, number, node = match.groups()
    if ord(size) != at - 2:
        return None
    sections = []
    while (match := _SECTION.match(body, at)) is not None:
        end = match.end()
        size, socket, ack, first, nonce = match.groups()
        if ord(size) != end - at - 2:
            return None
        at = end
        section = Section(int(socket), int(ack), int(first), nonce.decode() if nonce else "")
        sections.append(section)
        if section.first:
            at = _read_frames(body, at, section)
    if body[at:] != b'@%c["end",%d]' % (8 + len(str(at)), at):
        return None
    head = RequestHead(secret.decode(), int(number), node.decode())
    return Request(head, sections, NO_DOCUMENTS, True)


def _read_frames(body: bytes, at: int, section: Section) -> int:
    """Read the numbered frames of a section; return where the first other thing stands."""
    size = len(body)
    frames = section.frames
    while at + 2 <= size and TEXT <= body[at] <= CLOSE:
        length = body[at + 1]
        start = at + 2
        if length > 0x7F:
            # Two or three bytes of length, as a part has them; a longer frame is the decoder's.
            digits = body[start : start + 2]
            if length == 0x80 or len(digits) < 2:
                break
            length = (length & 0x7F) << 7 | digits[0] & 0x7F
            start += 1
            if digits[0] > 0x7F:
                if digits[1] > 0x7F:
                    break
                length = length << 7 | digits[1]
                start += 1
        end = start + length
        if end > size:
            break
        frames.append((body[at], body[start:end]))
        at = end
    return at
