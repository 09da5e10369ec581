"""Bodies to frames and back, in the binary and the JSON form (docs/protocol.md section 3).

Both decoders are incremental: they are fed what came, in any cutting, and answer with the frames
that are whole. They check lengths before they keep anything, the count in `end`, and nothing about
the meaning of a frame: a text that is not UTF-8 is one session's fault, not the body's.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from emulation.exceptions import RemoteProtocolError
from emulation.protocol.close import CloseCode
from emulation.protocol.frames import (
    BINARY,
    BINARY_PART,
    CLOSE,
    DOCUMENT,
    LAST_NUMBERED,
    TEXT,
    TEXT_PART,
    Frame,
    body_end,
)

__all__ = [
    "BinaryDecoder",
    "BinaryEncoder",
    "Decoder",
    "Encoder",
    "JSONDecoder",
    "JSONEncoder",
    "decode_body",
    "frame_from_json",
    "frame_to_json",
]

# At most five bytes of seven bits each; what is declared is checked against the limit anyway.
_MAX_LENGTH_BYTES: Final = 5
# The kind of a numbered frame of a later version, when it came in the JSON form.
_UNKNOWN_NUMBERED: Final = LAST_NUMBERED
# A frame's JSON may be six times its text (`\uXXXX` for each character).
_JSON_EXPANSION: Final = 6
# A line that has grown so long is ended (section 3). Of a body that is cut whole lines count, and
# there are proxies that cut each one: a line longer than what they pass would never arrive.
_LONG_LINE: Final = 4 * 1024


def _malformed(text: str) -> RemoteProtocolError:
    return RemoteProtocolError(400, CloseCode.PROTOCOL_ERROR, text)


def _refuse_constant(name: str) -> None:
    # Python reads NaN and Infinity, which are no JSON (RFC 8259 section 6).
    raise _malformed("not JSON")


_encode_json = json.JSONEncoder(separators=(",", ":")).encode
_encode_string = json.encoder.encode_basestring_ascii
_decoder = json.JSONDecoder(parse_constant=_refuse_constant)
# The part of `decode` that is written in C.
_scan: Callable[[str, int], tuple[Any, int]] = _decoder.scan_once  # type: ignore[attr-defined]


class Encoder(Protocol):
    """Write one body: count its frames and bytes, and end it."""

    frames: int
    size: int

    def encode(self, frames: Iterable[Frame], *, is_last: bool = False) -> bytes:
        """Return the frames' bytes; behind the last ones stands the body's end."""

    def end(self) -> bytes:
        """Return the body's end alone."""


class Decoder(Protocol):
    """Read one body; `frames` counts what came whole and `ended` says that `end` came."""

    frames: int
    ended: bool

    def feed(self, data: bytes) -> list[Frame]: ...


class BinaryEncoder:
    """Write a body in the binary form."""

    __slots__ = ("frames", "size")

    def __init__(self) -> None:
        self.frames = 0
        self.size = 0

    def encode(self, frames: Iterable[Frame], *, is_last: bool = False) -> bytes:
        pieces = []
        count = 0
        for kind, payload in frames:
            count += 1
            pieces.append(_head(kind, len(payload)))
            pieces.append(payload)
        if is_last:
            _, last = body_end(self.size + sum(map(len, pieces)))
            pieces += (_head(DOCUMENT, len(last)), last)
            count += 1
        data = b"".join(pieces)  # once: a batch may be large
        self.frames += count
        self.size += len(data)
        return data

    def end(self) -> bytes:
        return self.encode((), is_last=True)


# Nearly every frame is short, and of a kind that there is.
_HEADS: Final = {
    kind: [bytes((kind, length)) for length in range(0x80)]
    for kind in (TEXT, BINARY, TEXT_PART, BINARY_PART, CLOSE, DOCUMENT)
}


def _head(kind: int, length: int) -> bytes:
    if length < 0x80:
        heads = _HEADS.get(kind)
        return bytes((kind, length)) if heads is None else heads[length]
    if length < 0x4000:
        return bytes((kind, length >> 7 | 0x80, length & 0x7F))
    digits = [length & 0x7F]
    while length := length >> 7:
        digits.append(length & 0x7F | 0x80)
    digits.append(kind)
    return bytes(reversed(digits))


