"""The command `doctor`: what it says of a server, and its exit status."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gateway import processes
from tests.gateway.test_operations import certificate
from tests.support.cli import invoke
from tests.support.faults import LabBefore
from tests.support.servers import Servers

pytestmark = pytest.mark.integration

WITH_DOCTOR = "tests.doctor.app:app"
EMULATED = "tests.apps.emulated.starlette_app:app"
PLAIN = "tests.apps.starlette_app:app"


def doctor(*arguments: str) -> tuple[int, str]:
    result = invoke("doctor", *arguments)
    print(result.output)
    assert "Traceback" not in result.output
    return result.exit_code, result.output


def test_server_with_its_doctor(servers: Servers) -> None:
    status, output = doctor(servers.get(WITH_DOCTOR).url)
    assert status == 0
    for line in (
        "has the doctor's checks.",
        "reached     in HTTP/1.1, round trip ",
        "between     nobody gives itself away",
        "native      opens in ",
        "websocket   opens in ",
        "poll        opens in ",
        "pieces      streams arrive as they are written",
        "WebSocket works here: pages use it, at about ",
    ):
        assert line in output


def test_server_without_a_doctor(servers: Servers) -> None:
    status, output = doctor(servers.get(EMULATED).url.replace("http:", "ws:") + "/echo")
    assert status == 0
    assert "is tried itself" in output
    assert "WebSocket works here" in output


def test_upgrade_that_is_taken_out(servers: Servers, lab_before: LabBefore) -> None:
    lab = lab_before(servers.get(EMULATED).url, "strip")
    status, output = doctor(f"{lab.url}/echo")
    assert status == 1
    assert "native      no: refused with " in output
    assert "WebSocket does not work here; stream does: pages will use it" in output


@pytest.mark.full
@pytest.mark.parametrize("application", [WITH_DOCTOR, EMULATED])
@pytest.mark.parametrize(
    ("mode", "winner", "words"),
    [
        ("blackhole", "stream", "websocket   no: it does not open in time"),
        ("buffer", "poll", "held back, for "),
    ],
)
def test_intermediary(
    servers: Servers, lab_before: LabBefore, application: str, mode: str, winner: str, words: str
) -> None:
    lab = lab_before(servers.get(application).url, mode)
    status, output = doctor(f"{lab.url}/echo")
    assert status == 1
    assert words in output
    assert f"WebSocket does not work here; {winner} does" in output


def test_path_without_a_websocket(servers: Servers) -> None:
    status, output = doctor(f"{servers.get(EMULATED).url}/")
    assert status == 2
    assert "poll        no: refused with 403" in output
    assert "is this the URL of a WebSocket" in output


def test_server_that_speaks_no_emulation(servers: Servers) -> None:
    status, output = doctor(f"{servers.get(PLAIN).url}/echo")
    assert status == 2
    assert "A POST is answered with 404, but not by the emulation." in output
    assert "native      opens in " in output
    assert "Is the middleware in its place" in output


def test_nobody_listens() -> None:
    status, output = doctor(f"http://127.0.0.1:{processes.free_port()}/")
    assert status == 2
    assert "the connection is refused." in output


def test_host_that_does_not_exist() -> None:
    status, output = doctor("http://nobody.invalid/")
    assert status == 2
    assert "There is no host called nobody.invalid." in output


def test_tls_where_there_is_none(servers: Servers) -> None:
    status, output = doctor(servers.get(PLAIN).url.replace("http:", "https:"))
    assert status == 2
    assert "Is it http: instead of https:?" in output


def test_certificate_has_to_be_trusted(tmp_path: Path) -> None:
    key, chain = certificate(tmp_path)
    arguments = ["--doctor", "--ssl-keyfile", key, "--ssl-certfile", chain]
    with processes.gateway("tests.apps.starlette_app:app", *arguments) as (url, _):
        status, output = doctor(url)
        assert status == 2
        assert "is not trusted" in output and "--ca" in output
        status, output = doctor("--ca", chain, url)
        assert status == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["here"], "is no absolute http:, https:, ws: or wss: URL"),
        (["http://[::1/"], "'http://[::1/' has no host and port that could be read"),
        (["http://h:99999/"], "'http://h:99999/' has no host and port that could be read"),
        (["http://127.0.0.1/", "-H", "nothing"], "'--header': 'nothing' is no header"),
        (["http://127.0.0.1/", "-H", "a b: c"], "'--header': 'a b' is no name of a header"),
        (["http://127.0.0.1/", "-H", "x: a\nb"], "'--header': The value of the header 'x'"),
        (["http://127.0.0.1/", "-H", "x: €"], "'--header': The value of the header 'x'"),
        ([], "Missing argument"),
    ],
)
def test_mistake_is_explained(arguments: list[str], words: str) -> None:
    status, output = doctor(*arguments)
    assert status == 2
    assert words in " ".join(output.split())
