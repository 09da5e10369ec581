"""The doctor's paths: what they answer and refuse, and that all else is the application's."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import pytest
from starlette.types import Message

from emulation import WebSocketEmulation
from emulation.testing import Closed, Refused, connect, serve
from emulation_server.doctor import PREFIX, Doctor
from tests.doctor.app import bare

MIB = 1024 * 1024
TIMEOUT = 30


def new_app() -> Doctor:
    return Doctor(WebSocketEmulation(bare))


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=new_app())
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as made:
        yield made


async def start(client: httpx.AsyncClient) -> str:
    name = secrets.token_urlsafe(16)
    answer = await client.post(f"{PREFIX}/start?run={name}")
    assert answer.status_code == 200, answer.text
    assert answer.json()["run"] == name
    return name


async def test_all_other_paths_are_the_applications(client: httpx.AsyncClient) -> None:
    assert (await client.get("/")).text == "the application's own\n"
    for path in (
        "/.websocket-emulation",
        "/.websocket-emulation/doctors",
        "/.websocket-emulation/",
    ):
        assert (await client.get(path)).status_code == 404
    assert (await client.get("/emulation.js")).status_code == 200


async def test_page_asks_nobody_else(client: httpx.AsyncClient) -> None:
    page = await client.get(f"{PREFIX}/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    references = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert "doctor.js" in references
    for reference in references:
        if reference != "data:,":
            assert "/" not in reference
            assert (await client.get(f"{PREFIX}/{reference}")).status_code == 200
    assert (await client.get(f"{PREFIX}/emulation.js")).status_code == 200


async def test_page_is_found_without_the_slash(client: httpx.AsyncClient) -> None:
    answer = await client.get(PREFIX)
    assert (answer.status_code, answer.headers["location"]) == (307, f"{PREFIX}/")


async def test_page_below_a_mount_path() -> None:
    transport = httpx.ASGITransport(app=new_app(), root_path="/app")
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        answer = await client.get(f"/app{PREFIX}")
        assert answer.headers["location"] == f"/app{PREFIX}/"
        assert "doctor.js" in (await client.get(f"/app{PREFIX}/")).text


async def test_second_run_of_a_client_is_refused_in_a_sentence(client: httpx.AsyncClient) -> None:
    name = await start(client)
    answer = await client.post(f"{PREFIX}/start?run={'a' * 22}")
    assert answer.status_code == 429
    assert answer.json()["error"].endswith(".")
    assert int(answer.headers["retry-after"]) > 0
    await client.post(f"{PREFIX}/end?run={name}")
    await start(client)


@pytest.mark.parametrize(
    "path", ["seen", "stream", "idle?seconds=1", "download?bytes=9", "upload", "arrived", "end"]
)
async def test_no_check_without_a_run(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.post(f"{PREFIX}/{path}")
    assert answer.status_code == 404
    assert answer.json() == {"error": "There is no such examination, or it is over: begin anew."}


async def test_errors_reflect_nothing(client: httpx.AsyncClient) -> None:
    for path in ("start", "seen", "nowhere"):
        answer = await client.post(f"{PREFIX}/{path}?run=<script>alert(1)</script>")
        assert answer.status_code >= 400
        assert "script" not in answer.text


async def test_seen_shows_how_the_request_arrived_but_no_secrets(
    client: httpx.AsyncClient,
) -> None:
    name = await start(client)
    headers = {
        "Via": "1.1 proxy",
        "X-Forwarded-For": "10.1.2.3",
        "Cookie": "id=precious",
        "Authorization": "Bearer precious",
        "X-Long": "x" * 5000,
    }
    answer = await client.get(f"{PREFIX}/seen?run={name}", headers=headers)
    seen = dict(answer.json()["headers"])
    assert seen["via"] == "1.1 proxy"
    assert seen["x-forwarded-for"] == "10.1.2.3"
    assert seen["cookie"] == seen["authorization"] == "(hidden)"
    assert "precious" not in answer.text
    assert len(seen["x-long"]) == 256
    assert answer.json()["method"] == "GET"
    assert set(answer.json()["sent"]) == set(answer.headers) - {"date", "server"}


async def test_client_is_whom_a_trusted_proxy_names() -> None:
    app = Doctor(WebSocketEmulation(bare), trusted=["127.0.0.1"])
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        for number in range(2):
            answer = await client.post(
                f"{PREFIX}/start?run={number:022}",
                headers={"X-Forwarded-For": f"10.0.0.{number}"},
            )
            assert answer.status_code == 200


async def test_another_site_cannot_start_a_run(client: httpx.AsyncClient) -> None:
    headers = {"Sec-Fetch-Site": "cross-site"}
    answer = await client.post(f"{PREFIX}/start?run={'a' * 22}", headers=headers)
    assert answer.status_code == 403
    # But anybody may link to the page.
    assert (await client.get(f"{PREFIX}/", headers=headers)).status_code == 200


async def test_volume_is_bounded(client: httpx.AsyncClient) -> None:
    name = await start(client)
    for _ in range(3):
        answer = await client.post(f"{PREFIX}/download?run={name}&bytes={4 * MIB}")
        assert len(answer.content) == 4 * MIB
    answer = await client.post(f"{PREFIX}/upload?run={name}", content=b"x" * (4 * MIB))
    assert answer.json()["received"] == 4 * MIB
    for path, content in (("download", b""), ("upload", b"x")):
        answer = await client.post(f"{PREFIX}/{path}?run={name}&bytes=1", content=content)
        assert (answer.status_code, "16 MiB" in answer.json()["error"]) == (429, True)


@pytest.mark.parametrize("size", ["0", str(4 * MIB + 1), "-1", "x", "1e9", "9" * 100])
async def test_download_of_a_senseless_size_is_refused(
    client: httpx.AsyncClient, size: str
) -> None:
    name = await start(client)
    answer = await client.post(f"{PREFIX}/download?run={name}&bytes={size}")
    assert answer.status_code == 400


async def test_upload_beyond_the_limit_is_refused(client: httpx.AsyncClient) -> None:
    name = await start(client)
    answer = await client.post(f"{PREFIX}/upload?run={name}", content=b"x" * (4 * MIB + 1))
    assert answer.status_code == 413
    assert answer.headers["connection"] == "close"


@pytest.mark.integration
async def test_stream_is_written_in_time() -> None:
    with anyio.fail_after(TIMEOUT):
        async with serve(new_app()) as url, httpx.AsyncClient(base_url=url) as client:
            name = await start(client)
            for method, path in (("POST", "stream"), ("GET", "events")):
                began = time.monotonic()
                first = 0.0
                text = ""
                async with client.stream(method, f"{PREFIX}/{path}?run={name}") as answer:
                    async for piece in answer.aiter_text():
                        first = first or time.monotonic() - began
                        text += piece
                lines = re.findall(r"^(?:data: )?(\d+) (\d+) \S*$", text, re.MULTILINE)
                assert len(lines) == 18
                assert int(lines[-1][1]) == len(text)
                assert int(lines[-1][0]) > 3000
                assert first < time.monotonic() - began - 2


@pytest.mark.integration
async def test_sockets_belong_to_a_run() -> None:
    with anyio.fail_after(TIMEOUT):
        async with serve(new_app()) as url, httpx.AsyncClient(base_url=url) as client:
            for transport in ("native", "stream"):
                with pytest.raises((Refused, Closed)):
                    async with connect(f"{url}{PREFIX}/session/{'a' * 22}/x", transport=transport):
                        pass
            name = await start(client)
            target = f"{url}{PREFIX}/session/{name}/poll"
            async with connect(target, transport="poll") as socket:
                await socket.send("hello")
                assert await socket.receive() == "hello"
            async with connect(f"{url}{PREFIX}/native?run={name}", transport="native") as socket:
                assert await socket.receive() == "hello"
            answer = await client.post(f"{PREFIX}/arrived?run={name}")
            assert answer.json()["native"] == "upgrade"


@pytest.mark.integration
async def test_handshake_without_its_upgrade_is_noticed() -> None:
    with anyio.fail_after(TIMEOUT):
        async with serve(new_app()) as url, httpx.AsyncClient(base_url=url) as client:
            name = await start(client)
            assert (await client.get(f"{PREFIX}/native?run={name}")).status_code == 426
            answer = await client.post(f"{PREFIX}/arrived?run={name}")
            assert answer.json()["native"] == "plain"


@pytest.mark.integration
async def test_messages_are_bounded() -> None:
    with anyio.fail_after(TIMEOUT):
        async with serve(new_app()) as url, httpx.AsyncClient(base_url=url) as client:
            name = await start(client)
            target = f"{url}{PREFIX}/session/{name}/websocket"
            async with connect(target, transport="websocket") as socket:
                with pytest.raises(Closed) as raised:
                    for _ in range(10):
                        await socket.send("x" * MIB)
                        await socket.receive()
            assert raised.value.code == 1008


async def test_lifespan_is_the_applications() -> None:
    heard: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        heard.append((await receive())["type"])
        heard.append((await receive())["type"])

    messages = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> Message:
        return {"type": next(messages)}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    await Doctor(app)({"type": "lifespan"}, receive, send)
    assert heard == ["lifespan.startup", "lifespan.shutdown"]
