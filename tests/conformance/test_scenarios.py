"""The one list of scenarios over each transport, plain WebSocket included, on each server."""

from __future__ import annotations

import anyio
import pytest

from tests.conformance.scenarios import SCENARIOS, Scenario, Stage
from tests.support.client import NATIVE, TRANSPORTS
from tests.support.servers import COMMANDS, Servers

pytestmark = pytest.mark.integration

BARE = "tests.apps.starlette_app:app"
EMULATED = "tests.apps.emulated.starlette_app:app"


def runs(scenario: Scenario, server: str) -> bool:
    """Say whether the scenario runs on the server; large messages are moved on one server only."""
    return server == "uvicorn" or not scenario.is_long


@pytest.mark.parametrize(
    ("server", "transport", "scenario"),
    [
        pytest.param(server, transport, scenario, id=f"{server}-{transport}-{scenario.name}")
        for server in COMMANDS
        for transport in TRANSPORTS
        for scenario in SCENARIOS
        if runs(scenario, server)
    ],
)
async def test_scenario(servers: Servers, server: str, transport: str, scenario: Scenario) -> None:
    running = servers.get(BARE if transport == NATIVE else EMULATED, server)
    stage = Stage(running.url, server, transport)
    with anyio.fail_after(scenario.timeout):
        await scenario.run(stage)
    reported = None if transport == NATIVE else transport
    starts = await stage.starts()
    assert [start["transport"] for start in starts] == [reported] * stage.expected_starts
