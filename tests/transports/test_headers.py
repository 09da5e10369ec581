"""The headers of answers survive what stands around us; those of uploads are checked."""

import asyncio
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emulation.exceptions import LocalProtocolError, RemoteProtocolError
from emulation.transports import headers
from emulation.transports.headers import EVENT_STREAM, OCTET_STREAM, Header
from emulation.transports.marker import VERBS

ORIGIN = b"https://app.example"
BODY = b"a" * 5000
UPLOADS = [verb for verb in VERBS if verb not in ("sse", "ws")]


def value(found: list[Header], name: bytes) -> bytes:
    [only] = [content for key, content in found if key == name]
    return only


def names(found: list[Header]) -> list[bytes]:
    return [name for name, _ in found]


def upload(*more: Header, kind: bytes = b"application/octet-stream", length: bytes = b"5") -> Any:
    return [(b"host", b"h"), (b"content-type", kind), (b"content-length", length), *more]


def status(check: Callable[[], object]) -> int:
    with pytest.raises(RemoteProtocolError) as raised:
        check()
    assert raised.value.text.endswith(".")
    return raised.value.status


def ask(app: ASGIApp, *fields: Header) -> list[Message]:
    """Call an ASGI application with one GET and return all that it sends."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": list(fields)}
    asyncio.run(asyncio.wait_for(app(scope, receive, send), 30))
    return sent


def streaming(fields: list[Header]) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": BODY, "more_body": True})
        await send({"type": "http.response.body", "body": BODY})

    return app


@pytest.mark.parametrize("kind", [OCTET_STREAM, EVENT_STREAM, None])
def test_every_answer_is_kept_from_caches_buffers_and_sniffers(kind: Header | None) -> None:
    found = headers.answer(kind)
    assert value(found, b"cache-control") == b"no-store, no-cache, no-transform, private"
    assert value(found, b"x-content-type-options") == b"nosniff"
    assert value(found, b"x-accel-buffering") == b"no"
    assert value(found, b"content-encoding") == b"identity"
    assert value(found, b"vary") == b"Origin"
    assert value(found, b"cross-origin-resource-policy") == b"same-origin"
    assert (b"content-type" in names(found)) == (kind is not None)
    assert b"access-control-allow-origin" not in names(found)
    assert b"content-length" not in names(found)


def test_answer_names_the_one_origin_that_may_read_it() -> None:
    found = headers.answer(OCTET_STREAM, origin=ORIGIN, length=0, more=[(b"x-a", b"1")])
    assert value(found, b"access-control-allow-origin") == ORIGIN
    assert value(found, b"access-control-allow-credentials") == b"true"
    assert value(found, b"access-control-expose-headers") == b"Emulation, Retry-After"
    assert value(found, b"content-length") == b"0"
    assert value(found, b"x-a") == b"1"


def test_answers_do_not_share_their_list() -> None:
    headers.answer(None).clear()
    assert value(headers.answer(None), b"vary") == b"Origin"


def test_compressing_middleware_leaves_a_stream_alone() -> None:
    accept = (b"accept-encoding", b"gzip")
    start, *parts = ask(GZipMiddleware(streaming(headers.answer(OCTET_STREAM))), accept)
    assert value(start["headers"], b"content-encoding") == b"identity"
    assert [part["body"] for part in parts] == [BODY, BODY]
    # The control: without the field the same stream is compressed.
    start, *parts = ask(GZipMiddleware(streaming([OCTET_STREAM])), accept)
    assert value(start["headers"], b"content-encoding") == b"gzip"
    assert zlib.decompress(b"".join(part["body"] for part in parts), 31) == BODY * 2


def test_cors_middleware_outside_does_not_double_our_fields() -> None:
    app = CORSMiddleware(
        streaming(headers.answer(OCTET_STREAM, origin=ORIGIN)),
        allow_origins=[ORIGIN.decode()],
        allow_credentials=True,
    )
    start, *_ = ask(app, (b"origin", ORIGIN))
    assert value(start["headers"], b"access-control-allow-origin") == ORIGIN
    assert value(start["headers"], b"access-control-allow-credentials") == b"true"


def test_preflight_allows_our_methods_and_the_content_type() -> None:
    found = headers.preflight("send", ORIGIN)
    assert value(found, b"access-control-allow-origin") == ORIGIN
    assert value(found, b"access-control-allow-credentials") == b"true"
    assert value(found, b"access-control-allow-methods") == b"GET, POST"
    assert value(found, b"access-control-allow-headers") == b"Content-Type"
    assert int(value(found, b"access-control-max-age")) > 0
    assert value(found, b"allow") == b"POST, OPTIONS"
    assert value(found, b"vary") == b"Origin"


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [
        (b"content-type,traceparent, x-agent", b"content-type,traceparent, x-agent"),
        (b"x\r\nset-cookie: a=b", b"Content-Type"),
        (b"x" * 1025, b"Content-Type"),
    ],
)
def test_preflight_allows_what_agents_add(asked: bytes, allowed: bytes) -> None:
    found = headers.preflight("send", ORIGIN, asked)
    assert value(found, b"access-control-allow-headers") == allowed


def test_options_without_an_allowed_origin_grants_nothing() -> None:
    assert not [name for name in names(headers.preflight("sse", None)) if b"access" in name]


@pytest.mark.parametrize(
    ("seconds", "written"), [(0, b"1"), (0.2, b"1"), (1, b"1"), (1.1, b"2"), (30.0, b"30")]
)
def test_retry_after_is_whole_seconds(seconds: float, written: bytes) -> None:
    assert headers.retry_after(seconds) == (b"retry-after", written)


def test_set_cookie_and_extension_fields_of_the_application_pass() -> None:
    fields = [(b"set-cookie", b"a=1"), (b"X-Room", b"5"), (b"Set-Cookie", b"b=2")]
    assert headers.application_headers(fields) == [
        (b"set-cookie", b"a=1"),
        (b"x-room", b"5"),
        (b"set-cookie", b"b=2"),
    ]


@pytest.mark.parametrize(
    "name",
    [
        b"cache-control",
        b"connection",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"keep-alive",
        b"location",
        b"sec-websocket-protocol",
        b"transfer-encoding",
        b"vary",
        b"x-accel-buffering",
        b"X-Accel-Redirect",
        b"x-content-type-options",
        b"X-Sendfile",
    ],
)
def test_other_fields_of_the_application_stay_behind(name: bytes) -> None:
    assert headers.application_headers([(name, b"x")]) == []


@pytest.mark.parametrize(
    "field",
    [
        (b"x-a", b"1\r\nset-cookie: b=2"),
        (b"x-a", b"1\n"),
        (b"x-a", b"\0"),
        (b"x-a: 1\r\nx-b", b""),
        (b"x a", b""),
        (b"", b""),
    ],
)
def test_field_that_breaks_out_of_its_line_is_the_applications_fault(field: Header) -> None:
    with pytest.raises(LocalProtocolError):
        headers.application_headers([field])


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "get", ""])
def test_each_verb_has_one_method(verb: str, method: str) -> None:
    right = "POST" if verb in UPLOADS else "GET"
    assert headers.allow(verb) == (b"allow", right.encode() + b", OPTIONS")
    if method != right:
        assert status(lambda: headers.check_method(verb, method)) == 405
    elif verb == "ws":
        assert status(lambda: headers.check_method(verb, method)) == 400
    else:
        headers.check_method(verb, method)


@pytest.mark.parametrize("verb", UPLOADS)
@pytest.mark.parametrize(
    ("kind", "is_json"),
    [
        (b"application/octet-stream", False),
        (b"application/json", True),
        (b"application/json;charset=UTF-8", True),
        (b"Application/JSON ; charset=utf-8", True),
    ],
)
def test_our_types_tell_the_form(verb: str, kind: bytes, is_json: bool) -> None:
    assert headers.check_upload(verb, upload(kind=kind), 5) == (5, is_json)


@pytest.mark.parametrize(
    "kind",
    [
        b"",
        b"text/plain",
        b"text/plain; application/json",
        b"application/json, text/plain",
        b"application/jsonx",
        b"application/x-www-form-urlencoded",
        b"multipart/form-data; boundary=application/json",
    ],
)
def test_types_that_need_no_preflight_and_unknown_ones_are_415(kind: bytes) -> None:
    for verb in UPLOADS:
        if verb != "bye" or not kind.startswith(b"text/plain"):
            assert status(lambda: headers.check_upload(verb, upload(kind=kind), 5)) == 415  # noqa: B023


def test_missing_and_double_types_are_415() -> None:
    missing = [(b"content-length", b"5")]
    assert status(lambda: headers.check_upload("send", missing, 5)) == 415
    double = upload((b"content-type", b"application/json"))
    assert status(lambda: headers.check_upload("send", double, 5)) == 415


def test_only_bye_may_be_plain_text() -> None:
    plain = upload(kind=b"text/plain;charset=UTF-8")
    assert headers.check_upload("bye", plain, 5) == (5, True)
    assert status(lambda: headers.check_upload("send", plain, 5)) == 415


@pytest.mark.parametrize("encoding", [b"gzip", b"identity", b""])
def test_content_encoding_is_415(encoding: bytes) -> None:
    fields = upload((b"content-encoding", encoding))
    assert status(lambda: headers.check_upload("send", fields, 5)) == 415


@pytest.mark.parametrize("encoding", [b"chunked", b"identity", b""])
def test_transfer_encoding_is_411_beside_a_length_too(encoding: bytes) -> None:
    fields = upload((b"transfer-encoding", encoding))
    assert status(lambda: headers.check_upload("send", fields, 5)) == 411


def test_missing_length_is_411() -> None:
    fields = [(b"content-type", b"application/json")]
    assert status(lambda: headers.check_upload("open", fields, 5)) == 411


@pytest.mark.parametrize(
    "length", [b"", b"+4", b"-1", b"4 ", b"4, 4", b"0x4", b"4.0", b"\xb2", b"9" * 20, b"1_0"]
)
def test_length_that_is_no_number_is_400(length: bytes) -> None:
    assert status(lambda: headers.check_upload("send", upload(length=length), 5)) == 400


def test_two_lengths_are_400() -> None:
    fields = upload((b"content-length", b"5"))
    assert status(lambda: headers.check_upload("send", fields, 5)) == 400


def test_length_over_the_limit_is_413() -> None:
    assert headers.check_upload("send", upload(length=b"0005"), 5)[0] == 5
    assert status(lambda: headers.check_upload("send", upload(length=b"6"), 5)) == 413
