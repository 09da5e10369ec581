"""The shim is served with validators, caching and integrity, and shadows nothing else."""

import asyncio
import base64
import gzip
import hashlib
import json
import re
from importlib import resources
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emulation.script import Script, script_integrity, script_tag, script_url

STATIC = resources.files("emulation") / "static"
BODY = (STATIC / "emulation.js").read_bytes()
PATHS = ["/emulation.js", script_url(), "/emulation.js.map"]
IDENTITY = {"accept-encoding": "identity"}


async def inner(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 418, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve the shim in front of an application, as the middleware does."""
    script = Script()
    await (script if script.serves(scope) else inner)(scope, receive, send)


def request(
    path: str,
    headers: dict[str, str] | None = None,
    *,
    method: str = "GET",
    application: ASGIApp = app,
) -> httpx.Response:
    async def answer() -> httpx.Response:
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(asyncio.wait_for(answer(), 30))


def ask(**fields: Any) -> list[Message]:
    """Call the script with one raw scope, which no client could be made to send."""
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("the script has nothing to receive")

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/emulation.js", "headers": [], **fields}
    asyncio.run(asyncio.wait_for(app(scope, receive, send), 30))
    return sent


@pytest.mark.parametrize("path", ["/emulation.js", script_url()])
def test_script_is_served_to_any_page(path: str) -> None:
    answer = request(path, headers=IDENTITY)
    assert answer.status_code == 200
    assert answer.content == BODY
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["content-length"] == str(len(BODY))
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert answer.headers["timing-allow-origin"] == "*"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["vary"] == "Accept-Encoding"
    assert "content-encoding" not in answer.headers


def test_source_map_is_where_the_script_says() -> None:
    found = re.search(rb"//# sourceMappingURL=(\S+)\s*\Z", BODY)
    assert found is not None
    answer = request(f"/{found[1].decode()}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.content)["version"] == 3


def test_plain_url_is_revalidated_and_hashed_url_is_kept() -> None:
    plain = request("/emulation.js").headers["cache-control"]
    assert plain == "public, max-age=300, must-revalidate"
    hashed = request(script_url()).headers["cache-control"]
    assert hashed == "public, max-age=31536000, immutable"


@pytest.mark.parametrize("path", PATHS)
def test_gzip_is_served_to_who_accepts_it(path: str) -> None:
    plain = request(path, headers=IDENTITY)
    [start, body] = ask(path=path, headers=[(b"accept-encoding", b"br, gzip;q=0.5")])
    headers = dict(start["headers"])
    assert headers[b"content-encoding"] == b"gzip"
    assert headers[b"content-length"] == b"%d" % len(body["body"])
    assert gzip.decompress(body["body"]) == plain.content
    assert headers[b"vary"] == b"Accept-Encoding"
    assert headers[b"etag"] != plain.headers["etag"].encode()


@pytest.mark.parametrize(
    ("accept", "is_gzip"),
    [
        (b"gzip", True),
        (b"GZIP", True),
        (b"deflate , gzip ; q=1.0", True),
        (b"gzip;q=0.001", True),
        (b"gzip;q=0", False),
        (b"gzip; q=0.000", False),
        (b"identity", False),
        (b"", False),
        (b"xgzip, gzipx", False),
    ],
)
def test_accepted_encodings_are_weighed(accept: bytes, is_gzip: bool) -> None:
    [start, _] = ask(headers=[(b"accept-encoding", accept)])
    assert (b"content-encoding", b"gzip") in start["headers"] or not is_gzip
    assert is_gzip or b"content-encoding" not in dict(start["headers"])


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_known_version_is_not_sent_again(path: str, encoding: str) -> None:
    accept = {"accept-encoding": encoding}
    etag = request(path, headers=accept).headers["etag"]
    assert re.fullmatch(r'"[0-9a-f]{32}(-gzip)?"', etag)
    for condition in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = request(path, headers={**accept, "if-none-match": condition})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == etag
        assert "cache-control" in answer.headers and "vary" in answer.headers
        assert "content-length" not in answer.headers
    for condition in ('"other"', etag.strip('"'), ""):
        answer = request(path, headers={**accept, "if-none-match": condition})
        assert answer.status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_head_is_get_without_the_body(path: str) -> None:
    head, get = request(path, method="HEAD"), request(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers == get.headers


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"])
def test_other_methods_are_refused(path: str, method: str) -> None:
    answer = request(path, method=method)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"
    assert answer.headers["connection"] == "close"
    [start, _] = ask(path=path, method=method, http_version="2")
    assert b"connection" not in dict(start["headers"])


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/emulation",
        "/emulation.",
        "/emulation.css",
        "/emulation.js/",
        "/emulation.jsx",
        "/Emulation.js",
        "//emulation.js",
        "/static/emulation.js",
        "/emulation.0123456789abcdef.js",
        script_url().upper(),
        script_url() + ".map",
        "/emulation..js",
    ],
)
def test_other_paths_are_the_applications_own(path: str) -> None:
    [start, body] = ask(path=path)
    assert (start["status"], body["body"]) == (418, path.encode())


@pytest.mark.parametrize(
    ("root_path", "path", "is_ours"),
    [
        ("/api", "/api/emulation.js", True),
        ("/api/", "/api/emulation.js", True),
        # Servers before the ASGI of today, and proxies that strip the prefix.
        ("/api", "/emulation.js", True),
        ("/api", "/apiemulation.js", False),
        ("/api", "/other/emulation.js", False),
        ("/api", "/api/api/emulation.js", False),
        ("/emulation.js", "/emulation.js/emulation.js", True),
    ],
)
def test_script_lies_below_the_mount_path(root_path: str, path: str, is_ours: bool) -> None:
    [start, _] = ask(root_path=root_path, path=path)
    assert start["status"] == (200 if is_ours else 418)


def test_script_is_found_in_a_mounted_application() -> None:
    mounted = Starlette(routes=[Mount("/api", app)])
    assert request("/api/emulation.js", application=mounted).content == BODY
    assert request(script_url("/api"), application=mounted).content == BODY
    assert request("/emulation.js", application=mounted).status_code == 404


def test_compressing_middleware_outside_does_not_compress_twice() -> None:
    outer = GZipMiddleware(app, minimum_size=1)
    answer = request("/emulation.js", {"accept-encoding": "gzip"}, application=outer)
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.content == BODY


def test_answers_do_not_share_their_headers() -> None:
    ask()[0]["headers"].clear()
    assert ask()[0]["headers"]


def test_hash_and_integrity_are_those_of_the_bytes() -> None:
    assert script_url() == f"/emulation.{hashlib.sha256(BODY).hexdigest()[:16]}.js"
    digest = base64.b64encode(hashlib.sha384(BODY).digest()).decode()
    assert script_integrity() == f"sha384-{digest}"


def test_tag_loads_the_hashed_url_with_integrity() -> None:
    assert script_tag("https://chat.example/api/") == (
        f'<script src="https://chat.example/api{script_url()}"'
        f' integrity="{script_integrity()}" crossorigin="anonymous"></script>'
    )
    assert "<b>" not in script_tag('/"><b>')
