"""The list of scenarios through the gateway, to backends that know nothing of it."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from tests.conformance.scenarios import NATIVE_MANNERS, SCENARIOS, Manner, Scenario, Stage
from tests.support import recorded
from tests.support.client import TRANSPORTS, connect

pytestmark = pytest.mark.integration

# What every run plays; the others are for the long run.
QUICK = {
    "opens_and_echoes",
    "denial_response_with_a_status",
    "second_subprotocol",
    "text_of_every_kind",
    "binary_of_1_mib",
    "burst_of_1000_messages_down",
    "server_closes_with_code_and_reason",
    "client_closes_with_code_and_reason",
    "client_closes_without_a_code",
    "application_crashes",
    "headers_of_the_accept_arrive",
}

TIMEOUT = 20.0


class Behind(Stage):
    """A stage whose server is behind the gateway: what it has recorded is asked of it directly."""

    backend = ""

    @property
    def manner(self) -> Manner:
        # What breaks off in the backend breaks off in the page.
        return NATIVE_MANNERS["uvicorn"]

    async def starts(self) -> list[dict[str, Any]]:
        return await recorded.starts(self.backend, self.token)

    async def disconnects(self, count: int = 1) -> list[dict[str, Any]]:
        return await recorded.disconnects(self.backend, self.token, count)


def marks(kind: str, scenario: Scenario) -> list[pytest.MarkDecorator]:
    # One worker starts what a group needs, once.
    group = pytest.mark.xdist_group(f"gateway-{kind}")
    return [group] if scenario.name in QUICK else [group, pytest.mark.full]


@pytest.mark.parametrize(
    ("kind", "transport", "scenario"),
    [
        pytest.param(
            kind,
            transport,
            scenario,
            id=f"{kind}-{transport}-{scenario.name}",
            marks=marks(kind, scenario),
        )
        for kind in ("python", "node")
        for transport in TRANSPORTS
        for scenario in SCENARIOS
    ],
)
async def test_scenario(
    behind: Callable[[str], tuple[str, str]], kind: str, transport: str, scenario: Scenario
) -> None:
    front, backend = behind(kind)
    stage = Behind(front, "uvicorn", transport)
    stage.backend = backend
    with anyio.fail_after(scenario.timeout):
        await scenario.run(stage)
    assert len(await stage.starts()) == stage.expected_starts


@pytest.mark.xdist_group("gateway-c")
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_backend_in_c(behind: Callable[[str], tuple[str, str]], transport: str) -> None:
    front, _ = behind("c")
    protocols = ["dumb-increment-protocol"]
    with anyio.fail_after(TIMEOUT):
        async with connect(front + "/", transport, subprotocols=protocols) as socket:
            assert socket.subprotocol == "dumb-increment-protocol"
            numbers = [int(await socket.receive()) for _ in range(20)]
            assert numbers == list(range(numbers[0], numbers[0] + 20))
            await socket.close(1000)


@pytest.mark.xdist_group("gateway-go")
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_backend_in_go_speaks_mqtt(
    behind: Callable[[str], tuple[str, str]], transport: str
) -> None:
    front, _ = behind("go")
    with anyio.fail_after(TIMEOUT):
        async with connect(front + "/mqtt", transport, subprotocols=["mqtt"]) as socket:
            assert socket.subprotocol == "mqtt"
            topic = f"rooms/{transport}"
            # MQTT 3.1.1: CONNECT, SUBSCRIBE and PUBLISH with QoS 0.
            await socket.send(
                packet(0x10, field("MQTT") + b"\x04\x02\x00\x3c" + field(next(names)))
            )
            assert await read(socket, 4) == b"\x20\x02\x00\x00"
            await socket.send(packet(0x82, b"\x00\x01" + field(topic) + b"\x00"))
            assert await read(socket, 5) == b"\x90\x03\x00\x01\x00"
            published = packet(0x30, field(topic) + b"hello")
            await socket.send(published)
            assert await read(socket, len(published)) == published


names = (f"client{number}" for number in itertools.count())


def field(text: str) -> bytes:
    return struct.pack(">H", len(text)) + text.encode()


def packet(kind: int, content: bytes) -> bytes:
    return bytes((kind, len(content))) + content


async def read(socket: Any, size: int) -> bytes:
    """Read exactly so many bytes, from as many messages as they come in."""
    data = b""
    while len(data) < size:
        data += await socket.receive()
    return data
