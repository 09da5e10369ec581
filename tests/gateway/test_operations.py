"""What operators see: metrics, readiness, sessions, logs; and an end in good order."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from emulation import WebSocketEmulation
from emulation.testing import serve
from emulation_server.lab import Lab
from emulation_server.refusals import Refusals
from emulation_server.settings import parse_address
from emulation_server.watching import Watch
from tests.gateway import misbehaving, processes
from tests.support.client import NATIVE, TRANSPORTS, Closed, Refused, connect
from tests.support.servers import ROOT, Servers

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("gateway-operations")]

TIMEOUT = 20.0
TOKEN = {"Authorization": "Bearer open-sesame"}

Running = tuple[str, str, processes.Process]


@pytest.fixture(scope="module")
def backend(servers: Servers) -> str:
    return servers.get("tests.apps.starlette_app:app").url.replace("http:", "ws:")


@contextmanager
def start(backend: str, heartbeat: str = "0.2") -> Iterator[Running]:
    """Run a gateway; yield its URL and that of its admin address, and its process."""
    times = ("--heartbeat", heartbeat, "--poll-time", "1")
    options = ("--log-format", "json", "--access-log", *times)
    environment = {"WEBSOCKET_EMULATION_ADMIN_TOKEN": "open-sesame"}
    with processes.gateway(backend, "--admin", "0", *options, environment=environment) as (
        url,
        process,
    ):
        found = process.wait_for(rf"running on (?!{url}\b)(http://127\.0\.0\.1:[0-9]+)")
        yield url, found[1], process


@pytest.fixture(scope="module")
def running(backend: str) -> Iterator[Running]:
    with start(backend) as shared:
        yield shared


@pytest.fixture
def fresh(backend: str) -> Iterator[Running]:
    with start(backend) as own:
        yield own


def ask(url: str, method: str = "GET", **headers: str) -> httpx.Response:
    with httpx.Client(trust_env=False, timeout=TIMEOUT) as client:
        return client.request(method, url, headers=headers)


def lines(process: processes.Process) -> list[dict[str, Any]]:
    return [json.loads(line) for line in process.log().splitlines()]


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(TIMEOUT):
        while not condition():  # noqa: ASYNC110 (of another process)
            await anyio.sleep(0.02)


async def test_metrics(fresh: Running) -> None:
    url, admin, _ = fresh
    with anyio.fail_after(TIMEOUT):
        async with connect(url + "/echo", "stream") as socket:
            await socket.send("four")
            assert await socket.receive() == "four"
            await until(
                lambda: (
                    'round_trip_seconds_count{transport="stream"}' in ask(admin + "/metrics").text
                )
            )
            await socket.switch("poll")
            await socket.send("more")
            assert await socket.receive() == "more"
            open_ = ask(admin + "/metrics")
        async with connect(url + "/echo", NATIVE) as socket:
            pass
        with pytest.raises(Refused):
            async with connect(url + "/deny", "poll"):
                pass
    assert open_.headers["content-type"].startswith("text/plain")
    assert 'websocket_emulation_sockets{transport="poll"} 1.0' in open_.text
    assert 'transport_changes_total{after="poll",before="stream"} 1.0' in open_.text
    assert "websocket_emulation_sessions 1.0" in open_.text
    await until(lambda: 'closes_total{code="1005"} 2.0' in ask(admin + "/metrics").text)
    text = ask(admin + "/metrics").text
    # Each of them is described, and none that there is not.
    names = set(re.findall(r"^# TYPE websocket_emulation_(\w+) ", text, re.M))
    documented = (ROOT / "docs" / "gateway.md").read_text()
    rows = "\n".join(re.findall(r"^\| (`[a-z_`, ]+) \|.*\|.*\|$", documented, re.M))
    told = set(re.findall("`([a-z_]+)`", rows))
    assert {name for name in names if not name.endswith("_created")} == told
    for line in (
        'websocket_emulation_opens_total{transport="stream"} 1.0',
        'websocket_emulation_opens_total{transport="native"} 1.0',
        'websocket_emulation_refusals_total{status="401"} 1.0',
        'websocket_emulation_backend_failures_total{reason="refused"} 1.0',
        'websocket_emulation_messages_total{direction="up"} 2.0',
        'websocket_emulation_message_bytes_total{direction="down"} 8.0',
        "websocket_emulation_unacknowledged_bytes 0.0",
    ):
        assert line in text, text


@pytest.mark.parametrize("transport", ["stream", "websocket"])
async def test_round_trip_is_that_of_the_network(backend: str, transport: str) -> None:
    """Behind a network that takes 0.2 s each way it is 0.4 s at the least."""
    name = "websocket_emulation_round_trip_seconds"
    at_once = f'{name}_bucket{{le="0.25",transport="{transport}"}} 0.0'
    answered = re.compile(rf'{name}_count{{transport="{transport}"}} ([1-9])')
    with start(backend, heartbeat="1") as (url, admin, _), anyio.fail_after(TIMEOUT):
        to = parse_address(url.removeprefix("http://"))
        async with Lab(to, "delay", delay=0.2) as network:
            async with connect(network.url + "/echo", transport):
                await until(lambda: answered.search(ask(admin + "/metrics").text) is not None)
                # Before the page says more than that: a close may meet another ping.
                text = ask(admin + "/metrics").text
        assert at_once in text, text


async def test_limits(backend: str) -> None:
    """The one too many waits for its turn; a plain WebSocket is none of the emulation's."""
    with processes.gateway(backend, "--max-sessions", "1") as (url, process):
        with anyio.fail_after(TIMEOUT):
            async with connect(url + "/echo", "poll"), connect(url + "/echo", NATIVE):
                waiting = asyncio.create_task(_open(url + "/echo"))
                await until(lambda: "max_sessions" in process.log())
                assert not waiting.done()
            await waiting


