"""The plain form of a request is read as the decoder reads it, or left to the decoder."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from emulation.protocol.codec import BinaryEncoder, decode_body
from emulation.protocol.frames import (
    BINARY,
    BINARY_PART,
    CLOSE,
    DOCUMENT,
    TEXT,
    TEXT_PART,
    Frame,
    document,
)
from emulation.protocol.handshake import RequestHead, parse_body, parse_request_head
from emulation.protocol.requests import Request, read_plain

LIMIT = 1 << 20
SECRET, NODE, NONCE = "s-" * 16, "node-1", "n-" * 11
HEAD = document("head", 1, SECRET, 12, NODE)

counts = st.integers(0, 300) | st.integers(0, 2**60)
names = st.sampled_from(["", NODE, SECRET, "a b", 'a"b', "ä"])
numbered = st.tuples(
    st.sampled_from([TEXT, BINARY, TEXT_PART, CLOSE, 0x3F]),
    st.binary(max_size=40) | st.sampled_from([bytes(127), bytes(128), bytes(16383), bytes(16384)]),
)
sections = st.builds(
    lambda head, nonce, frames: [document("section", *head, *nonce), *frames],
    st.tuples(counts, counts, counts),
    st.sampled_from([(), (NONCE,), ("",), (7,)]),
    st.lists(numbered, max_size=3),
)
bodies = st.builds(
    lambda head, parts: [document("head", *head), *(frame for part in parts for frame in part)],
    st.tuples(st.just(1) | counts, names, counts, names),
    st.lists(sections | st.just([document("wait", 1)]), max_size=3),
)


def encode(frames: list[Frame]) -> bytes:
    encoder = BinaryEncoder()
    return encoder.encode(frames) + encoder.end()


def seen(request: Request) -> Any:
    read = [
        (one.socket, one.ack, one.first, one.nonce, one.frames, said(one.documents))
        for one in request.sections
    ]
    return told(request.head), read, said(request.documents), request.is_ended


def told(head: RequestHead) -> tuple[str, int, str]:
    return head.secret, head.number, head.node


def said(documents: list[list[Any]]) -> list[list[Any]]:
    """Leave out the end, of which `is_ended` tells."""
    return [document for document in documents if document[0] != "end"]


def check(body: bytes) -> None:
    plain = read_plain(body)
    if plain is not None:
        frames, is_ended = decode_body(body, binary=True, limit=LIMIT)
        request = Request(parse_request_head(frames), *parse_body(frames), is_ended)
        assert seen(plain) == seen(request)


@given(bodies)
def test_it_is_read_alike(frames: list[Frame]) -> None:
    check(encode(frames))


@given(bodies, st.data())
def test_a_body_that_was_damaged_is_read_alike(frames: list[Frame], data: st.DataObject) -> None:
    body = bytearray(encode(frames))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at] = data.draw(st.integers(0, 255) | st.sampled_from(list(b'@[]",019\x00\x80\x81')))
    check(bytes(body))
    check(bytes(body[: data.draw(st.integers(0, len(body)))]))


@given(st.integers(0, 3), st.lists(st.binary(max_size=200), max_size=20))
@example(1, [b"x" * 127, b"x" * 128, b"x" * 16383, b"x" * 16384])
def test_what_pages_send_is_plain(more: int, payloads: list[bytes]) -> None:
    rest = [document("section", number, 0, 0, NONCE) for number in range(2, 2 + more)]
    first = 7 if payloads else 0
    frames = [(BINARY, payload) for payload in payloads]
    body = encode([HEAD, document("section", 1, 5, first), *frames, *rest])
    request = read_plain(body)
    assert request is not None
    assert request.is_ended
    assert told(request.head) == (SECRET, 12, NODE)
    assert request.sections[0].frames == frames
    assert [one.nonce for one in request.sections[1:]] == [NONCE] * more


KINDS = (TEXT, BINARY, TEXT_PART, BINARY_PART, CLOSE)
LENGTHS = (0, 1, 126, 127, 128, 255, 16383, 16384, 16511, 16512, 2**21 - 1)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_and_length_is_plain(kind: int) -> None:
    frames = [(kind, b"x" * length) for length in LENGTHS]
    request = read_plain(encode([HEAD, document("section", 1, 0, 1), *frames]))
    assert request is not None
    assert request.sections[0].frames == frames


def test_a_longer_frame_is_the_decoders() -> None:
    assert read_plain(encode([HEAD, document("section", 1, 0, 1), (BINARY, bytes(2**21))])) is None


@pytest.mark.parametrize(
    "damaged",
    [
        b"\x02\x80\x05" + b"x" * 5,  # not the shortest form of 5
        b"\x02\x80" + b"x" * 128,  # nor one byte that says 128
        b"\x02\x81\x80\x80" + bytes(16512),  # four bytes of length, the last of which lacks
        b"\x00\x00",
        b"\x06\x00",
    ],
    ids=["not the shortest", "one byte", "four bytes", "no kind", "a later kind"],
)
def test_what_is_not_plain_is_the_decoders(damaged: bytes) -> None:
    encoder = BinaryEncoder()
    before = encoder.encode([HEAD, document("section", 1, 0, 1)]) + damaged
    end = document("end", len(before))[1]
    assert read_plain(before + b"@" + bytes([len(end)]) + end) is None


def numbers_in_a_body(number: str, socket: str, ack: str, first: str) -> bytes:
    documents = f'["head",1,"",{number},""]', f'["section",{socket},{ack},{first}]'
    return encode([(DOCUMENT, text.encode()) for text in documents])


def test_counts_are_plain() -> None:
    assert read_plain(numbers_in_a_body("0", "1", "0", "0")) is not None
    assert read_plain(numbers_in_a_body(*["9" * 15] * 4)) is not None


@pytest.mark.parametrize(
    ("place", "number"),
    [*itertools.product(range(4), ["", "00", "01", "-1", "1.0", str(2**53)]), (1, "0")],
)
def test_what_is_no_count_is_the_decoders(place: int, number: str) -> None:
    numbers = ["1"] * 4
    numbers[place] = number
    assert read_plain(numbers_in_a_body(*numbers)) is None


def test_no_beginning_of_a_body_is_plain() -> None:
    frames = [(kind, b"x" * length) for kind in KINDS for length in (0, 1, 127, 128)]
    body = encode([HEAD, document("section", 1, 0, 1), *frames, (BINARY, b"x" * 16384)])
    assert read_plain(body) is not None
    ends = [*range(1500), *range(len(body) - 100, len(body))]
    assert [end for end in ends if read_plain(body[:end]) is not None] == []