class BinaryDecoder:
    """Read a body in the binary form; no frame may have a payload over `limit` bytes."""

    __slots__ = ("_buffer", "_limit", "_needed", "_offset", "ended", "frames")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # What came of the next frame, and how much of it there must be to go on.
        self._buffer = bytearray()
        self._needed = 0
        self._offset = 0
        self.frames = 0
        self.ended = False

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes of the body and return the frames that are now whole.

        Raises RemoteProtocolError with 400 where the body is malformed or its count is wrong, and
        with 413 where a frame is over the limit.
        """
        if self._buffer:
            # A frame that comes byte by byte is looked at once, when it is whole.
            self._buffer += data
            if len(self._buffer) < self._needed:
                return []
            data = bytes(self._buffer)
            self._buffer.clear()
        self._needed = 0
        frames: list[Frame] = []
        position = 0
        size = len(data)
        limit = self._limit
        while size - position >= 2 and not self.ended:
            kind = data[position]
            if kind == 0 or kind >= 0x80:
                raise _malformed("no such frame type")
            length = data[position + 1]
            start = position + 2
            if length >= 0x80:
                length, start = self._long_length(data, position + 1)
                if start < 0:
                    break
            if length > limit:
                raise RemoteProtocolError(413, CloseCode.TOO_BIG, "a frame is over the limit")
            end = start + length
            if end > size:
                self._needed = end - position
                break
            payload: Any = data[start:end]
            if kind == DOCUMENT:
                payload = _parse_document(payload)
                if payload[0] == "end":
                    self._finish(payload, self._offset + position)
            if kind <= DOCUMENT:
                frames.append((kind, payload))
            self.frames += 1
            position = end
        if not self.ended:
            self._buffer += data[position:]
        self._offset += position
        return frames

    def _long_length(self, data: bytes, position: int) -> tuple[int, int]:
        """Read a length of several bytes; a negative position says that it has not all come."""
        if data[position] == 0x80:
            raise _malformed("a length is not in its shortest form")
        length = 0
        for at in range(position, min(position + _MAX_LENGTH_BYTES, len(data))):
            digit = data[at]
            length = length << 7 | digit & 0x7F
            if digit < 0x80:
                return length, at + 1
        if len(data) - position >= _MAX_LENGTH_BYTES:
            raise _malformed("a length has more than five bytes")
        return 0, -1

    def _finish(self, end: list[Any], offset: int) -> None:
        if len(end) < 2 or end[1] != offset:
            raise _malformed("the body's count of bytes is wrong")
        self.ended = True


class JSONEncoder:
    """Write a body in the JSON form, a line for each call, and another one where it grows long."""

    __slots__ = ("frames", "size")

    def __init__(self) -> None:
        self.frames = 0
        self.size = 0

    def encode(self, frames: Iterable[Frame], *, is_last: bool = False) -> bytes:
        lines: list[bytes] = []
        elements: list[bytes] = []
        length = 0
        for frame in frames:
            element = frame_to_json(frame)
            elements.append(element)
            length += len(element)
            self.frames += 1
            if length >= _LONG_LINE:
                lines.append(_line_of(elements))
                elements = []
                length = 0
        if elements:
            lines.append(_line_of(elements))
        if is_last:
            _, last = body_end(self.size + sum(map(len, lines)))
            lines.append(_line_of([last]))
            self.frames += 1
        data = b"".join(lines)
        self.size += len(data)
        return data

    def end(self) -> bytes:
        return self.encode((), is_last=True)


def _line_of(elements: list[bytes]) -> bytes:
    return b"[" + b",".join(elements) + b"]\n"


class JSONDecoder:
    """Read a body in the JSON form; no line may be longer than six times `limit` bytes."""

    __slots__ = ("_buffer", "_limit", "_offset", "ended", "frames")

    def __init__(self, limit: int) -> None:
        self._limit = limit * _JSON_EXPANSION
        self._buffer = bytearray()
        self._offset = 0
        self.frames = 0
        self.ended = False

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes of the body and return the frames of the lines that are now whole.

        Raises RemoteProtocolError with 400 where the body is malformed or its count is wrong, and
        with 413 where a line is over the limit.
        """
        frames: list[Frame] = []
        *lines, rest = data.split(b"\n")
        for line in lines:
            if self.ended:
                return frames
            self._check(line)
            if self._buffer:
                line = bytes(self._buffer + line)
                self._buffer.clear()
            frames += self._line(line)
            self._offset += len(line) + 1
        if not self.ended:
            self._check(rest)
            self._buffer += rest
        return frames

    def _check(self, more: bytes) -> None:
        if len(self._buffer) + len(more) > self._limit:
            raise RemoteProtocolError(413, CloseCode.TOO_BIG, "a line is over the limit")

    def _line(self, line: bytes) -> list[Frame]:
        elements = _parse_array(line)
        frames = [frame_from_json(element) for element in elements]
        self.frames += len(elements)
        for kind, payload in frames:
            if kind == DOCUMENT and payload[0] == "end":
                if len(elements) != 1 or len(payload) < 2 or payload[1] != self._offset:
                    raise _malformed("the body's count of bytes is wrong")
                self.ended = True
        return frames