async def _open(url: str) -> None:
    async with connect(url, "poll"):
        pass


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_operator_closes_a_session(running: Running, transport: str) -> None:
    url, admin, _ = running
    with anyio.fail_after(TIMEOUT):
        async with connect(url + "/echo?token=secret", transport) as socket:
            await socket.send("hello")
            assert await socket.receive() == "hello"
            [session] = ask(admin + "/sessions", **TOKEN).json()
            assert (session["path"], session["transport"]) == ("/echo", transport)
            assert session["messages"] == {"up": 1, "down": 1}
            path = f"{admin}/sessions/{session['id']}?code=4400&reason=operator"
            assert ask(path, "DELETE", **TOKEN).status_code == 204
            with pytest.raises(Closed) as closed:
                await socket.receive()
            assert (closed.value.code, closed.value.reason) == (4400, "operator")
    await until(lambda: ask(admin + "/sessions", **TOKEN).json() == [])
    assert ask(path, "DELETE", **TOKEN).status_code == 404


@pytest.mark.parametrize("transport", [NATIVE, "stream"])
async def test_session_that_is_closing_is_not_closed_again(transport: str) -> None:
    """Its backend never answers the close, so that the session stays in the list."""
    with misbehaving.misbehaving() as host, start(f"ws://{host}") as (url, admin, process):
        with anyio.fail_after(TIMEOUT):
            async with connect(url + "/good", transport) as socket:
                assert await socket.receive() == "first"
                [session] = ask(admin + "/sessions", **TOKEN).json()
                path = f"{admin}/sessions/{session['id']}?code=4400"
                assert ask(path, "DELETE", **TOKEN).status_code == 204
                assert ask(path, "DELETE", **TOKEN).status_code == 404
                with pytest.raises(Closed, match="4400"):
                    await socket.receive()
        assert "Traceback" not in process.log()


