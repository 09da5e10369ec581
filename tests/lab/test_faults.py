"""Each fault strikes as its docstring says."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosedError

from emulation_server.lab import Lab
from emulation_server.lab.faults import frame_size
from tests.lab.client import SECONDS, get, http, nothing, post, raw, release, until, websocket
from tests.lab.origin import Origin


async def _length_of_broken(lab: Lab, target: str) -> int:
    """Return the bytes that came of a body that has no valid end."""
    got = 0
    async with http(lab.url) as client, client.stream("GET", target) as response:
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            async for piece in response.aiter_bytes():
                got += len(piece)
    return got


async def test_drop_resets_in_the_middle_of_an_answer(origin: Origin) -> None:
    async with Lab(origin.address, "drop", after=1000) as lab:
        async with raw(lab) as connection:
            await connection.write(b"GET /bytes?blocks=8 HTTP/1.1\r\nHost: h\r\n\r\n")
            head = await connection.until(b"\r\n\r\n")
            with pytest.raises(ConnectionResetError):
                await connection.rest()
        assert b"content-length: 2048" in head.lower()
        assert (lab.cuts, lab.log[0].done, lab.log[0].received) == (1, ["reset"], 1000)


async def test_drop_leaves_an_answer_alone_that_is_shorter(origin: Origin) -> None:
    async with Lab(origin.address, "drop", after=1000) as lab:
        assert len((await get(lab, "/bytes?blocks=2")).content) == 512
        assert lab.cuts == 0


async def test_drop_strikes_every_third_request(origin: Origin) -> None:
    async with Lab(origin.address, "drop", every=3) as lab:
        for _ in range(2):
            await get(lab, "/number")
            await get(lab, "/number")
            assert await _length_of_broken(lab, "/number") == 0
        assert lab.cuts == 2


async def test_drop_draws_requests_and_places_from_the_seed(origin: Origin) -> None:
    async def lengths(seed: int) -> list[int]:
        options: dict[str, Any] = {"probability": 0.5, "until": 2000, "seed": seed}
        async with Lab(origin.address, "drop", **options) as lab, http(lab.url) as client:
            for _ in range(12):
                try:
                    await client.get("/bytes?blocks=8")
                except (httpx.ReadError, httpx.RemoteProtocolError):
                    pass
            return [entry.received for entry in lab.log]

    first = await lengths(1)
    assert first == await lengths(1)
    assert 0 < first.count(2048) < 12
    assert len(set(first)) > 3


async def test_drop_touches_only_the_targets_it_is_told(origin: Origin) -> None:
    async with Lab(origin.address, "drop", only=r"emulation=send\.") as lab:
        assert (await get(lab, "/bytes?blocks=1&emulation=stream.k")).status_code == 200
        assert await _length_of_broken(lab, "/bytes?blocks=1&emulation=send.k") == 0


async def test_drop_upwards_resets_in_the_middle_of_an_upload(origin: Origin) -> None:
    async with Lab(origin.address, "drop", after=1000, direction="up") as lab:
        with pytest.raises((httpx.WriteError, httpx.ReadError)):
            await post(lab, "/echo", b"x" * 5000)
        assert (lab.cuts, lab.log[0].sent) == (1, 1000)
    assert origin.state.seen == []


async def test_drop_resets_a_tunnel(origin: Origin) -> None:
    async with Lab(origin.address, "drop", after=100) as lab, websocket(lab) as socket:
        await socket.send("short")
        assert await socket.recv() == "short"
        await socket.send("x" * 200)
        with pytest.raises(ConnectionClosedError):
            await socket.recv()
        assert (lab.cuts, lab.log[0].received) == (1, 100)


async def test_truncate_ends_an_answer_with_a_valid_end(origin: Origin) -> None:
    async with Lab(origin.address, "truncate", after=1000) as lab:
        response = await get(lab, "/bytes?blocks=8")
        assert response.headers["transfer-encoding"] == "chunked"
        assert response.content == (bytes(range(256)) * 8)[:1000]
        assert (lab.cuts, lab.log[0].done) == (1, ["truncated"])


async def test_truncate_keeps_the_connection(origin: Origin) -> None:
    request = b"GET /bytes?blocks=8 HTTP/1.1\r\nHost: h\r\n\r\n"
    async with Lab(origin.address, "truncate", after=1000) as lab, raw(lab) as connection:
        for _ in range(2):
            await connection.write(request)
            await connection.until(b"\r\n0\r\n\r\n")
        assert lab.cuts == 2


async def test_truncate_ends_a_stream_that_goes_on(origin: Origin) -> None:
    async with Lab(origin.address, "truncate", after=3) as lab:
        assert (await get(lab, "/gated")).content == b"fir"
        await until(lambda: origin.state.departed == 1)


async def test_truncate_at_random_in_some_of_the_answers(origin: Origin) -> None:
    options: dict[str, Any] = {"probability": 0.5, "until": 2000}
    async with Lab(origin.address, "truncate", **options) as lab, http(lab.url) as client:
        lengths = [len((await client.get("/bytes?blocks=8")).content) for _ in range(12)]
        assert 0 < lengths.count(2048) < 12
        assert lab.cuts == 12 - lengths.count(2048)


@pytest.mark.parametrize("chunked", [False, True])
async def test_truncate_upwards_corrects_the_length(origin: Origin, chunked: bool) -> None:
    length = "Transfer-Encoding: chunked" if chunked else "Content-Length: 10"
    body = "a\r\n0123456789\r\n0\r\n\r\n" if chunked else "0123456789"
    request = f"POST /echo HTTP/1.1\r\nHost: h\r\n{length}\r\n\r\n{body}".encode()
    async with Lab(origin.address, "truncate", after=4, direction="up") as lab:
        async with raw(lab) as connection:
            for count in (1, 2):
                await connection.write(request)
                await connection.until(b"\r\n\r\n0123")
                assert lab.cuts == count
    assert [seen.body for seen in origin.state.seen] == [b"0123"] * 2
    assert origin.state.seen[0].headers["content-length"] == "4"


async def test_stall_lets_some_bytes_pass_and_then_nothing(origin: Origin) -> None:
    async with Lab(origin.address, "stall", after=7) as lab, http(lab.url) as client:
        async with client.stream("GET", "/bytes?blocks=1") as response:
            pieces = response.aiter_bytes()
            assert await anext(pieces) == bytes(range(7))
            await nothing(anext(pieces))
        assert lab.counts["stalled"] == 1


async def test_stall_upwards_never_finishes_the_upload(origin: Origin) -> None:
    async with Lab(origin.address, "stall", after=2, direction="up") as lab:
        upload = asyncio.create_task(post(lab, "/echo", b"body"))
        await until(lambda: lab.counts["stalled"] == 1)
        assert lab.log[0].sent == 2
        await nothing(upload)
    assert origin.state.seen == []


@pytest.mark.parametrize("mode", ["duplicate", "dup"])
@pytest.mark.parametrize(("which", "number"), [("first", b"1"), ("second", b"2")])
async def test_duplicate_delivers_a_post_twice(
    origin: Origin, mode: str, which: str, number: bytes
) -> None:
    async with Lab(origin.address, mode, answer=which) as lab:
        assert (await post(lab, "/number", b"body")).content == number
        assert [seen.body for seen in origin.state.seen] == [b"body", b"body"]
        assert (lab.log[0].deliveries, lab.deliveries) == (2, 2)
        assert (await get(lab, "/number")).content == b"3"


async def test_duplicate_does_not_wait_for_a_first_answer_that_is_late(origin: Origin) -> None:
    async with Lab(origin.address, "duplicate") as lab:
        polling = asyncio.create_task(post(lab, "/wait", b"body"))
        await until(lambda: len(origin.state.seen) == 2)
        await release(origin.address)
        assert (await polling).content == b"late"


async def test_lose_answer_delivers_and_closes(origin: Origin) -> None:
    async with Lab(origin.address, "lose-answer") as lab, raw(lab) as connection:
        await connection.write(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody")
        assert await connection.rest() == b""
        assert [seen.body for seen in origin.state.seen] == [b"body"]
        assert (lab.cuts, lab.log[0].status) == (1, 0)


async def test_swap_gives_each_of_two_the_answer_of_the_other(origin: Origin) -> None:
    async with Lab(origin.address, "swap", window=SECONDS) as lab:
        for _ in range(2):
            responses = await asyncio.gather(
                post(lab, "/echo", b"mine"), post(lab, "/echo", b"yours")
            )
            assert [response.content for response in responses] == [b"yours", b"mine"]
        assert lab.counts["swapped"] == 4


async def test_swap_gives_the_right_answer_to_one_that_is_alone(origin: Origin) -> None:
    async with Lab(origin.address, "swap", window=0.05) as lab:
        assert (await post(lab, "/echo", b"mine")).content == b"mine"
        assert lab.counts["swapped"] == 0


async def test_swap_swaps_streams_live(origin: Origin) -> None:
    async with Lab(origin.address, "swap", window=SECONDS) as lab, http(lab.url) as client:
        uploading = asyncio.create_task(client.post("/echo", content=b"first\n"))
        async with client.stream("GET", "/gated") as response:
            assert await response.aread() == b"first\n"
            await nothing(asyncio.shield(uploading))
            await release(origin.address)
            assert (await uploading).content == b"first\nsecond\n"


async def test_cut_bodies_cuts_both_directions_at_256_kib(origin: Origin) -> None:
    async with Lab(origin.address, "cut-bodies") as lab:
        assert len((await post(lab, "/echo", b"x" * 300_000)).content) == 262_144
        assert len(origin.state.seen[0].body) == 262_144
        assert len((await get(lab, "/bytes?blocks=1200")).content) == 262_144
        assert len((await get(lab, "/bytes?blocks=1024")).content) == 262_144
        assert lab.counts["truncated"] == 2


async def test_cut_tunnel_leaves_bodies_alone(origin: Origin) -> None:
    async with Lab(origin.address, "cut-tunnel", after=10) as lab:
        assert len((await get(lab, "/bytes?blocks=8")).content) == 2048
        async with websocket(lab) as socket:
            await socket.send("longer than ten")
            with pytest.raises(ConnectionClosedError):
                await socket.recv()
        assert lab.cuts == 1


async def test_cut_tunnel_counts_frames(origin: Origin) -> None:
    async with Lab(origin.address, "cut-tunnel", frames=3) as lab, websocket(lab) as socket:
        for message in ("small", "x" * 1000, b"y" * 100_000):
            await socket.send(message)
            assert await socket.recv() == message
        await socket.send("too much")
        with pytest.raises(ConnectionClosedError):
            await socket.recv()
        assert lab.cuts == 1


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (b"", 2),
        (b"\x81", 2),
        (b"\x81\x05", 7),
        (b"\x81\x7e", 4),
        (b"\x81\x7e\x01\x00", 260),
        (b"\x81\x7f\x00", 10),
        (b"\x81\x7f" + (70_000).to_bytes(8, "big"), 70_010),
    ],
)
def test_the_size_of_a_frame(data: bytes, size: int) -> None:
    assert frame_size(data) == size


@pytest.mark.parametrize(("mode", "options"), [("delay", {"delay": 0.05}), ("jitter", {})])
async def test_delay_alters_nothing(origin: Origin, mode: str, options: dict[str, Any]) -> None:
    async with Lab(origin.address, mode, **options) as lab:
        before = asyncio.get_running_loop().time()
        assert (await post(lab, "/echo", b"body")).content == b"body"
        assert mode == "jitter" or asyncio.get_running_loop().time() - before >= 0.1
        async with websocket(lab) as socket:
            for message in ("one", "two", "three"):
                await socket.send(message)
            assert [await socket.recv() for _ in range(3)] == ["one", "two", "three"]
        assert lab.counts["delayed"] == 2


@pytest.mark.parametrize("status", [200, 302, 403, 502])
async def test_portal_answers_with_a_page_of_its_own(origin: Origin, status: int) -> None:
    async with Lab(origin.address, "portal", status=status) as lab, raw(lab) as connection:
        for _ in range(2):  # and keeps the connection
            await connection.write(
                b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"
            )
            answer = await connection.until(b"</title>")
            assert f"HTTP/1.1 {status} ".encode() in answer
            assert (b"location: http://portal.invalid/" in answer.lower()) == (status == 302)
        assert lab.deliveries == 0
    assert origin.state.seen == []


async def test_chaos_draws_from_the_seed(origin: Origin) -> None:
    async def strikes(seed: int) -> list[list[str]]:
        async with (
            Lab(origin.address, "chaos", until=100, seed=seed) as lab,
            http(lab.url) as client,
        ):
            for number in range(40):
                with contextlib.suppress(httpx.TransportError):
                    await client.post("/echo", content=b"x" * (number * 10))
            return [entry.done for entry in lab.log]

    first = await strikes(1)
    assert first == await strikes(1)
    struck = {done for entry in first for done in entry}
    assert struck >= {"reset", "truncated", "duplicated", "lost", "answered"}, struck
    assert 10 < sum(not done for done in first) < 30
