"""The two forms of a body, exactly and under every cutting."""

from __future__ import annotations

import itertools
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulation.exceptions import RemoteProtocolError
from emulation.protocol.codec import (
    BinaryDecoder,
    BinaryEncoder,
    Decoder,
    Encoder,
    JSONDecoder,
    JSONEncoder,
    decode_body,
    frame_from_json,
    frame_to_json,
)
from emulation.protocol.frames import (
    BINARY,
    BINARY_PART,
    CLOSE,
    DOCUMENT,
    LAST_NUMBERED,
    TEXT,
    TEXT_PART,
    Frame,
    document,
)
from tests.protocol.vectors import cases

FORMS = pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
LIMIT = 1 << 20


def decoder(binary: bool, limit: int = LIMIT) -> Decoder:
    return BinaryDecoder(limit) if binary else JSONDecoder(limit)


def encoder(binary: bool) -> Encoder:
    return BinaryEncoder() if binary else JSONEncoder()


def outgoing(element: Any) -> Frame:
    """Make the frame to send of an element: a document is JSON text on its way out."""
    kind, payload = frame_from_json(element)
    return document(*payload) if kind == DOCUMENT else (kind, payload)


def read(frames: list[Frame]) -> list[Frame]:
    """Turn outgoing frames into what a decoder makes of them."""
    return [(kind, json.loads(p) if kind == DOCUMENT else p) for kind, p in frames]


def without_end(frames: list[Frame]) -> list[Frame]:
    return [frame for frame in frames if frame[0] != DOCUMENT or frame[1][0] != "end"]


def write(binary: bool, frames: list[Frame], per_call: int = 3) -> bytes:
    writer = encoder(binary)
    calls = [frames[i : i + per_call] for i in range(0, len(frames), per_call)]
    return b"".join([*map(writer.encode, calls), writer.end()])


# --- The examples of the wire ---------------------------------------------------------------------


@pytest.mark.parametrize("case", cases("frames"))
def test_a_frame_has_its_form_in_binary_and_in_json(case: Any) -> None:
    frame = outgoing(case["element"])
    assert frame[0] == case["type"]
    assert BinaryEncoder().encode([frame]).hex() == case["binary"]
    assert frame[1].hex() == case["payload"]
    assert frame_to_json(frame).decode() == case["json"]
    assert frame_to_json(read([frame])[0]) == frame_to_json(frame)
    assert BinaryDecoder(LIMIT).feed(bytes.fromhex(case["binary"])) == read([frame])
    assert JSONDecoder(LIMIT).feed(f"[{case['json']}]\n".encode()) == read([frame])


@pytest.mark.parametrize("case", cases("lengths"))
def test_a_length_has_its_shortest_form(case: Any) -> None:
    class Length(bytes):
        def __len__(self) -> int:
            return length

    length: int = case["length"]
    head = bytes.fromhex(case["head"])
    assert BinaryEncoder().encode([(BINARY, Length())]).hex() == case["head"]
    reader = BinaryDecoder(length)
    assert reader.feed(head) == ([] if length else [(BINARY, b"")])
    if length:
        with pytest.raises(RemoteProtocolError) as info:
            BinaryDecoder(length - 1).feed(head)
        assert (info.value.status, info.value.close_code) == (413, 1009)


@pytest.mark.parametrize("case", cases("bodies"))
@FORMS
def test_a_body_is_written_and_read_exactly(case: Any, binary: bool) -> None:
    body = bytes.fromhex(case["binary"]) if binary else case["json"].encode("ascii")
    lines = [[outgoing(element) for element in line] for line in case["lines"]]
    writer = encoder(binary)
    assert b"".join([*map(writer.encode, lines), writer.end()]) == body
    assert (writer.frames, writer.size) == (case["frames"], len(body))
    expected = [frame for line in lines for frame in read(line)]
    reader = decoder(binary)
    assert without_end(reader.feed(body)) == expected
    assert (reader.frames, reader.ended) == (case["frames"], True)
    frames, ended = decode_body(body, binary=binary, limit=LIMIT)
    assert (without_end(frames), ended) == (expected, True)


