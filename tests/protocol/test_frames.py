"""The numbers of the wire, and documents."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from emulation.protocol import frames
from emulation.protocol.frames import DOCUMENT, body_end, counts, credit, document, section


def test_the_numbers_are_those_of_the_wire() -> None:
    assert frames.WIRE_VERSION == 1
    assert (frames.TEXT, frames.BINARY) == (0x01, 0x02)
    assert (frames.TEXT_PART, frames.BINARY_PART) == (0x03, 0x04)
    assert (frames.CLOSE, frames.LAST_NUMBERED, frames.DOCUMENT) == (0x05, 0x3F, 0x40)


def test_a_document_is_ascii_and_as_short_as_may_be() -> None:
    assert document("ping") == (DOCUMENT, b'["ping"]')
    assert document("opened", 1, "é", {"a": [None, True]}) == (
        DOCUMENT,
        b'["opened",1,"\\u00e9",{"a":[null,true]}]',
    )


@given(st.lists(st.integers() | st.text() | st.none() | st.booleans(), max_size=5))
def test_a_document_reads_back(elements: list[object]) -> None:
    kind, payload = document("name", *elements)
    assert (kind, json.loads(payload)) == (DOCUMENT, ["name", *elements])
    assert payload.isascii()


def test_a_document_of_counts_is_written_as_any_other() -> None:
    assert counts("credit", 1, 22, 2**53 - 1) == document("credit", 1, 22, 2**53 - 1)


def test_a_section_is_written_as_any_other_document() -> None:
    assert section(1, 0, 2**53 - 1) == document("section", 1, 0, 2**53 - 1)


def test_credit_and_the_end_are_written_as_any_other_document() -> None:
    assert credit((1, 2**53 - 1)) == document("credit", 1, 2**53 - 1)
    assert body_end(2**53 - 1) == document("end", 2**53 - 1)
