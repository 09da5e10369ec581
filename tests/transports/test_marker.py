"""The marker is found, and nothing else of a query is touched."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulation.transports import marker as tested
from emulation.transports.marker import VERBS

KEY = "Ab3_-fghijklmnopqrstuv"
TICKET = "0123456789-_ABCDEFGHIJ"

identities = st.text("ABCXYZabcxyz0189-_", min_size=22, max_size=22)
verbs = st.sampled_from(VERBS)

# Any bytes between `&`s, with pieces of the marker to trip over. Parts that are whole markers would
# need 22 fitting characters in a row, which the lengths here do not allow.
parts = st.one_of(
    st.binary(max_size=30).map(lambda part: part.replace(b"&", b"")),
    st.sampled_from(
        [b"", b"emulation=x", b"emulation=", b"emulation=open.", b"=", b"a=1", b"emulation=sse.a.b"]
    ),
)


class Marker(NamedTuple):
    verb: str
    key: str
    ticket: str


def split_marker(query: bytes) -> tuple[Marker | None, bytes]:
    """Do it with a marker that can be compared."""
    found, rest = tested.split_marker(query)
    return None if found is None else Marker(found.verb, found.key, found.ticket), rest


def written(marker: Marker) -> bytes:
    tail = f".{marker.ticket}" if marker.ticket else ""
    return f"emulation={marker.verb}.{marker.key}{tail}".encode()


@st.composite
def markers(draw: st.DrawFn) -> Marker:
    verb = draw(verbs)
    return Marker(verb, draw(identities), draw(identities) if verb == "sse" else "")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_found(verb: str) -> None:
    marker = Marker(verb, KEY, TICKET if verb == "sse" else "")
    assert split_marker(written(marker)) == (marker, b"")


@pytest.mark.parametrize(
    ("query", "rest"),
    [
        (b"%b", b""),
        (b"a=1&%b", b"a=1"),
        (b"%b&b=2", b"b=2"),
        (b"a=1&%b&b=2", b"a=1&b=2"),
        (b"&%b", b""),
        (b"a=1&&%b", b"a=1&"),
        (b"%b&", b""),
        (b"%b&&b", b"&b"),
        (b"&&%b&&", b"&&&"),
        (b"emulation=x&%b", b"emulation=x"),
        (b"a=%%26&%b&c=%%zz+", b"a=%26&c=%zz+"),
    ],
)
def test_one_separator_goes_with_the_marker(query: bytes, rest: bytes) -> None:
    marker = Marker("open", KEY, "")
    assert split_marker(query % written(marker)) == (marker, rest)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "a=1",
        "emulation=x",
        "emulation=open",
        "emulation=open.",
        f"emulation=open.{KEY[:-1]}",
        f"emulation=open.{KEY}A",
        f"emulation=open.{KEY}.{TICKET}",
        f"emulation=sse.{KEY}",
        f"emulation=sse.{KEY}.{TICKET[:-1]}",
        f"emulation=sse.{KEY}.{TICKET}.{TICKET}",
        f"emulation=OPEN.{KEY}",
        f"Emulation=open.{KEY}",
        f"emulation=close.{KEY}",
        f"emulation=open.{KEY}\n",
        f"emulation=open.{KEY};a=1",
        f"emulation=open%2E{KEY}",
        f"%65mulation=open.{KEY}",
        f"emulation%3Dopen.{KEY}",
        f"emulation=open.{KEY[:-1]}%41",
        f"emulation=open.{KEY[:-1]}=",
        f"emulation=open.{KEY[:-1]}\xe9",
        f"xemulation=open.{KEY}",
        f" emulation=open.{KEY}",
        f"a=emulation=open.{KEY}",
        f"emulation=open.{KEY}&emulation=open.{KEY}",
        f"emulation=open.{KEY}&a=1&emulation=poll.{KEY}",
    ],
)
def test_anything_else_is_the_applications_own(query: str) -> None:
    raw = query.encode("latin-1")
    assert split_marker(raw) == (None, raw)


@given(st.lists(parts), st.lists(parts), markers())
def test_marker_comes_out_and_every_other_byte_stays(
    before: list[bytes], after: list[bytes], marker: Marker
) -> None:
    query = b"&".join([*before, written(marker), *after])
    assert split_marker(query) == (marker, b"&".join(before + after))


@given(st.lists(parts), st.lists(parts), st.lists(parts), markers(), markers())
def test_two_markers_are_none(
    before: list[bytes], between: list[bytes], after: list[bytes], one: Marker, other: Marker
) -> None:
    query = b"&".join([*before, written(one), *between, written(other), *after])
    assert split_marker(query) == (None, query)


@given(st.binary())
def test_query_without_a_marker_is_unchanged(query: bytes) -> None:
    assert split_marker(query) == (None, query)


@given(st.lists(parts), st.binary(min_size=1, max_size=3), markers())
def test_marker_with_something_more_is_no_marker(
    others: list[bytes], more: bytes, marker: Marker
) -> None:
    part = written(marker) + more.replace(b"&", b"+")
    query = b"&".join([*others, part])
    assert split_marker(query) == (None, query)