def _parse_array(data: bytes) -> list[Any]:
    try:
        # Not by json.loads, which takes bytes with zeros among them for UTF-16.
        text = data.decode("ascii")
        value = None
        if text[:1] == "[":
            # Without looking for white space, as `decode` does, where there is none.
            value, end = _scan(text, 0)
            if end != len(text):
                value = None
        if value is None:
            value = _decoder.decode(text)
    except (ValueError, RecursionError, StopIteration):
        raise _malformed("not JSON in ASCII") from None
    if type(value) is not list:
        raise _malformed("JSON that is not an array")
    return value


def _parse_document(text: bytes) -> list[Any]:
    value = _parse_array(text)
    if not value or type(value[0]) is not str or len(value[0]) < 2:
        raise _malformed("a document without a name")
    return value


def frame_from_json(element: Any) -> Frame:
    """Read one element of a line; raises RemoteProtocolError with 400 where it is no frame."""
    if type(element) is str:
        # A lone surrogate passes here and fails where the text is read, with 1007.
        return TEXT, element.encode("utf-8", "surrogatepass")
    if type(element) is not list or not element or type(element[0]) is not str or not element[0]:
        raise _malformed("an element that is no frame")
    name = element[0]
    if len(name) > 1:
        return DOCUMENT, element
    read = _JSON_READERS.get(name)
    if read is None:
        return _UNKNOWN_NUMBERED, b""
    return read(element)


def _read_text_part(element: list[Any]) -> Frame:
    if len(element) < 2 or type(element[1]) is not str:
        raise _malformed("a part without its text")
    return TEXT_PART, element[1].encode("utf-8", "surrogatepass")


def _read_bytes(kind: int) -> Callable[[list[Any]], Frame]:
    def read(element: list[Any]) -> Frame:
        if len(element) < 2 or type(element[1]) is not str:
            raise _malformed("bytes without their base64")
        try:
            return kind, base64.b64decode(element[1], validate=True)
        except (binascii.Error, ValueError):
            raise _malformed("bytes that are not base64") from None

    return read


def _read_close(element: list[Any]) -> Frame:
    if len(element) == 1:
        return CLOSE, b""
    code = element[1]
    reason = element[2] if len(element) > 2 else ""
    if type(code) is not int or not 0 <= code <= 0xFFFF or type(reason) is not str:
        raise _malformed("a close that is no close")
    return CLOSE, code.to_bytes(2, "big") + reason.encode("utf-8", "surrogatepass")


_JSON_READERS: Final[dict[str, Callable[[list[Any]], Frame]]] = {
    "b": _read_bytes(BINARY),
    "t": _read_text_part,
    "p": _read_bytes(BINARY_PART),
    "c": _read_close,
}


def frame_to_json(frame: Frame) -> bytes:
    """Write one frame as the ASCII JSON of an element."""
    kind, payload = frame
    if kind == DOCUMENT:
        return payload if type(payload) is bytes else _encode_json(payload).encode("ascii")
    if kind == TEXT:
        return _encode_string(str(payload, "utf-8")).encode("ascii")
    if kind == TEXT_PART:
        return b'["t",%s]' % _encode_string(str(payload, "utf-8")).encode("ascii")
    if kind == CLOSE:
        close: list[str | int] = ["c"]
        if payload:
            close.append(int.from_bytes(payload[:2], "big"))
        if payload[2:]:
            close.append(payload[2:].decode())
        return _encode_json(close).encode("ascii")
    return b'["%s","%s"]' % (b"b" if kind == BINARY else b"p", base64.b64encode(payload))


def decode_body(body: bytes, *, binary: bool, limit: int) -> tuple[list[Frame], bool]:
    """Read a body that came whole; the flag says whether it has its `end`.

    Raises RemoteProtocolError as the decoders do; nothing of the body counts then.
    """
    decoder: Decoder = BinaryDecoder(limit) if binary else JSONDecoder(limit)
    return decoder.feed(body), decoder.ended
