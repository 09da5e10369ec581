"""Each fault of the peer has its status, its close code and its sentence, which is constant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from emulation.exceptions import LocalProtocolError, RemoteProtocolError
from emulation.protocol.close import parse_close
from emulation.protocol.codec import BinaryDecoder, JSONDecoder, frame_from_json
from emulation.protocol.connection import Connection, Limits
from emulation.protocol.frames import BINARY, BINARY_PART, CLOSE, TEXT, TEXT_PART, Frame
from emulation.protocol.handshake import parse_answer_head, parse_body, parse_request_head

LIMIT = 16
LIMITS = Limits(
    window_bytes=100, window_frames=8, max_message_size=50, part_size=10, close_timeout=10.0
)

# What a body says that is read in the binary form, and in the JSON form.
BINARY_FAULTS: list[tuple[bytes, int, int, str]] = [
    (b"\x00\x00", 400, 1002, "no such frame type"),
    (b"\x80\x00", 400, 1002, "no such frame type"),
    (b"\x02\x80\x01", 400, 1002, "a length is not in its shortest form"),
    (b"\x02\x81\x80\x80\x80\x80\x00", 400, 1002, "a length has more than five bytes"),
    (b"\x02\x11", 413, 1009, "a frame is over the limit"),
    (b'@\x09["end",1]', 400, 1002, "the body's count of bytes is wrong"),
    (b'@\x07["end"]', 400, 1002, "the body's count of bytes is wrong"),
    (b"@\x02[]", 400, 1002, "a document without a name"),
    (b'@\x05["e"]', 400, 1002, "a document without a name"),
    (b"@\x03[1]", 400, 1002, "a document without a name"),
    (b'@\x0a["ping"]\n]', 400, 1002, "not JSON in ASCII"),
    (b"@\x02{}", 400, 1002, "JSON that is not an array"),
]
JSON_FAULTS: list[tuple[bytes, int, int, str]] = [
    (b"[NaN]\n", 400, 1002, "not JSON"),
    (b"[\xc3]\n", 400, 1002, "not JSON in ASCII"),
    (b'["a"]x\n', 400, 1002, "not JSON in ASCII"),
    (b"\n", 400, 1002, "not JSON in ASCII"),
    (b"1\n", 400, 1002, "JSON that is not an array"),
    (b'[["end",1]]\n', 400, 1002, "the body's count of bytes is wrong"),
    (b'[["end"]]\n', 400, 1002, "the body's count of bytes is wrong"),
    (b'["a",["end",0]]\n', 400, 1002, "the body's count of bytes is wrong"),
    (b"[1]\n", 400, 1002, "an element that is no frame"),
    (b'[["t"]]\n', 400, 1002, "a part without its text"),
    (b'[["b"]]\n', 400, 1002, "bytes without their base64"),
    (b'[["p",1]]\n', 400, 1002, "bytes without their base64"),
    (b'[["b","AA-=="]]\n', 400, 1002, "bytes that are not base64"),
    (b'[["b","A"]]\n', 400, 1002, "bytes that are not base64"),
    (b'[["c","1000"]]\n', 400, 1002, "a close that is no close"),
    (b'["' + b"a" * 6 * LIMIT + b'"]\n', 413, 1009, "a line is over the limit"),
]
# What is said of a head and of sections, behind `read`.
Read = Callable[[list[Frame]], Any]
BODY_FAULTS: list[tuple[Read, list[Any], str]] = [
    (parse_request_head, [], "a body without a head"),
    (parse_request_head, ["text"], "a body without a head"),
    (parse_request_head, [["head"]], "unsupported wire version"),
    (parse_request_head, [["head", 2, "", 0, ""]], "unsupported wire version"),
    (parse_request_head, [["head", 1, "", 0]], "a head that is too short"),
    (parse_request_head, [["head", 1, "", -1, ""]], "a head that is no request's"),
    (parse_answer_head, [["head", 1, ""]], "a head that is too short"),
    (parse_answer_head, [["head", 1, "", -1]], "a head that is no answer's"),
    (parse_body, [["head"], "text"], "a numbered frame without a number"),
    (parse_body, [["head"], ["section", 1, 0, 0], "text"], "a numbered frame without a number"),
    (parse_body, [["head"], ["section", 1, 0]], "a section that is none"),
    (parse_body, [["head"], ["section", 0, 0, 0]], "a section that is none"),
    (parse_body, [["head"], ["section", 1, -1, 0]], "a section that is none"),
]
# What a connection is given to take.
FRAME_FAULTS: list[tuple[list[Frame], int, str]] = [
    ([(0x06, b"")], 1002, "a numbered frame of an unknown type"),
    ([(TEXT_PART, b"a"), (BINARY, b"b")], 1002, "parts of two kinds"),
    ([(TEXT_PART, b"a"), (BINARY_PART, b"b")], 1002, "parts of two kinds"),
    ([(BINARY, b"x" * 51)], 1009, "a message over the largest size"),
    ([(BINARY_PART, b"x" * 51)], 1009, "a message over the largest size"),
    ([(TEXT, b"\xff")], 1007, "a text that is not UTF-8"),
    ([(CLOSE, b"x")], 1002, "close frame of a wrong length"),
]
CLOSE_FAULTS: list[tuple[bytes, int, str]] = [
    (b"x", 1002, "close frame of a wrong length"),
    (b"\x03\xe8" + b"x" * 124, 1002, "close frame of a wrong length"),
    (b"\x03\xed", 1002, "close code that is never sent"),
    (b"\x03\xe8\xff", 1007, "close reason is not UTF-8"),
]


def fault(act: Callable[[], Any]) -> tuple[int, int, str]:
    with pytest.raises(RemoteProtocolError) as info:
        act()
    return info.value.status, info.value.close_code, info.value.text


@pytest.mark.parametrize(("body", "status", "code", "sentence"), BINARY_FAULTS)
def test_a_fault_in_the_binary_form(body: bytes, status: int, code: int, sentence: str) -> None:
    assert fault(lambda: BinaryDecoder(LIMIT).feed(body)) == (status, code, sentence)


@pytest.mark.parametrize(("body", "status", "code", "sentence"), JSON_FAULTS)
def test_a_fault_in_the_json_form(body: bytes, status: int, code: int, sentence: str) -> None:
    assert fault(lambda: JSONDecoder(LIMIT).feed(body)) == (status, code, sentence)


@pytest.mark.parametrize(("read", "elements", "sentence"), BODY_FAULTS)
def test_a_fault_in_what_a_body_says(read: Read, elements: list[Any], sentence: str) -> None:
    frames = [frame_from_json(element) for element in elements]
    assert fault(lambda: read(frames)) == (400, 1002, sentence)


@pytest.mark.parametrize(("frames", "code", "sentence"), FRAME_FAULTS)
def test_a_fault_of_a_frame(frames: list[Frame], code: int, sentence: str) -> None:
    assert fault(lambda: Connection(LIMITS).take(1, frames)) == (400, code, sentence)


@pytest.mark.parametrize(("payload", "code", "sentence"), CLOSE_FAULTS)
def test_a_fault_of_a_close(payload: bytes, code: int, sentence: str) -> None:
    assert fault(lambda: parse_close(payload)) == (400, code, sentence)


def test_an_acknowledgement_of_what_was_never_sent() -> None:
    connection = Connection(LIMITS)
    connection.send("numbered, and not sent")
    sentence = "an acknowledgement of what was never sent"
    assert fault(lambda: connection.take_ack(1)) == (400, 1002, sentence)


def send_after_close(connection: Connection) -> None:
    connection.send_close(0.0)
    connection.send("late")


APPLICATION_FAULTS: list[tuple[Callable[[Connection], None], str]] = [
    (lambda own: own.send("\ud800"), "a text with a lone surrogate is not Unicode"),
    (send_after_close, "a message after the close"),
    (lambda own: own.send_close(0.0, None, "why"), "a close reason needs a close code"),
    (
        lambda own: own.send_close(0.0, 1006),
        "close code 1006 may not be sent; use 1000, 1001 to 1014 (not 1004 to 1006), or 3000 to"
        " 4999",
    ),
    (
        lambda own: own.send_close(0.0, 1000, "\ud800"),
        "a reason with a lone surrogate is not Unicode",
    ),
    (
        lambda own: own.send_close(0.0, 1000, "x" * 124),
        "a close reason has at most 123 bytes of UTF-8, this one 124",
    ),
    (
        lambda own: own.send("x" * 51),
        "a message of 51 bytes is over max_message_size = 50: send less at once, or raise it in"
        " Config",
    ),
]


@pytest.mark.parametrize(("act", "sentence"), APPLICATION_FAULTS)
def test_a_fault_of_the_application(act: Callable[[Connection], None], sentence: str) -> None:
    with pytest.raises(LocalProtocolError) as info:
        act(Connection(LIMITS))
    assert str(info.value) == sentence
