"""Heads, sections, and the names in URLs."""

from __future__ import annotations

import base64
import os
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulation.exceptions import RemoteProtocolError
from emulation.protocol.codec import decode_body, frame_from_json
from emulation.protocol.frames import Frame
from emulation.protocol.handshake import (
    AnswerHead,
    Body,
    RequestHead,
    Section,
    is_count,
    is_key,
    is_nonce,
    is_ours,
    is_token,
    parse_answer_head,
    parse_body,
    parse_request_head,
    parse_section,
)
from tests.protocol.vectors import cases

KEY = "AbCdEfGhIjKlMnOpQrStUv"


def frames(*elements: Any) -> list[Frame]:
    return [frame_from_json(element) for element in elements]


def plain(section: Section) -> tuple[int, int, int, list[Frame], list[list[Any]]]:
    return section.socket, section.ack, section.first, section.frames, section.documents


# --- Names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["chat.v2", "!#$%&'*+-.^_`|~09azAZ"])
def test_a_token(text: str) -> None:
    assert is_token(text)


@pytest.mark.parametrize("text", ["", "a b", "a,", "a\n", "é", "a/b", '"a"'])
def test_what_is_no_token(text: str) -> None:
    assert not is_token(text)


def test_a_key_is_128_bits_in_base64url() -> None:
    for _ in range(20):
        assert is_key(base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("="))
    assert is_nonce(KEY)


@pytest.mark.parametrize(
    "text",
    ["", KEY[:-1], KEY + "A", KEY + "\n", KEY[:-1] + "\n", " " + KEY[1:], "é" + KEY[1:]]
    + [KEY[:-1] + "٣", KEY[:-1] + "="]
    + [
        KEY[:-1] + letter
        for letter in string.punctuation.translate({ord("-"): None, ord("_"): None})
    ],
)
def test_what_is_no_key(text: str) -> None:
    assert not is_key(text)


@pytest.mark.parametrize("value", [0, 1, 2**53 - 1])
def test_a_count(value: object) -> None:
    assert is_count(value)


@pytest.mark.parametrize("value", [-1, 2**53, 10**30, True, False, 1.0, "1", None, [], [1]])
def test_what_is_no_count(value: object) -> None:
    assert not is_count(value)


@pytest.mark.parametrize("offered", ["emulation.resume", "emulation." + KEY])
def test_a_subprotocol_of_ours(offered: str) -> None:
    assert is_ours(offered)


@pytest.mark.parametrize(
    "offered",
    [
        *("", "chat", "emulation", "emulation.", "emulation.resumed", "Emulation.resume", "resume"),
        *(KEY, "chat." + KEY, "xmulation." + KEY, "emulation." + KEY[1:], f" emulation.{KEY}"),
    ],
)
def test_a_subprotocol_of_the_applications(offered: str) -> None:
    assert not is_ours(offered)


# --- Heads ----------------------------------------------------------------------------------------


def told(head: RequestHead) -> tuple[str, int, str]:
    return head.secret, head.number, head.node


def test_the_head_of_a_request_is_read() -> None:
    for more in ([], ["later", {}]):
        head = ["head", 1, "secret", 7, "node-1", *more]
        assert told(parse_request_head(frames(head, "x"))) == ("secret", 7, "node-1")
    assert told(parse_request_head(frames(["head", 1, "", 0, ""]))) == ("", 0, "")


def test_the_head_of_an_answer_is_read() -> None:
    for more in ([], ["later"]):
        assert parse_answer_head(frames(["head", 1, KEY, 7, *more])) == AnswerHead(KEY, 7)


@pytest.mark.parametrize(
    "elements",
    [
        [],
        ["head"],
        [["b", ""]],
        [["section", 1, 0, 0]],
        [["c"]],
        [["ping"], ["head", 1, "", 1, ""]],
    ],
)
def test_a_body_that_does_not_begin_with_a_head(elements: list[Any]) -> None:
    for parse in (parse_request_head, parse_answer_head):
        with pytest.raises(RemoteProtocolError, match="without a head") as info:
            parse(frames(*elements))
        assert (info.value.status, info.value.close_code) == (400, 1002)


@pytest.mark.parametrize("version", [[], [0], [2], ["1"], [True], [1.0], [None], [[1]]])
def test_another_version_is_told_from_a_malformed_head(version: list[Any]) -> None:
    for parse in (parse_request_head, parse_answer_head):
        with pytest.raises(RemoteProtocolError, match="unsupported wire version"):
            parse(frames(["head", *version, *(["", 1, ""] if version else [])]))