@pytest.mark.parametrize("case", cases("malformed"))
def test_a_body_gets_its_verdict(case: Any) -> None:
    binary, verdict, limit = case["form"] == "binary", case["verdict"], case["limit"]
    body = bytes.fromhex(case["body"]) if binary else case["body"].encode()
    reader = decoder(binary, limit)
    taken: list[Frame] = []
    status = None
    try:
        for index in range(len(body)):
            taken += reader.feed(body[index : index + 1])
    except RemoteProtocolError as error:
        status = error.status
    expected_status = {"malformed": 400, "wrong count": 400, "too large": 413}.get(verdict)
    assert status == expected_status
    assert without_end(taken) == [frame_from_json(element) for element in case["whole"]]
    assert reader.ended == (verdict in ("fine", "skipped"))
    if expected_status is None:
        frames, ended = decode_body(body, binary=binary, limit=limit)
        assert (frames, ended) == (taken, reader.ended)
    else:
        with pytest.raises(RemoteProtocolError) as info:
            decode_body(body, binary=binary, limit=limit)
        assert info.value.status == expected_status


# --- Any frames, any cutting ----------------------------------------------------------------------

TEXTS = st.text(max_size=300).map(str.encode)
BYTES = st.binary(max_size=300)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
DOCUMENTS = st.builds(
    lambda name, values: document(name, *values),
    st.text(min_size=2, max_size=9).filter(lambda name: name != "end"),
    st.lists(VALUES, max_size=3),
)
CLOSES = st.builds(
    lambda code, reason: code.to_bytes(2, "big") + reason.encode(),
    st.integers(0, 0xFFFF),
    st.text(max_size=30),
)
FRAMES = st.one_of(
    st.tuples(st.sampled_from([TEXT, TEXT_PART]), TEXTS),
    st.tuples(st.sampled_from([BINARY, BINARY_PART]), BYTES),
    st.tuples(st.just(CLOSE), CLOSES | st.just(b"")),
    DOCUMENTS,
)


@FORMS
@given(st.lists(FRAMES, max_size=8), st.lists(st.integers(0, 1 << 16), max_size=12))
def test_any_cutting_of_a_body_gives_the_same_frames(
    binary: bool, frames: list[Frame], cuts: list[int]
) -> None:
    body = write(binary, frames)
    at = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    reader = decoder(binary)
    taken: list[Frame] = []
    for start, end in itertools.pairwise(at):
        taken += reader.feed(body[start:end])
    assert without_end(taken) == read(frames)
    assert (reader.frames, reader.ended) == (len(frames) + 1, True)


@given(st.lists(FRAMES, max_size=8), st.integers(0, 1 << 16))
def test_a_cut_binary_body_keeps_exactly_the_frames_that_came_whole(
    frames: list[Frame], cut: int
) -> None:
    ends = [len(BinaryEncoder().encode(frames[: count + 1])) for count in range(len(frames))]
    body = write(True, frames)
    size = cut % len(body)
    taken, ended = decode_body(body[:size], binary=True, limit=LIMIT)
    assert taken == read(frames[: sum(end <= size for end in ends)])
    assert not ended


@given(st.lists(FRAMES, max_size=8), st.integers(0, 1 << 16))
def test_a_cut_json_body_keeps_exactly_the_lines_that_came_whole(
    frames: list[Frame], cut: int
) -> None:
    body = write(False, frames, per_call=2)
    size = cut % len(body)
    taken, ended = decode_body(body[:size], binary=False, limit=LIMIT)
    assert taken == read(frames[: body[:size].count(b"\n") * 2])
    assert not ended


@FORMS
@given(st.lists(FRAMES, max_size=5), st.integers(0), st.integers(1, 255), st.integers(0, 3))
def test_a_changed_byte_is_at_most_a_fault_of_the_peer(
    binary: bool, frames: list[Frame], place: int, change: int, cutting: int
) -> None:
    body = bytearray(write(binary, frames))
    body[place % len(body)] ^= change
    reader = decoder(binary)
    half = place * cutting % len(body)
    try:
        reader.feed(bytes(body[:half]))
        reader.feed(bytes(body[half:]))
    except RemoteProtocolError as error:
        assert error.status in (400, 413)


