"""The plain form of a request is read as the decoder reads it, or left to the decoder."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from emulation.protocol.codec import BinaryEncoder, decode_body
from emulation.protocol.frames import BINARY, CLOSE, TEXT, TEXT_PART, Frame, document
from emulation.protocol.handshake import parse_body, parse_request_head
from emulation.protocol.requests import Request, read_plain

LIMIT = 1 << 20
SECRET, NODE, NONCE = "s" * 32, "node-1", "n" * 22

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
    return request.head, read, said(request.documents), request.is_ended


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
    head = document("head", 1, SECRET, 12, NODE)
    rest = [document("section", number, 0, 0, NONCE) for number in range(2, 2 + more)]
    first = 7 if payloads else 0
    frames = [(BINARY, payload) for payload in payloads]
    body = encode([head, document("section", 1, 5, first), *frames, *rest])
    request = read_plain(body)
    assert request is not None
    assert request.head == (SECRET, 12, NODE)
    assert request.sections[0].frames == frames
    assert [one.nonce for one in request.sections[1:]] == [NONCE] * more
