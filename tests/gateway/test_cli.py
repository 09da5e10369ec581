"""The command: flags, environment and file, and what it says of mistakes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import anyio
import anyio.to_thread
import httpx
import pytest

from emulation_server.lab import MODES
from emulation_server.settings import parse_address
from tests.gateway import processes
from tests.support.cli import invoke
from tests.support.client import connect
from tests.support.servers import Servers

ECHO = "tests.apps.starlette_app:app"
TIMEOUT = 20.0

MISTAKES = {
    ("serve",): "Say in front of what",
    ("serve", "http://x"): "is no WebSocket URL",
    ("serve", "ws://[::1"): "'ws://[::1' is no WebSocket URL",
    ("serve", "main"): "is neither a URL nor module:name",
    ("serve", "ws://x", "--route", "mqtt=ws://y"): "is no route",
    ("serve", "ws://x", "--route", "/=ws://y"): "given twice",
    ("serve", "--route", "/a=ws://x", "--route", "/a/=ws://y"): "route '/a' is given twice: a",
    ("serve", "ws://x", "--route", "//=ws://y"): "route '/' is given twice: a",
    ("serve", "--route", "/a b=ws://x"): "route '/a b' never matches: A path must",
    ("serve", "--route", "/a/../b=ws://x"): "route '/a/../b' never matches: A path must not",
    ("serve", "--route", "/a?b=ws://x"): "route '/a?b' never matches: ",
    ("serve", "main:app", "--route", "/mqtt=ws://y"): "needs backends",
    ("serve", "ws://x", "--port", "70000"): "less than or equal to 65535",
    ("serve", "ws://x", "--admin", "here"): "'--admin': 'here' is no address; give HOST:PORT",
    ("serve", "ws://x", "--origin", "example"): "is not an origin",
    ("serve", "ws://x", "--heartbeat", "0"): "must be more than 0 seconds",
    ("serve", "ws://x", "--transport", "carrier-pigeon"): "must name at least one transport",
    (
        "serve",
        "ws://x",
        "--forwarded-allow-ips",
        "proxy",
    ): "forwarded_allow_ips: 'proxy' is no address or",
    ("serve", "ws://x", "--ssl-certfile", "/nowhere"): "does not exist",
    ("serve", "ws://x", "--backend-ca", __file__): "certificate",
    ("serve", "ws://x", "--ssl-certfile", __file__): "no key or certificate in PEM",
    ("serve", "ws://x", "--ssl-keyfile", __file__): "no use without --ssl-certfile",
    ("serve", "ws://x", "--log-level", "loud"): "loud",
    ("serve", "tests.gateway.test_cli:TIMEOUT"): "is no ASGI application, but 20.0",
    ("serve", "ws://x", "--backend-timeout", "-1"): "greater than or equal to 0.1",
    ("lab", "unknown", "--to", "localhost:1"): "there is no mode",
    ("lab", "drop", "--to", "localhost:1", "--set", "x=1"): "has no option",
    ("lab", "drop", "--to", "localhost:1", "--set", "after=x"): "'x' is no whole number",
    ("lab", "drop", "--to", "localhost:1", "--set", "probability=7"): "7 must be from 0 to 1",
    ("lab", "drop", "--to", "localhost:1", "--set", "probability=-0.1"): "-0.1 must be from 0 to 1",
    ("lab", "drop", "--to", "localhost:1", "--set", "after=-5"): "-5 must be at least 0",
    ("lab", "drop", "--to", "localhost:1", "--set", "every=0"): "0 must be at least 1",
    ("lab", "drop", "--to", "localhost:1", "--set", "after=9", "--set", "until=5"): "5 must be at",
    ("lab", "drop", "--to", "localhost:1", "--set", "after=nan"): "'nan' is no whole number",
    ("lab", "drop", "--to", "localhost:1", "--set", "after=1e3"): "'1e3' is no whole number",
    ("lab", "delay", "--to", "localhost:1", "--set", "delay=inf"): "'inf' is no number",
    ("lab", "delay", "--to", "localhost:1", "--set", "delay=nan"): "'nan' is no number",
    ("lab", "drop", "--to", "localhost:1", "--then", "unknown"): "there is no mode",
    ("lab", "drop", "--to", "localhost"): "give HOST:PORT",
}


@pytest.mark.parametrize("arguments", MISTAKES, ids=" ".join)
def test_mistake_is_explained(arguments: tuple[str, ...]) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2, result.output
    assert MISTAKES[arguments] in " ".join(result.output.split())
    assert "Traceback" not in result.output


FILES = {
    "colour = 3": "has the key 'colour'; there are",
    "port = 'x'": "should be a valid integer",
    "port": "is no TOML",
    "[host]": "host must not be a table",
    "origin = 'https://x'": "origin must be a list, such as origin = ['https://x']",
    "transport = 'poll'": "transport must be a list",
    "host = ['x']": "host must not be a list",
}


@pytest.mark.parametrize("content", FILES)
def test_mistake_in_a_file_is_explained(tmp_path: Path, content: str) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(content)
    result = invoke("serve", "ws://x", "--config", str(path))
    assert result.exit_code == 2
    assert FILES[content] in " ".join(result.output.split())


def test_help_teaches() -> None:
    result = invoke("serve", "--help")
    for part in (
        "ws://localhost:9000",
        "/emulation.js",
        "WEBSOCKET_EMULATION_LOG_LEVEL",
        "--config",
        "WEBSOCKET_EMULATION_PASS_HOST;",
    ):
        assert part in result.output


def test_missing_packages_are_named() -> None:
    """Who installs the library without its extra has the command, too."""
    program = (
        "import sys; sys.modules['typer'] = None\n"
        "from emulation_server.__main__ import main; main()"
    )
    environment = {**os.environ, **processes.SEARCH}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 2, ended.stderr
    assert "pip install 'websocket-emulation[server]'" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.integration
@pytest.mark.parametrize(
    "arguments",
    [
        ("serve", "ws://x", "--port", "PORT"),
        ("serve", "ws://x", "--port", "0", "--admin", "PORT"),
        ("lab", "plain", "--to", "localhost:1", "--port", "PORT"),
    ],
    ids=" ".join,
)
def test_port_that_is_taken_is_named(arguments: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [argument.replace("PORT", port) for argument in arguments]
        ended = subprocess.run(
            [sys.executable, "-m", "emulation_server", *command],
            env={**os.environ, **processes.SEARCH},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert ended.returncode == 3, ended.stderr
    assert port in ended.stderr and "address already in use" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("option", ["--host", "--admin"])
def test_host_that_does_not_exist_is_named(option: str) -> None:
    value = "nohost.invalid" + (":1" if option == "--admin" else "")
    result = invoke("serve", "ws://x", "--port", "0", option, value)
    assert result.exit_code == 3
    assert f"{option}: there is no address nohost.invalid here" in result.stderr


def test_addresses() -> None:
    assert parse_address("9100") == ("127.0.0.1", 9100)
    assert parse_address("[::1]:9100") == ("::1", 9100)


@pytest.mark.integration
async def test_flag_before_environment_before_file(servers: Servers, tmp_path: Path) -> None:
    backend = servers.get(ECHO).url.replace("http:", "ws:")
    path = tmp_path / "gateway.toml"
    path.write_text(f'log-level = "error"\nlog_format = "json"\n[route]\n"/e" = "{backend}/echo"\n')
    environment = {
        "WEBSOCKET_EMULATION_CONFIG": str(path),
        "WEBSOCKET_EMULATION_LOG_FORMAT": "text",
        "WEBSOCKET_EMULATION_LOG_LEVEL": "error",
    }
    with processes.gateway("--log-level", "info", environment=environment) as (url, process):
        # Said by a flag that it is logged at all, and by the environment that it is no JSON.
        assert f"INFO    emulation_server: in front of {backend}/echo for /e" in process.log()
        with anyio.fail_after(TIMEOUT):
            async with connect(url + "/e", "stream") as socket:
                await socket.send("hello")
                assert await socket.receive() == "hello"


@pytest.mark.integration
async def test_switch_in_the_environment() -> None:
    environment = {"WEBSOCKET_EMULATION_DOCTOR": "true"}
    with processes.gateway(ECHO, environment=environment) as (url, _):
        async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT) as client:
            assert (await client.get(url + "/.websocket-emulation/doctor/")).status_code == 200


@pytest.mark.integration
async def test_application_of_this_process() -> None:
    with processes.gateway(ECHO) as (url, _), anyio.fail_after(TIMEOUT):
        async with connect(url + "/echo", "poll") as socket:
            await socket.send("hello")
            assert await socket.receive() == "hello"


@pytest.mark.integration
async def test_several_backends(servers: Servers) -> None:
    backend = servers.get(ECHO).url.replace("http:", "ws:")
    routes = ["--route", f"/one={backend}/echo", "--route", f"/burst={backend}"]
    with processes.gateway(*routes) as (url, _), anyio.fail_after(TIMEOUT):
        async with connect(url + "/one", "websocket") as socket:
            await socket.send("hello")
            assert await socket.receive() == "hello"
        async with connect(url + "/burst?n=1", "websocket") as socket:
            assert await socket.receive() == "1"


@pytest.mark.integration
async def test_lab(servers: Servers) -> None:
    to = servers.get("tests.apps.emulated.starlette_app:app").url.removeprefix("http://")
    with processes.lab("strip", to) as (url, log), anyio.fail_after(TIMEOUT):
        async with connect(url + "/echo", "stream") as socket:
            await socket.send("hello")
            assert await socket.receive() == "hello"
        await anyio.to_thread.run_sync(log.wait_for, r"POST /echo\?emulation=send\.\S+: 204, ")


@pytest.mark.integration
async def test_lab_changes_its_mode_in_turn(servers: Servers) -> None:
    to = servers.get("tests.apps.emulated.starlette_app:app").url.removeprefix("http://")
    turns = [word for mode in MODES for word in ("--then", mode)]
    options = ("--set", "probability=0", *turns, "--every", "0.1")
    with processes.lab("drop", to, *options) as (url, log), anyio.fail_after(TIMEOUT):
        async with connect(url + "/echo", "stream") as socket:
            await socket.send("hello")
            assert await socket.receive() == "hello"
        for mode in MODES:
            await anyio.to_thread.run_sync(log.wait_for, rf"now {mode}\n")
