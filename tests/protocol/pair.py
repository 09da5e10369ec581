"""A page and a server, each a connection, joined by a wire that does what the test tells it.

All that passes between them are bodies, written and read by the codec: uploads and their answers,
attaches and the streams that answer them. The wire keeps copies of everything, so that a test may
deliver any of it late, twice, cut short, or in the place of another.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from emulation.protocol.codec import (
    BinaryDecoder,
    BinaryEncoder,
    Decoder,
    Encoder,
    JSONDecoder,
    JSONEncoder,
    decode_body,
)
from emulation.protocol.connection import Connection, Credit, Limits, State
from emulation.protocol.frames import DOCUMENT, LAST_NUMBERED, Frame, document
from emulation.protocol.handshake import (
    Section,
    parse_answer_head,
    parse_body,
    parse_request_head,
    parse_section,
)

KEY = "AbCdEfGhIjKlMnOpQrStUv"
SOCKET = 1
BODY_LIMIT = 1 << 16
CLOSE_TIMEOUT = 10.0
# Each round brings something forward; no test sends so much that it takes as many.
_MAX_ROUNDS = 1000

Close = tuple[int | None, str]


@dataclass
class Side:
    """A connection, and the application at its end."""

    connection: Connection
    sent: list[str | bytes] = field(default_factory=list)
    received: list[str | bytes] = field(default_factory=list)
    # What the application waits to send, and its close; whether that close answers the other's.
    waiting: list[str | bytes] = field(default_factory=list)
    close: Close | None = None
    close_answers: bool = False

    def send(self, message: str | bytes) -> None:
        if self.connection.state is State.OPEN:
            self.waiting.append(message)
            self.send_waiting()

    def send_waiting(self) -> None:
        """Send what the window has room for; a page numbers all, and credit holds it back."""
        connection = self.connection
        is_page = connection.credit is not None
        while self.waiting and connection.state is State.OPEN and (is_page or connection.has_room):
            message = self.waiting.pop(0)
            connection.send(message)
            self.sent.append(message)

    def receive(self) -> bool:
        message = self.connection.next_message()
        if message is None:
            return False
        self.received.append(message)
        return True

    def send_close(self, now: float, code: int | None, reason: str) -> None:
        if self.connection.state in (State.OPEN, State.CLOSE_TAKEN):
            self.close_answers = self.connection.state is State.CLOSE_TAKEN
            self.close = code, reason
            self.waiting.clear()
            self.connection.send_close(now, code, reason)

    def answer_close(self, now: float) -> None:
        if self.connection.close_taken is not None:
            self.send_close(now, *self.connection.close_taken)


@dataclass
class Stream:
    """The answer to one attach: what the server has written of it."""

    number: int
    encoder: Encoder
    written: int
    data: bytearray = field(default_factory=bytearray)
    is_ended: bool = False

    def write(self, *frames: Frame) -> None:
        self.data += self.encoder.encode(frames)

    def end(self) -> None:
        if not self.is_ended:
            self.data += self.encoder.end()
            self.is_ended = True


@dataclass
class Reader:
    """What the page reads of a stream."""

    stream: Stream
    decoder: Decoder
    at: int = 0
    is_proved: bool = False
    section: Section | None = None


class ConnectionPair:
    """Both sides, and the wire between them."""

    def __init__(self, limits: Limits, page_part_size: int, *, binary: bool) -> None:
        self.binary = binary
        self.now = 0.0
        credit = Credit(limits.window_bytes, limits.window_frames)
        self.page = Side(Connection(limits._replace(part_size=page_part_size), credit))
        self.server = Side(Connection(limits))
        # The wire: copies of all that was sent, with their numbers.
        self.uploads: list[bytes] = []
        self.answers: list[tuple[int, bytes]] = []
        self.attaches: list[bytes] = []
        self.streams: list[Stream] = []
        self.upload_number = 0
        self.upload: bytes | None = None
        self.attach_number = 0
        self.is_attaching = False
        self.downstream: Stream | None = None
        self.reader: Reader | None = None

    def _encoder(self) -> Encoder:
        return BinaryEncoder() if self.binary else JSONEncoder()

    def _decoder(self) -> Decoder:
        return BinaryDecoder(BODY_LIMIT) if self.binary else JSONDecoder(BODY_LIMIT)

    def _body(self, *frames: Frame) -> bytes:
        encoder = self._encoder()
        # A line for each frame, so that a cut body in the JSON form keeps frames too.
        return b"".join([*(encoder.encode((frame,)) for frame in frames), encoder.end()])

    def _read(self, body: bytes) -> list[Frame]:
        """Read a body that may have been cut; one without its head has nothing to say."""
        frames, _ = decode_body(body, binary=self.binary, limit=BODY_LIMIT)
        return frames

    # --- The page's requests ----------------------------------------------------------------------

    def start_upload(self, max_bytes: int) -> None:
        """Begin an upload with what may go; one that is in flight is abandoned."""
        connection = self.page.connection
        frames = connection.frames_after(connection.acknowledged, max_bytes)
        first = connection.acknowledged + 1 if frames else 0
        section = document("section", SOCKET, connection.tell_ack(), first)
        self.upload_number += 1
        head = document("head", 1, "secret", self.upload_number, "node")
        self.upload = self._body(head, section, *frames)
        self.uploads.append(self.upload)

    def repeat_upload(self) -> None:
        if self.upload is not None:
            self.uploads.append(self.upload)

    def start_attach(self) -> None:
        self.attach_number += 1
        self.reader = None
        self.is_attaching = True
        head = document("head", 1, "secret", self.attach_number, "node")
        ack = self.page.connection.tell_ack()
        self.attaches.append(self._body(head, document("section", SOCKET, ack, 0)))

    # --- What the server does with them -----------------------------------------------------------

    def serve_upload(self, body: bytes) -> None:
        """Take an upload, or what came of it, and answer."""
        frames = self._read(body)
        if not frames:
            return
        head = parse_request_head(frames)
        connection = self.server.connection
        answer: list[Frame] = [document("head", 1, KEY, head.number)]
        for section in parse_body(frames).sections:
            connection.take_ack(section.ack)
            last = section.first + len(section.frames) - 1
            connection.take(section.first, section.frames, bounded=True)
            self.server.answer_close(self.now)
            answer.append(document("section", SOCKET, connection.tell_ack(), 0))
            if connection.owes_credit or connection.received < last:
                answer.append(document("credit", *connection.tell_credit()))
        self.server.send_waiting()
        self.answers.append((head.number, self._body(*answer)))

    def serve_attach(self, body: bytes) -> None:
        """Let the newest attach take over; an older one is ended at once."""
        frames = self._read(body)
        if not frames:
            return
        number = parse_request_head(frames).number
        connection = self.server.connection
        for section in parse_body(frames).sections:
            connection.take_ack(section.ack)
        self.server.send_waiting()
        stream = Stream(number, self._encoder(), connection.acknowledged)
        stream.write(document("head", 1, KEY, number))
        self.streams.append(stream)
        if self.downstream is not None and number < self.downstream.number:
            stream.end()
            return
        if self.downstream is not None:
            self.downstream.end()
        self.downstream = stream
        self._write_section(document("credit", *connection.tell_credit()))

    def serve_downstream(self, max_bytes: int) -> None:
        """Write what there is to say."""
        stream, connection = self.downstream, self.server.connection
        if stream is None or stream.is_ended:
            return
        if connection.owes_credit:
            self._write_section(document("credit", *connection.tell_credit()))
        start = max(stream.written, connection.acknowledged)
        frames = connection.frames_after(start, max_bytes)
        if frames or connection.owes_ack:
            self._write_section(*frames, first=start + 1)
            stream.written = start + len(frames)

    def _write_section(self, *frames: Frame, first: int = 0) -> None:
        assert self.downstream is not None
        ack = self.server.connection.tell_ack()
        self.downstream.write(document("section", SOCKET, ack, first), *frames)

    # --- What the page does with the answers ------------------------------------------------------

    def take_answer(self, body: bytes) -> None:
        """Take what comes as the answer to the upload in flight: only its own is one."""
        frames = self._read(body)
        if self.upload is None or not frames:
            return
        head = parse_answer_head(frames)
        if (head.key, head.number) != (KEY, self.upload_number):
            return
        self.upload = None
        connection = self.page.connection
        for section in parse_body(frames).sections:
            connection.take_ack(section.ack)
            for name, *elements in section.documents:
                if name == "credit":
                    connection.take_credit(Credit(*elements))

    def open_reader(self, stream: Stream) -> None:
        if self.is_attaching:
            self.is_attaching = False
            self.reader = Reader(stream, self._decoder())

    def read(self, size: int) -> None:
        """Read at most so many bytes of the stream; one that is not ours is given up."""
        reader = self.reader
        if reader is None:
            return
        data = bytes(reader.stream.data[reader.at : reader.at + size])
        reader.at += len(data)
        for frame in reader.decoder.feed(data):
            if not reader.is_proved:
                head = parse_answer_head([frame])
                if head.number != self.attach_number:
                    self.reader = None
                    return
                reader.is_proved = True
            else:
                self._take_frame(reader, frame)
        if reader.decoder.ended:
            self.reader = None

    def _take_frame(self, reader: Reader, frame: Frame) -> None:
        connection = self.page.connection
        kind, payload = frame
        if kind <= LAST_NUMBERED:
            assert reader.section is not None
            connection.take(reader.section.first, [frame])
            reader.section.first += 1
            while self.page.receive():
                pass
            self.page.answer_close(self.now)
            return
        assert kind == DOCUMENT
        elements: list[Any] = payload
        if elements[0] == "section":
            reader.section = parse_section(elements)
            connection.take_ack(reader.section.ack)
        elif elements[0] == "credit":
            connection.take_credit(Credit(*elements[1:3]))

    # --- A good wire ------------------------------------------------------------------------------

    def settle(self) -> None:
        """Let everything through from now on, until neither side has anything to say.

        There is one attach and then no other, and the page uploads only what it must: nothing but
        the rules for acknowledgements and credit keeps things going.
        """
        self.start_attach()
        self.serve_attach(self.attaches[-1])
        self.open_reader(self.streams[-1])
        self._upload()
        for _ in range(_MAX_ROUNDS):
            if not self._round():
                break
        else:
            raise AssertionError("the two sides never come to rest")
        # The page's answer to a ping.
        self._upload()
        self.serve_downstream(BODY_LIMIT)
        self.read(BODY_LIMIT)

    def _round(self) -> bool:
        before = self._progress()
        while self.server.receive():
            pass
        self.serve_downstream(BODY_LIMIT)
        self.read(BODY_LIMIT)
        connection = self.page.connection
        self.page.send_waiting()
        if connection.owes_ack or connection.frames_after(connection.acknowledged, 1):
            self._upload()
        return self._progress() != before

    def _upload(self) -> None:
        self.start_upload(BODY_LIMIT)
        assert self.upload is not None
        self.serve_upload(self.upload)
        self.take_answer(self.answers[-1][1])

    def _progress(self) -> tuple[object, ...]:
        sides = [self.page, self.server]
        numbers = [(s.connection.acknowledged, s.connection.received) for s in sides]
        told = [(len(s.received), s.connection.ack_told) for s in sides]
        return *numbers, *told, self.page.connection.credit
