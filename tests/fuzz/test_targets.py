"""Every target with the kept corpus, and with a bounded number of new inputs.

`python -m tests.fuzz TARGET --seconds 600` looks for more, guided by coverage.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from emulation.protocol.codec import BinaryEncoder, Encoder, JSONEncoder
from emulation.protocol.frames import CLOSE, TEXT, Frame, document
from tests.fuzz import corpus
from tests.fuzz.targets import TARGETS, close_surface

KEY = "K" * 22


@pytest.fixture(scope="module", autouse=True)
def ended() -> Iterator[None]:
    yield
    close_surface()


documents = st.sampled_from(
    ["head", "section", "open", "cancel", "last", "credit", "end", "ping", "ack", "resumed", "gone"]
)
elements = st.none() | st.booleans() | st.integers(-2, 2**54) | st.floats() | st.text(max_size=30)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Make a body that is nearly right, and then cut, or spoil a byte of it."""
    said: list[Frame] = [document("head", 1, "", draw(st.integers(0, 3)), "")]
    for name in draw(st.lists(documents, max_size=4)):
        said.append(document(name, *draw(st.lists(elements, max_size=4))))
        said += draw(st.lists(st.sampled_from([(TEXT, b"x"), (CLOSE, b"\x03\xe8")]), max_size=3))
    encoder: Encoder = BinaryEncoder() if draw(st.booleans()) else JSONEncoder()
    body = bytearray(encoder.encode(said) + encoder.end())
    if draw(st.booleans()):
        body[draw(st.integers(0, len(body) - 1))] = draw(st.integers(0, 255))
    return bytes(body[: draw(st.integers(1, len(body)))])


@pytest.mark.parametrize("name", TARGETS)
def test_corpus(name: str) -> None:
    for data in corpus.read(name):
        TARGETS[name](data)


@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes(name: str) -> None:
    @settings(max_examples=200, deadline=None, derandomize=True, database=None)
    @example(b"")
    @given(st.binary(max_size=300))
    def look(data: bytes) -> None:
        TARGETS[name](data)

    look()


@pytest.mark.parametrize("name", ["body", "http"])
def test_bodies_that_are_nearly_right(name: str) -> None:
    @settings(max_examples=200, deadline=None, derandomize=True, database=None)
    @given(st.binary(min_size=2, max_size=2), bodies())
    def look(prefix: bytes, body: bytes) -> None:
        TARGETS[name](prefix + body if name == "http" else body)

    look()
