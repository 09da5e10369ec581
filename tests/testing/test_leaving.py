"""The end of a page whose last acknowledgement meets the end of its native socket."""

from __future__ import annotations

import anyio
import pytest
from websockets.asyncio.server import ServerConnection, serve

from emulation.protocol.codec import frame_to_json
from emulation.testing import connect, shared
from tests.testing.scripted import OPENED

TIMEOUT = 10.0


async def test_leaves_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "_LAST_WORDS", 2 * TIMEOUT)

    async def end_at_once(socket: ServerConnection) -> None:
        for document in OPENED:
            await socket.send("\0" + frame_to_json(document).decode())
        while (await socket.recv()) != '\0["c",1000]':
            pass
        await socket.send('\0["ack",1]')
        await socket.send('\0["c",1000]')
        await socket.close()

    with anyio.fail_after(TIMEOUT):
        async with serve(
            end_at_once,
            "127.0.0.1",
            0,
            compression=None,
            select_subprotocol=lambda socket, offered: offered[0],
        ) as server:
            port = server.sockets[0].getsockname()[1]
            async with connect(f"http://127.0.0.1:{port}/", transport="websocket") as socket:
                await socket.close(1000)
                assert socket.close_code == 1000