@FORMS
@given(st.binary(max_size=200))
def test_noise_is_at_most_a_fault_of_the_peer(binary: bool, noise: bytes) -> None:
    try:
        decode_body(noise, binary=binary, limit=LIMIT)
    except RemoteProtocolError as error:
        assert error.status in (400, 413)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    )
)
def test_any_element_is_a_frame_or_a_fault_of_the_peer(element: Any) -> None:
    try:
        kind, payload = frame_from_json(element)
    except RemoteProtocolError as error:
        assert (error.status, error.close_code) == (400, 1002)
    else:
        assert type(payload) is (list if kind == DOCUMENT else bytes)


# --- Bounds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", ["\x29", "\x81\x00", "\xff\xff\xff\xff\x7f"])
def test_a_binary_frame_over_the_limit_is_refused_before_it_comes(length: str) -> None:
    reader = BinaryDecoder(40)
    reader.feed(b"\x02" + length[:-1].encode("latin-1"))
    with pytest.raises(RemoteProtocolError) as info:
        reader.feed(length[-1].encode("latin-1"))
    assert (info.value.status, info.value.close_code) == (413, 1009)


@pytest.mark.parametrize("chunk", [1, 7, 241])
def test_a_json_line_over_its_limit_is_refused_before_its_end(chunk: int) -> None:
    reader = JSONDecoder(40)
    text = b'["' + b"a" * 239
    with pytest.raises(RemoteProtocolError) as info:
        for start in range(0, len(text), chunk):
            reader.feed(text[start : start + chunk])
    assert (info.value.status, info.value.close_code) == (413, 1009)


@FORMS
def test_what_waits_for_its_end_takes_no_more_room_than_it_has(binary: bool) -> None:
    size = 1 << 16
    reader = decoder(binary, size)
    head = b"\x02\x84\x80\x00" if binary else b'["'
    reader.feed(head)
    piece = b"a"
    tracemalloc.start()
    try:
        for _ in range(size - 1):
            assert reader.feed(piece) == []
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A bytearray that grows has an eighth more than it needs.
    assert held < size * 1.25


@FORMS
def test_a_byte_does_not_copy_all_that_came_before_it(binary: bool) -> None:
    """Reckoned by what is allocated, and not by the clock."""
    size = 1 << 18
    reader = decoder(binary, size)
    reader.feed(b"\x02\x90\x80\x00" if binary else b'["')
    reader.feed(b"a" * (size - 2000))
    allocated = 0
    tracemalloc.start()
    try:
        for _ in range(1000):
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            assert reader.feed(b"a") == []
            allocated += tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert allocated < 4 * size


@pytest.mark.parametrize("depth", [1_000, 100_000])
@pytest.mark.parametrize("brackets", ["[]", '{"a":}'])
def test_deep_nesting_is_a_fault_of_the_peer_or_a_skipped_element(
    depth: int, brackets: str
) -> None:
    text = '["ping",' + brackets[:-1] * depth + "0" + brackets[-1] * depth + "]"
    for body, binary in ((f"[{text}]\n", False), (text, True)):
        data = body.encode()
        if binary:
            data = BinaryEncoder().encode([(DOCUMENT, data)])
        try:
            ((kind, payload),), _ = decode_body(data, binary=binary, limit=1 << 20)
        except RemoteProtocolError as error:
            assert error.status == 400
        else:
            assert (kind, payload[0]) == (DOCUMENT, "ping")


def test_a_huge_integer_is_a_fault_of_the_peer() -> None:
    for digits in ("9" * 100_000, "-" + "9" * 100_000):
        with pytest.raises(RemoteProtocolError):
            decode_body(f'[["ack",{digits}]]\n'.encode(), binary=False, limit=1 << 20)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "nan", "01", "+1", ".5", "0x1"])
def test_numbers_that_are_no_json_are_a_fault_of_the_peer(number: str) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_body(f'[["ack",{number}]]\n'.encode(), binary=False, limit=LIMIT)


def test_the_last_of_two_equal_names_counts() -> None:
    (frame,), _ = decode_body(b'[["opened",{"a":1,"a":2}]]\n', binary=False, limit=LIMIT)
    assert frame == (DOCUMENT, ["opened", {"a": 2}])


# --- What is left of the branches -----------------------------------------------------------------


@FORMS
def test_nothing_is_read_behind_the_end(binary: bool) -> None:
    reader = decoder(binary)
    body = write(binary, [(TEXT, b"x")])
    reader.feed(body)
    assert reader.feed(b"\x00\xff\n[") == []
    assert reader.feed(b"rubbish") == []
    assert reader.frames == 2


