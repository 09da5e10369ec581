"""What a page sees of a backend that breaks the rules: the same as if it had connected itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import anyio
import pytest

from tests.gateway import misbehaving, processes
from tests.gateway.misbehaving import CLOSES, FRAMES, HANDSHAKES, STATUSES, path_of
from tests.support.client import NATIVE, TRANSPORTS, Closed, Refused, connect

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("gateway-misbehaving")]

TIMEOUT = 20.0

# Every way over these on each run, and over the others on the long one.
QUICK = (NATIVE, "websocket", "poll")


class Seen(NamedTuple):
    """All that a page learns of a socket."""

    messages: tuple[str | bytes, ...]
    code: int
    reason: str
    was_clean: bool


NOT_OPENED = Seen((), 1006, "", False)
BROKEN_OFF = Seen(("first",), 1006, "", False)


@pytest.fixture(scope="module")
def bad() -> Iterator[str]:
    with misbehaving.misbehaving() as host:
        yield f"http://{host}"


@pytest.fixture(scope="module")
def front(bad: str) -> Iterator[str]:
    target = bad.replace("http:", "ws:")
    with processes.gateway(target, "--backend-timeout", "2") as (url, process):
        yield url
        assert "Traceback" not in process.log(), process.log()


@pytest.fixture(
    params=[
        pytest.param(name, marks=[] if name in QUICK else [pytest.mark.full]) for name in TRANSPORTS
    ]
)
def transport(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


async def see(base: str, path: str, transport: str) -> Seen:
    messages: list[str | bytes] = []
    with anyio.fail_after(TIMEOUT):
        try:
            async with connect(base + path, transport) as socket:
                while True:
                    messages.append(await socket.receive())
        except Refused:
            return NOT_OPENED
        except Closed as closed:
            return Seen(tuple(messages), closed.code, closed.reason, closed.was_clean)


@pytest.mark.parametrize("what", HANDSHAKES)
async def test_broken_handshake(bad: str, front: str, transport: str, what: str) -> None:
    assert await see(bad, path_of(what), NATIVE) == NOT_OPENED
    assert await see(front, path_of(what), transport) == NOT_OPENED


@pytest.mark.parametrize("what", FRAMES)
async def test_broken_frames(bad: str, front: str, transport: str, what: str) -> None:
    assert await see(bad, path_of(what), NATIVE) == BROKEN_OFF
    assert await see(front, path_of(what), transport) == BROKEN_OFF


@pytest.mark.parametrize("what", CLOSES)
async def test_odd_closes(bad: str, front: str, transport: str, what: str) -> None:
    expected = Seen(("first",), CLOSES[what][1], "", True)
    if not CLOSES[what][2]:
        assert await see(bad, path_of(what), NATIVE) == expected
    assert await see(front, path_of(what), transport) == expected


@pytest.mark.parametrize("status", STATUSES)
async def test_status(front: str, transport: str, status: int) -> None:
    """No status is followed, asked back for, or made another one."""
    if status == 301 and transport == NATIVE:
        pytest.skip("this client would itself follow it")
    with anyio.fail_after(TIMEOUT), pytest.raises(Refused) as refused:
        async with connect(f"{front}/{status}", transport):
            pass
    assert refused.value.status == status


async def test_silence(front: str, transport: str) -> None:
    assert await see(front, "/silence", transport) == NOT_OPENED


async def test_nobody_there(transport: str) -> None:
    with processes.gateway(f"ws://127.0.0.1:{processes.free_port()}") as (url, process):
        with anyio.fail_after(TIMEOUT), pytest.raises(Refused) as refused:
            async with connect(url + "/", transport):
                pass
        assert refused.value.status == 502
        assert "no WebSocket from" in process.log()


async def test_message_that_is_too_large_is_told(bad: str, transport: str) -> None:
    if transport == "websocket":
        pytest.skip("the page's own documents are over so small a limit")
    target = bad.replace("http:", "ws:")
    with processes.gateway(target, "--max-message-size", "4") as (url, process):
        assert await see(url, path_of("no close at all"), transport) == Seen((), 1006, "", False)
        process.wait_for("sent a message of more than the 4 bytes that --max-message-size allows")
        assert "broke off" not in process.log()
