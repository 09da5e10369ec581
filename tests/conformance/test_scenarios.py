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


# It drops empty messages, reasons and codes, and what is still to be sent when it closes.
NOT_A_CONTROL = "daphne"


def runs(scenario: Scenario, server: str, transport: str) -> bool:
    """Say whether the scenario runs on the server; large messages are moved on one server only."""
    if server == NOT_A_CONTROL and transport == NATIVE:
        return False
    return server == "uvicorn" or not scenario.is_long


@pytest.mark.parametrize(
    ("server", "transport", "scenario"),
    [
        pytest.param(server, transport, scenario, id=f"{server}-{transport}-{scenario.name}")
        for server in COMMANDS
        for transport in TRANSPORTS
        for scenario in SCENARIOS
        if runs(scenario, server, transport)
    ],
)
async def test_scenario(servers: Servers, server: str, transport: str, scenario: Scenario) -> None:
    running = servers.get(BARE if transport == NATIVE else EMULATED, server)
    await run(scenario, Stage(running.url, server, transport))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
async def test_plain_websocket_passes_the_middleware(servers: Servers, scenario: Scenario) -> None:
    running = servers.get(EMULATED)
    await run(scenario, Stage(running.url, "uvicorn", NATIVE))


async def run(scenario: Scenario, stage: Stage) -> None:
    """Play the scenario; each of its sockets has to start the application once, as it said."""
    with anyio.fail_after(scenario.timeout):
        await scenario.run(stage)
    reported = None if stage.transport == NATIVE else stage.transport
    starts = await stage.starts()
    assert [start["transport"] for start in starts] == [reported] * stage.expected_starts