@pytest.mark.parametrize("transport", [NATIVE, "stream"])
async def test_session_whose_page_has_closed_is_not_closed_again(transport: str) -> None:
    """Its application is still busy with the end."""
    is_left, is_over = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await receive()
            is_left.set()
            await is_over.wait()

    watch = Watch(app)
    with anyio.fail_after(TIMEOUT):
        async with serve(WebSocketEmulation(watch)) as url, connect(url, transport) as socket:
            [name] = watch.sockets
            await socket.close(4000)
            await is_left.wait()
            assert not await watch.close(name, 4400, "")
            is_over.set()


async def test_sessions_need_the_token(running: Running) -> None:
    url, admin, _ = running
    assert ask(admin + "/sessions").status_code == 401
    assert ask(admin + "/sessions", Authorization="Bearer guess").status_code == 401
    assert ask(admin + "/sessions/x", "DELETE").status_code == 401
    assert ask(admin + "/sessions/x?code=1005", "DELETE", **TOKEN).status_code == 400
    assert ask(admin + "/ready").text == "ready\n"
    # The public address has nothing of this: these paths are the backend's.
    for path in ("/metrics", "/ready", "/sessions", "/healthz"):
        assert ask(url + path).status_code == 426


async def test_logs(running: Running) -> None:
    url, _, process = running
    before = len(lines(process))
    with anyio.fail_after(TIMEOUT):
        async with connect(url + "/echo?token=secret", "poll") as socket:
            await socket.send("hello")
            assert await socket.receive() == "hello"
        async with connect(url + "/echo?token=secret", NATIVE):
            pass
        with pytest.raises(Refused):
            async with connect(url + "/deny?token=secret", "stream"):
                pass
        with pytest.raises(Refused):
            async with connect(url + "/deny?token=secret", NATIVE):
                pass
    assert ask(url + "/page?token=secret").status_code == 426
    await until(lambda: '"GET /page HTTP/1.1\\" 426' in process.log())
    entries = lines(process)[before:]
    assert "secret" not in process.log()
    assert "emulation=" not in process.log()
    assert not [entry for entry in entries if entry["level"] == "error"]
    # Each end is told once, by who knows most of it.
    ends = [entry for entry in entries if "1005" in entry["message"]]
    assert {entry["logger"] for entry in ends} == {"emulation.diary", "emulation_server.sessions"}
    assert len({entry["session"] for entry in ends}) == len(ends) == 2
    refused = [entry for entry in entries if "refused" in entry["message"]]
    # The emulated one, of which two parts speak; the native one is a second of its kind.
    assert [*Counter(entry["session"] for entry in refused).values()] == [2]
    assert {entry["logger"] for entry in refused} == {
        "emulation_server.gateway",
        "emulation.diary",
    }


async def test_flood_of_refusals_is_a_line_of_each_kind(backend: str) -> None:
    nobody = f"ws://127.0.0.1:{processes.free_port()}"
    kinds = {
        "/other": "refused: no route has the path /other",
        "/there/%2e%2e/x": "refused: A path must not hold the segments",
        "/there/deny": "refused by ws://.*: it answered 401",
        "/nobody": "no WebSocket from ws://",
    }
    routes = ("--route", f"/there={backend}/", "--route", f"/nobody={nobody}")
    with processes.gateway(*routes) as (url, process), anyio.fail_after(TIMEOUT):
        for path in (path for path in kinds for _ in range(5)):
            with pytest.raises(Refused):
                async with connect(url + path, NATIVE):
                    pass
        for words in kinds.values():
            assert len(re.findall(words + ".*to 127.0.0.1; said once in 60 s", process.log())) == 1
            assert len(re.findall(words, process.log())) == 1


def test_refusals_that_were_not_said_are_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    refusals = Refusals()
    for number in range(1000):
        now = 1000 + number / 100
        scope = {"client": (f"10.0.0.{number % 200}", 1)}
        refusals.note(scope, logging.WARNING, "kind", "refused: %s", "why")
    now = 1061
    refusals.note({}, logging.WARNING, "kind", "refused: %s", "why")
    refusals.note({}, logging.WARNING, "another", "refused: %s", "why")
    assert [record.getMessage() for record in caplog.records] == [
        "refused: why (to 10.0.0.0; said once in 60 s; 0 more before, of 0 clients)",
        "refused: why (to an unknown address; said once in 60 s; 999 more before, of 100 clients)",
        "refused: why (to an unknown address; said once in 60 s; 0 more before, of 0 clients)",
    ]


