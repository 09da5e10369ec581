"""Frames: the unit on the wire (docs/protocol.md section 3).

A frame is a pair `(kind, payload)`. The payload of a numbered frame is bytes: UTF-8 of a text, the
bytes of a binary message, or the body of a close frame as RFC 6455 section 5.5.1 has it; of a part
on its way out it is a view of the whole message. A document is a list on its way in, and its JSON
text, as bytes, on its way out.
"""

from __future__ import annotations

import json
from typing import Any, Final

__all__ = [
    "BINARY",
    "BINARY_PART",
    "CLOSE",
    "DOCUMENT",
    "LAST_NUMBERED",
    "TEXT",
    "TEXT_PART",
    "WIRE_VERSION",
    "Frame",
    "body_end",
    "counts",
    "credit",
    "document",
    "section",
]

WIRE_VERSION: Final = 1

TEXT: Final = 0x01
BINARY: Final = 0x02
TEXT_PART: Final = 0x03
BINARY_PART: Final = 0x04
CLOSE: Final = 0x05
LAST_NUMBERED: Final = 0x3F
DOCUMENT: Final = 0x40

# (kind, payload): a tuple and not a class, for its making is the hottest thing on the way.
Frame = tuple[int, Any]

_encode = json.JSONEncoder(separators=(",", ":")).encode


def document(*elements: Any) -> Frame:
    """Make the document frame of these elements; the first is its name."""
    return DOCUMENT, _encode(elements).encode("ascii")


def section(socket: int, ack: int, first: int) -> Frame:
    """Make the document frame that begins a section, as nearly every body has one."""
    return DOCUMENT, b'["section",%d,%d,%d]' % (socket, ack, first)


def credit(granted: tuple[int, int]) -> Frame:
    """Make the document frame that tells the credit, as the answer to every poll does."""
    return DOCUMENT, b'["credit",%d,%d]' % granted


def body_end(size: int) -> Frame:
    """Make the document frame behind the last one of a body of so many bytes."""
    return DOCUMENT, b'["end",%d]' % size


def counts(name: str, *numbers: int) -> Frame:
    """Make the document frame of a name and counts, as most are: cheaper than by an encoder."""
    return DOCUMENT, f'["{name}",{",".join(map(str, numbers))}]'.encode("ascii")
