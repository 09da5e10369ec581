"""Request bodies, which are read whole (docs/protocol.md sections 3 and 4).

Nearly all have one form: a head, sections with short frames, and `end`, in the binary form and with
nothing else. These are read in one pass by patterns; whatever differs in a byte is read by the
decoder, which alone says what a fault is.
"""

from __future__ import annotations

import re
from typing import Any, Final

from emulation.protocol.frames import CLOSE, DOCUMENT, TEXT
from emulation.protocol.handshake import NO_DOCUMENTS, RequestHead, Section

__all__ = ["Request", "read_plain"]

# A document of fewer than 128 bytes has one byte of length; a count has at most 15 digits here.
_HEAD: Final = rb'@([\x00-\x7f])\["head",1,"([\w-]*)",(0|[1-9][0-9]{0,14}),"([\w-]*)"\]'
_SECTION: Final = (
    rb'@([\x00-\x7f])\["section",([1-9][0-9]{0,14}),(0|[1-9][0-9]{0,14}),(0|[1-9][0-9]{0,14})'
    rb'(?:,"([\w-]*)")?\]'
)
# Nearly always a section follows, and no other one: a match costs more to begin than to go on.
_BEGIN = re.compile(_HEAD + rb"(?:" + _SECTION + rb")?")
_MORE = re.compile(_SECTION)


class Request:
    """A request's body: its head, its sections, the documents before any, and if it has its end."""

    __slots__ = ("documents", "head", "is_ended", "sections")

    def __init__(
        self,
        head: RequestHead,
        sections: list[Section],
        documents: list[list[Any]],
        is_ended: bool,
    ) -> None:
        self.head = head
        self.sections = sections
        self.documents = documents
        self.is_ended = is_ended


def read_plain(body: bytes) -> Request | None:
    """Read a body that is in the plain form, and in the binary one; None where it is not."""
    match = _BEGIN.match(body)
    if match is None:
        return None
    head_size, secret, number, node, size, socket, ack, first, nonce = match.groups()
    at = match.end(4) + 2
    if ord(head_size) != at - 2:
        return None
    sections = []
    while not _is_end(body, at):
        if size is None:
            match = _MORE.match(body, at)
            if match is None:
                return None
            size, socket, ack, first, nonce = match.groups()
        end = match.end()
        if ord(size) != end - at - 2:
            return None
        at, size = end, None
        section = Section(int(socket), int(ack), int(first), nonce.decode() if nonce else "")
        sections.append(section)
        if section.first:
            at = _read_frames(body, at, section)
    head = RequestHead(secret.decode(), int(number), node.decode())
    return Request(head, sections, NO_DOCUMENTS, True)


def _is_end(body: bytes, at: int) -> bool:
    """Tell whether nothing but the end stands here, with its right count."""
    return (
        body[at + 4 : at + 5] == b"e"
        and body[at + 2 :] == b'["end",%d]' % at
        and body[at] == DOCUMENT
        and body[at + 1] == len(body) - at - 2
    )


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
