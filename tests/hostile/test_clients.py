"""The client in Python through what lies between."""

from __future__ import annotations

import anyio
import pytest

from emulation import testing
from tests.support.faults import LabBefore
from tests.support.servers import Servers

pytestmark = [pytest.mark.integration]

APPLICATION = "tests.hostile.app:struck"
RESUME = 3.0  # seconds, in which a poll is answered


@pytest.mark.parametrize("transport", ["websocket", "stream", "poll"])
async def test_what_was_up_for_long_is_replaced_when_it_is_lost(
    servers: Servers, lab_before: LabBefore, transport: str
) -> None:
    lab = lab_before(servers.get(APPLICATION).url)
    url = f"ws://127.0.0.1:{lab.port}/echo"
    async with testing.connect(url, transport=transport, resume=RESUME) as socket:
        await anyio.sleep(RESUME + 0.5)
        lab.drop_connections()
        await socket.send("still here")
        assert await socket.receive() == "still here"
