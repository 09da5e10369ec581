"""The newest and the oldest engine, through the gateway, to backends in four languages.

The page is of another origin than the gateway, as it is where a gateway is put beside a server; in
PhantomJS also of the same, for its EventSource knows no other.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.engines.engines import ENGINES, NATIVE, OWN, Engine, PhantomJS1
from tests.engines.reports import reports
from tests.support import recorded
from tests.support.servers import Servers

pytestmark = [pytest.mark.browser, pytest.mark.integration]

PAGES = "tests.gateway.pages:app"
DRIVER = Path(__file__).parent / "phantom.js"
RUN_TIME = 30.0
KINDS = ("python", "node", "go", "c")
SOCKETS = 3

Behind = Callable[[str], tuple[str, str]]

[CHROMIUM] = [engine for engine in ENGINES if engine.name == "chromium"]
PHANTOM = PhantomJS1("1.9.8", 2014)


class PhantomAtHome(PhantomJS1):
    """PhantomJS with a page of the gateway's own origin."""

    def __init__(self, gateway: str) -> None:
        super().__init__("1.9.8", 2014)
        self.gateway = gateway

    def command(self, url: str, home: Path) -> list[str]:
        return [str(self.executable()), str(DRIVER), url, self.gateway]


async def check(
    servers: Servers, behind: Behind, kind: str, engine: Engine, runs: Sequence[tuple[str, str]]
) -> None:
    """Let an engine talk to a backend; each run has to come to its transport, "" for native."""
    reason = engine.missing()
    if reason:
        pytest.skip(reason)
    front, backend = behind(kind)
    url = f"{servers.get(PAGES).url}/{front.removeprefix('http://')}/{kind}"
    token = secrets.token_hex(8)
    names = [run for run, _ in runs]
    results = await reports(engine, names, url, run_time=RUN_TIME, token=token)
    for result, (run, transport) in zip(results, runs, strict=True):
        told = "\n".join([f"{engine.name}, {run}, {result['passed']}:", *result["lines"]])
        assert result["run"] == run
        assert result["failure"] is None, f"{result['failure']}\n{told}"
        assert re.search(engine.agent, result["agent"]), result["agent"]
        # An engine may have had to find out what it cannot do.
        assert result["transports"][-1:] == ([transport] if transport else []), told
        assert run == OWN or len(set(result["transports"])) < 2, told
        if kind in ("python", "node"):
            assert len(await recorded.starts(backend, f"{token}-{run}.")) == SOCKETS, told


def group(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.xdist_group(f"gateway-{kind}")


@pytest.mark.parametrize(
    ("kind", "engine"),
    [
        pytest.param("python", CHROMIUM, marks=group("python")),
        pytest.param("c", CHROMIUM, marks=group("c")),
        pytest.param("go", PHANTOM, marks=group("go")),
    ],
    ids=["python-chromium", "c-chromium", "go-phantomjs"],
)
async def test_own_choice(servers: Servers, behind: Behind, kind: str, engine: Engine) -> None:
    choice = "xhr-stream" if engine is PHANTOM else engine.choice
    await check(servers, behind, kind, engine, [(OWN, choice)])


@pytest.mark.full
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", [pytest.param(kind, marks=group(kind)) for kind in KINDS])
async def test_each_transport_in_chromium(servers: Servers, behind: Behind, kind: str) -> None:
    transports = [(name, name) for name in CHROMIUM.transports]
    await check(servers, behind, kind, CHROMIUM, [(NATIVE, ""), *transports])


@pytest.mark.full
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", [pytest.param(kind, marks=group(kind)) for kind in KINDS])
async def test_each_transport_in_phantomjs(servers: Servers, behind: Behind, kind: str) -> None:
    others = ("xhr-stream", "poll")
    await check(servers, behind, kind, PHANTOM, [(name, name) for name in others])
    at_home = PhantomAtHome(behind(kind)[0])
    for run, transport in ((OWN, at_home.choice), *((name, name) for name in PHANTOM.transports)):
        await check(servers, behind, kind, at_home, [(run, transport)])
