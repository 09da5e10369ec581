"""What stands at the head of bodies, and the names in URLs and subprotocols (sections 1 to 4)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from emulation.exceptions import RemoteProtocolError
from emulation.protocol.close import CloseCode
from emulation.protocol.frames import DOCUMENT, LAST_NUMBERED, WIRE_VERSION, Frame

__all__ = [
    "NO_DOCUMENTS",
    "RESUME_SUBPROTOCOL",
    "SUBPROTOCOL_PREFIX",
    "AnswerHead",
    "Body",
    "RequestHead",
    "Section",
    "is_key",
    "is_nonce",
    "is_ours",
    "is_token",
    "parse_answer_head",
    "parse_body",
    "parse_request_head",
]

SUBPROTOCOL_PREFIX: Final = "emulation."
RESUME_SUBPROTOCOL: Final = "emulation.resume"

# What JavaScript's numbers hold exactly.
_MAX_COUNT: Final = 2**53 - 1

# 128 bits in base64url without padding: 21 characters of six bits, and one of two.
_NAME = re.compile(r"[A-Za-z0-9_-]{22}\Z", re.ASCII)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def is_key(text: str) -> bool:
    """Tell whether the text has the form of a key or a ticket: 128 bits in base64url."""
    return _NAME.match(text) is not None


is_nonce = is_key


def is_ours(subprotocol: str) -> bool:
    """Tell whether a page of ours offers the subprotocol first: to resume, or with a nonce."""
    if subprotocol == RESUME_SUBPROTOCOL:
        return True
    prefix = SUBPROTOCOL_PREFIX
    return subprotocol.startswith(prefix) and is_nonce(subprotocol[len(prefix) :])


def is_token(text: str) -> bool:
    """Tell whether the text is an HTTP token (RFC 9110 section 5.6.2), as a subprotocol is."""
    return _TOKEN.fullmatch(text) is not None


class RequestHead:
    """`["head", version, secret, number, node]`, the first frame of a request's body."""

    __slots__ = ("node", "number", "secret")

    def __init__(self, secret: str, number: int, node: str) -> None:
        self.secret = secret
        self.number = number
        self.node = node


class AnswerHead(NamedTuple):
    """`["head", version, key, number]`, the first frame of an answer's body."""

    key: str
    number: int


# Of a section, which nearly never has any: they share this one.
NO_DOCUMENTS: Final[list[list[Any]]] = []


class Section:
    """What a body says of one socket: `first` numbers the first of `frames`.

    `nonce` tells in an attach which socket it is where the server may not have its number.
    """

    __slots__ = ("ack", "documents", "first", "frames", "nonce", "socket")

    def __init__(self, socket: int, ack: int, first: int, nonce: str) -> None:
        self.socket = socket
        self.ack = ack
        self.first = first
        self.nonce = nonce
        self.frames: list[Frame] = []
        self.documents = NO_DOCUMENTS


class Body(NamedTuple):
    """A body behind its head: the sections, and the documents that stand before any section."""

    sections: list[Section]
    documents: list[list[Any]]


def _malformed(text: str) -> RemoteProtocolError:
    return RemoteProtocolError(400, CloseCode.PROTOCOL_ERROR, text)


def is_count(value: Any) -> bool:
    """Tell whether the value is an integer from 0 to 2**53 - 1 (JSON's true is none)."""
    return type(value) is int and 0 <= value <= _MAX_COUNT


def _is_name(value: Any) -> bool:
    # ASCII, for a lone surrogate can be neither encoded nor compared in constant time.
    return type(value) is str and value.isascii()


def parse_request_head(frames: Sequence[Frame]) -> RequestHead:
    """Read the head of a request; raises RemoteProtocolError with 400 where it has none of ours."""
    _, secret, number, node = _head(frames, 5)
    if not _is_name(secret) or not _is_name(node) or not is_count(number):
        raise _malformed("a head that is no request's")
    return RequestHead(secret, number, node)


def parse_answer_head(frames: Sequence[Frame]) -> AnswerHead:
    """Read the head of an answer; raises RemoteProtocolError where it has none of ours."""
    _, key, number = _head(frames, 4)
    if not _is_name(key) or not is_count(number):
        raise _malformed("a head that is no answer's")
    return AnswerHead(key, number)


def _head(frames: Sequence[Frame], length: int) -> list[Any]:
    if not frames or frames[0][0] != DOCUMENT or frames[0][1][0] != "head":
        raise _malformed("a body without a head")
    head: list[Any] = frames[0][1]
    if len(head) < 2 or type(head[1]) is not int or head[1] != WIRE_VERSION:
        raise _malformed("unsupported wire version")
    if len(head) < length:
        raise _malformed("a head that is too short")
    return head[1:length]


def parse_body(frames: Sequence[Frame]) -> Body:
    """Sort the frames behind a head into sections; raises RemoteProtocolError with 400.

    Numbered frames must stand in a section that numbers them.
    """
    sections: list[Section] = []
    documents: list[list[Any]] = []
    section: Section | None = None
    for frame in islice(frames, 1, None):
        kind, payload = frame
        if kind <= LAST_NUMBERED:
            if section is None or not section.first:
                raise _malformed("a numbered frame without a number")
            section.frames.append(frame)
        elif payload[0] == "section":
            section = parse_section(payload)
            sections.append(section)
        elif section is None:
            documents.append(payload)
        elif section.documents is NO_DOCUMENTS:
            section.documents = [payload]
        else:
            section.documents.append(payload)
    return Body(sections, documents)


def parse_section(document: list[Any]) -> Section:
    """Read `["section", socket, ack, first, nonce]`, in which the nonce may lack.

    Raises RemoteProtocolError with 400.
    """
    if len(document) < 4 or not document[1]:
        raise _malformed("a section that is none")
    if not (is_count(document[1]) and is_count(document[2]) and is_count(document[3])):
        raise _malformed("a section that is none")
    nonce = document[4] if len(document) > 4 and type(document[4]) is str else ""
    return Section(document[1], document[2], document[3], nonce)