def test_a_numbered_frame_of_a_later_version_keeps_its_place() -> None:
    data = BinaryEncoder().encode([(LAST_NUMBERED, b"later"), (0x06, b"")])
    assert BinaryDecoder(LIMIT).feed(data) == [(LAST_NUMBERED, b"later"), (0x06, b"")]
    assert frame_from_json(["z", 1]) == (LAST_NUMBERED, b"")


def test_skipped_frames_are_counted() -> None:
    reader = BinaryDecoder(LIMIT)
    assert reader.feed(b"\x41\x01x\x7f\x00") == []
    assert reader.frames == 2


def test_a_line_that_has_grown_long_is_ended() -> None:
    half = "x" * 2048
    frames = [(TEXT, half.encode())] * 3 + [document("ping")]
    writer = JSONEncoder()
    lines = writer.encode(frames).splitlines()
    assert [json.loads(line) for line in lines] == [[half, half], [half, ["ping"]]]
    assert JSONDecoder(LIMIT).feed(writer.encode(frames)) == read(frames)
    assert len(writer.encode(frames[:2]).splitlines()) == 1
    assert writer.frames == 10


def test_a_line_without_frames_is_not_written() -> None:
    writer = JSONEncoder()
    assert writer.encode([]) == b""
    assert (writer.frames, writer.size) == (0, 0)


def test_a_line_is_ended_where_it_grows_long() -> None:
    writer = JSONEncoder()
    short, long = (TEXT, b"x" * 1_500), (BINARY, b"x" * 60_000)
    data = writer.encode([short, short, short, short, long, short])
    lines = data.splitlines(keepends=True)
    assert [len(json.loads(line)) for line in lines] == [3, 2, 1]
    assert (writer.frames, writer.size) == (6, len(data))
    reader = JSONDecoder(LIMIT)
    assert reader.feed(data + writer.end())[:-1] == [short, short, short, short, long, short]


def test_a_lone_surrogate_passes_the_codec_as_bytes_that_are_no_utf_8() -> None:
    for text in ("\ud800", "a\udfffb"):
        for element in (text, ["t", text], ["c", 1000, text]):
            with pytest.raises(UnicodeDecodeError):
                frame_from_json(element)[1].decode()


@pytest.mark.parametrize("reason", ["", "x", "xy"])
def test_a_reason_of_any_length_is_written_in_json(reason: str) -> None:
    payload = b"\x03\xe8" + reason.encode()
    assert frame_from_json(json.loads(frame_to_json((CLOSE, payload)))) == (CLOSE, payload)


def test_a_code_of_two_bytes_is_a_close_whatever_it_means() -> None:
    assert frame_from_json(["c", 0xFFFF]) == (CLOSE, b"\xff\xff")
    with pytest.raises(RemoteProtocolError):
        frame_from_json(["c", 0x10000])


@pytest.mark.parametrize(("size", "lines"), [(4095, [2, 2]), (4096, [1, 2, 1])])
def test_a_line_is_ended_by_the_frame_with_which_its_frames_have_4096_bytes(
    size: int, lines: list[int]
) -> None:
    long: Frame = (TEXT, b"x" * (size - len('""')))
    written = JSONEncoder().encode([long, (TEXT, b""), long, (TEXT, b"")])
    assert [len(json.loads(line)) for line in written.splitlines()] == lines


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_a_body_may_be_written_with_its_end_at_once(binary: bool) -> None:
    frames = [(TEXT, b"x" * 200), (BINARY, b"y"), (BINARY, b"z" * 20_000)]
    apart = BinaryEncoder() if binary else JSONEncoder()
    at_once = BinaryEncoder() if binary else JSONEncoder()
    body = apart.encode(frames[:1]) + apart.encode(frames[1:]) + apart.end()
    assert at_once.encode(frames[:1]) + at_once.encode(frames[1:], is_last=True) == body
    assert (at_once.frames, at_once.size) == (apart.frames, apart.size) == (4, len(body))


def test_white_space_around_a_line_is_json() -> None:
    decoder = JSONDecoder(1 << 16)
    assert decoder.feed(b' [ "one" ] \n["two"]\t\n') == [(TEXT, b"one"), (TEXT, b"two")]