@pytest.mark.parametrize(
    "rest",
    [
        [],
        [""],
        ["", 1],
        [None, 1, ""],
        [1, 1, ""],
        ["é", 1, ""],
        ["\ud800", 1, ""],
        ["", -1, ""],
        ["", "1", ""],
        ["", True, ""],
        ["", 1.5, ""],
        ["", 2**53, ""],
        ["", 1, None],
        ["", 1, 1],
        ["", 1, "knöten"],
    ],
)
def test_a_head_that_is_no_requests(rest: list[Any]) -> None:
    with pytest.raises(RemoteProtocolError) as info:
        parse_request_head(frames(["head", 1, *rest]))
    assert info.value.status == 400
    assert "version" not in info.value.text


@pytest.mark.parametrize(
    "rest", [[], [KEY], [1, 1], [None, 1], ["\ud800", 1], [KEY, -1], [KEY, "1"], [KEY, None]]
)
def test_a_head_that_is_no_answers(rest: list[Any]) -> None:
    with pytest.raises(RemoteProtocolError) as info:
        parse_answer_head(frames(["head", 1, *rest]))
    assert info.value.status == 400
    assert "version" not in info.value.text


# --- Sections -------------------------------------------------------------------------------------


def test_a_body_is_sorted_into_sections() -> None:
    body = parse_body(
        frames(
            ["head", 1, "", 1, ""],
            ["written", 1, 2],
            ["section", 1, 2, 3],
            "x",
            ["credit", 1, 2],
            ["b", "AA=="],
            ["section", 2, 0, 0],
            ["last", 0],
            ["section", 1, 2, 5],
            ["z"],
            ["end", 99],
        )
    )
    assert body.documents == [["written", 1, 2]]
    assert list(map(plain, body.sections)) == [
        (1, 2, 3, frames("x", ["b", "AA=="]), [["credit", 1, 2]]),
        (2, 0, 0, [], [["last", 0]]),
        (1, 2, 5, frames(["z"]), [["end", 99]]),
    ]


def test_a_body_of_nothing_but_a_head() -> None:
    assert parse_body(frames(["head", 1, "", 1, ""])) == Body([], [])


@pytest.mark.parametrize(
    "elements",
    [["x"], [["ping"], ["c"]], [["section", 1, 0, 0], "x"], [["section", 1, 0, 0], ["z"]]],
)
def test_a_numbered_frame_without_a_number(elements: list[Any]) -> None:
    with pytest.raises(RemoteProtocolError, match="without a number") as info:
        parse_body(frames(["head", 1, "", 1, ""], *elements))
    assert info.value.status == 400


@pytest.mark.parametrize(
    "elements",
    [
        [],
        [1],
        [1, 0],
        [0, 0, 0],
        [-1, 0, 0],
        [1, -1, 0],
        [1, 0, -1],
        [1, 0, 2**53],
        ["1", 0, 0],
        [1, "0", 0],
        [1, 0, None],
        [True, 0, 0],
        [1, 0.0, 0],
        [[], 0, 0],
    ],
)
def test_a_section_that_is_none(elements: list[Any]) -> None:
    with pytest.raises(RemoteProtocolError) as info:
        parse_section(["section", *elements])
    assert (info.value.status, info.value.close_code) == (400, 1002)


def test_a_section_may_have_elements_of_later_versions() -> None:
    assert plain(parse_section(["section", 3, 2, 1, "later"])) == (3, 2, 1, [], [])


@pytest.mark.parametrize("case", cases("bodies"))
def test_the_bodies_of_the_examples_have_heads_and_sections(case: Any) -> None:
    read, ended = decode_body(case["json"].encode(), binary=False, limit=1 << 20)
    assert ended
    head = case["lines"][0][0]
    if case["side"] == "page":
        assert told(parse_request_head(read)) == tuple(head[2:5])
    else:
        assert parse_answer_head(read) == AnswerHead(*head[2:4])
    elements = [element for line in case["lines"] for element in line]
    sections = [element for element in elements if element[0] == "section"]
    body = parse_body(read)
    assert [(s.socket, s.ack, s.first) for s in body.sections] == [tuple(e[1:4]) for e in sections]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3),
)
NAMES = st.sampled_from(["head", "section", "end", "ping", "c", "b", "t"])


@given(st.lists(st.builds(lambda name, rest: [name, *rest], NAMES, st.lists(JSON, max_size=4))))
def test_any_body_is_understood_or_a_fault_of_the_peer(elements: list[Any]) -> None:
    try:
        read = frames(["head", 1, "", 1, ""], *elements)
        body = parse_body(read)
    except RemoteProtocolError as error:
        assert error.status == 400
    else:
        sorted_frames = sum(len(s.frames) + len(s.documents) + 1 for s in body.sections)
        assert sorted_frames + len(body.documents) == len(elements)


@pytest.mark.parametrize(
    ("rest", "nonce"),
    [
        ([], ""),
        (["N" * 22], "N" * 22),
        ([7], ""),
        ([None, "N" * 22], ""),
        (["N" * 22, 7], "N" * 22),
    ],
)
def test_a_section_may_name_its_nonce(rest: list[Any], nonce: str) -> None:
    assert parse_section(["section", 1, 2, 3, *rest]).nonce == nonce