async def test_debug_shows_no_secrets(backend: str) -> None:
    """The libraries below would show whole handshakes, and each piece of an event stream."""
    headers = [("cookie", "id=COOKIE"), ("authorization", "Bearer BEARER")]
    with processes.gateway(backend, "--log-level", "debug", "--access-log") as (url, process):
        with anyio.fail_after(TIMEOUT):
            for transport in TRANSPORTS:
                path = "/echo?access_token=TOKEN"
                async with connect(url + path, transport, headers=headers) as socket:
                    await socket.send("MESSAGE")
                    assert await socket.receive() == "MESSAGE"
            await until(lambda: process.log().count(" with 1005 ") == len(TRANSPORTS))
        log = process.log()
    secrets = ("TOKEN", "COOKIE", "BEARER", "MESSAGE", "emulation=", "Sec-WebSocket")
    assert not [secret for secret in secrets if secret in log]


async def test_end_in_good_order(fresh: Running) -> None:
    url, _, process = fresh
    with anyio.fail_after(TIMEOUT):
        async with (
            connect(url + "/echo", "stream") as streaming,
            connect(url + "/echo", "poll") as polling,
            connect(url + "/echo", NATIVE) as native,
        ):
            for socket in (streaming, polling, native):
                await socket.send("hello")
                assert await socket.receive() == "hello"
            status = await anyio.to_thread.run_sync(process.end)
            for socket in (streaming, polling, native):
                with pytest.raises(Closed) as closed:
                    await socket.receive()
                assert closed.value.code == 1012
    assert status in (0, -15)
    assert "Traceback" not in process.log()
    assert not [entry for entry in lines(process) if entry["level"] == "error"]


def certificate(directory: Path) -> tuple[str, str]:
    """Make a certificate for localhost that is its own authority."""
    key, chain = directory / "key.pem", directory / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(
        [*command, "-keyout", str(key), "-out", str(chain)], check=True, capture_output=True
    )
    return str(key), str(chain)


async def test_backend_behind_tls_is_verified(tmp_path: Path) -> None:
    key, chain = certificate(tmp_path)
    tls = ("--ssl-keyfile", key, "--ssl-certfile", chain)
    with processes.gateway("tests.apps.starlette_app:app", *tls) as (inner, _):
        assert inner.startswith("https:")
        port = re.findall("[0-9]+$", inner)[0]
        target = f"wss://localhost:{port}"
        with anyio.fail_after(TIMEOUT):
            with processes.gateway(target, "--backend-ca", chain) as (url, _):
                async with connect(url + "/echo", "websocket") as socket:
                    await socket.send("hello")
                    assert await socket.receive() == "hello"
            with processes.gateway(target) as (url, process):
                with pytest.raises(Refused) as refused:
                    async with connect(url + "/echo", "websocket"):
                        pass
                assert refused.value.status == 502
                assert "certificate verify failed" in process.log()


async def test_unix_socket(backend: str, tmp_path: Path) -> None:
    path = str(tmp_path / "gateway.sock")
    with processes.running(
        processes.command("serve", backend, "--unix", path), processes.SEARCH
    ) as process:
        process.wait_for("unix socket")
        transport = httpx.AsyncHTTPTransport(uds=path)
        async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
            answer = await client.get("http://gateway/emulation.js")
        assert answer.status_code == 200


async def test_unix_socket_that_cannot_be_made(backend: str, tmp_path: Path) -> None:
    with processes.running(
        processes.command("serve", backend, "--unix", str(tmp_path / "missing" / "socket"))
    ) as process:
        process.wait_for("cannot be made: No such file or directory")
        assert process.popen.wait(TIMEOUT) == 3
