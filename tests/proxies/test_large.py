"""The largest message, both ways, through what limits, holds and cuts bodies."""

from __future__ import annotations

import random
import secrets

import anyio
import pytest

from emulation.testing import TRANSPORTS, connect
from tests.proxies.reverse import DEFAULT, RECOMMENDED
from tests.proxies.running import running
from tests.support import recorded
from tests.support.faults import LabBefore
from tests.support.servers import Servers

pytestmark = pytest.mark.integration

APPLICATION = "tests.apps.emulated.starlette_app:app"
SIZE = 16 * 1024 * 1024  # Config.max_message_size
CUT = 256 * 1024
TIMEOUT = 90


@pytest.mark.parametrize("transport", TRANSPORTS[1:])
async def test_largest_message_through_nginx_as_it_comes(servers: Servers, transport: str) -> None:
    server = servers.get(APPLICATION)
    with running(DEFAULT["nginx"], [server.port]) as proxy:
        await echo_largest(proxy.url, server.url, transport)


@pytest.mark.full
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("name", RECOMMENDED)
async def test_largest_message(servers: Servers, name: str, transport: str) -> None:
    server = servers.get(APPLICATION)
    with running(RECOMMENDED[name], [server.port]) as proxy:
        await echo_largest(proxy.url, server.url, transport)


@pytest.mark.parametrize("transport", TRANSPORTS[1:])
async def test_largest_message_where_each_body_is_cut(
    servers: Servers, lab_before: LabBefore, transport: str
) -> None:
    server = servers.get(APPLICATION)
    lab = lab_before(server.url, "cut-bodies", after=CUT)
    await echo_largest(lab.url, server.url, transport)
    assert lab.counts["truncated"] >= 2 * (SIZE // CUT - 1)


async def echo_largest(url: str, server_url: str, transport: str) -> None:
    token = secrets.token_hex(8)
    message = random.Random(0).randbytes(SIZE)
    with anyio.fail_after(TIMEOUT):
        async with connect(f"{url}/echo?token={token}", transport=transport) as ws:
            await ws.send(message)
            # Not in the assertion: nobody wants to see where they differ.
            is_same = await ws.receive(None) == message
            assert is_same
            await ws.close(4000)
            assert ws.closed is not None and ws.closed.was_clean
        [start] = await recorded.starts(server_url, token)
    assert start["transport"] == transport
