"""Each intermediary behaves as its docstring says."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx
import pytest
from websockets.exceptions import ConnectionClosedError, InvalidHandshake, InvalidMessage

from emulation_server.lab import INTERMEDIARIES, Lab
from tests.lab.client import (
    SECONDS,
    SILENCE,
    get,
    http,
    nothing,
    post,
    raw,
    release,
    until,
    websocket,
)
from tests.lab.origin import Origin
from tests.support.streams import streams_server

REFUSING_UPGRADES = [name for name, mode in INTERMEDIARIES.items() if not mode.passes_upgrade]
SILENT = ["blind101", "blackhole"]
BROKEN = ["blind101bad", "httpbytes"]
HOLDING = ["httpbytes", "buffer", "buffer4k", "cacheall", "cachepath", "gzip"]


def _without(*groups: list[str]) -> list[str]:
    return [name for name in INTERMEDIARIES if not any(name in group for group in groups)]


@pytest.mark.parametrize("mode", REFUSING_UPGRADES)
async def test_the_server_sees_an_ordinary_get_instead_of_an_upgrade(
    origin: Origin, mode: str
) -> None:
    async with Lab(origin.address, mode) as lab:
        with pytest.raises(InvalidMessage if mode == "http10" else InvalidHandshake):
            async with websocket(lab):
                pass
    assert "upgrade" not in origin.state.seen[0].headers
    assert "sec-websocket-key" in origin.state.seen[0].headers


@pytest.mark.parametrize("mode", _without(REFUSING_UPGRADES, SILENT, BROKEN))
async def test_a_websocket_works(origin: Origin, mode: str) -> None:
    async with Lab(origin.address, mode) as lab, websocket(lab) as socket:
        await socket.send("hello")
        assert await socket.recv() == "hello"


@pytest.mark.parametrize("mode", SILENT)
async def test_a_websocket_opens_and_stays_silent(origin: Origin, mode: str) -> None:
    async with Lab(origin.address, mode) as lab, websocket(lab) as socket:
        await socket.send("hello")
        await nothing(socket.recv())
        assert len(origin.state.seen) == (mode == "blackhole")


async def test_a_black_hole_hides_that_the_server_has_gone(origin: Origin) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        writer.write(head + b"\r\nbytes")
        await writer.drain()

    request = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    async with streams_server(handle) as address, Lab(address, "blackhole") as lab:
        async with raw(lab) as connection:
            await connection.write(request)
            await connection.until(b"\r\n\r\n")
            await nothing(connection.reader.read())


async def test_a_wrong_accept_fails_the_handshake(origin: Origin) -> None:
    async with Lab(origin.address, "blind101bad") as lab:
        with pytest.raises(InvalidHandshake, match="Sec-WebSocket-Accept"):
            async with websocket(lab):
                pass
    assert origin.state.seen == []


async def test_frames_taken_for_http_end_the_tunnel_without_a_close_frame(origin: Origin) -> None:
    async with Lab(origin.address, "httpbytes") as lab, websocket(lab) as socket:
        await socket.send("hello")
        with pytest.raises(ConnectionClosedError):
            await socket.recv()


@pytest.mark.parametrize("mode", _without(HOLDING))
async def test_a_stream_passes_live(origin: Origin, mode: str) -> None:
    async with Lab(origin.address, mode) as lab, http(lab.url) as client:
        headers = {"Accept-Encoding": "gzip"}
        async with client.stream("POST", "/gated", headers=headers) as response:
            items = response.aiter_lines()
            assert await anext(items) == "first"
            await release(origin.address)
            assert await anext(items) == "second"


@pytest.mark.parametrize("mode", HOLDING)
async def test_a_stream_is_held_to_its_end(origin: Origin, mode: str) -> None:
    async with Lab(origin.address, mode) as lab, http(lab.url) as client:
        method = "GET" if mode.startswith("cache") else "POST"
        request = client.build_request(method, "/gated", headers={"Accept-Encoding": "gzip"})
        piece = asyncio.create_task(_first_piece(client, request))
        await nothing(asyncio.shield(piece))
        await release(origin.address)
        assert (await piece).startswith(b"first\n")


async def _first_piece(client: httpx.AsyncClient, request: httpx.Request) -> bytes:
    response = await client.send(request, stream=True)
    try:
        return await anext(response.aiter_bytes())
    finally:
        await response.aclose()


@pytest.mark.parametrize("mode", INTERMEDIARIES)
async def test_a_post_with_a_length_always_works(origin: Origin, mode: str) -> None:
    async with Lab(origin.address, mode) as lab, http(lab.url) as client:
        for body in (b"one", bytes(range(256)), b""):
            response = await client.post("/echo", content=body)
            assert (response.status_code, response.content) == (200, body)


async def test_buffer_passes_live_what_exceeds_its_limit(origin: Origin) -> None:
    async with Lab(origin.address, "buffer", limit=100) as lab, http(lab.url) as client:
        async with client.stream("GET", "/gated?size=101") as response:
            assert (await anext(response.aiter_bytes())).startswith(b"first")
            await release(origin.address)


async def test_buffer4k_passes_whole_blocks(origin: Origin) -> None:
    async with Lab(origin.address, "buffer4k") as lab, http(lab.url) as client:
        async with client.stream("GET", "/gated?size=5000") as response:
            pieces = response.aiter_bytes()
            assert len(await anext(pieces)) == 4096
            await release(origin.address)
            assert sum([len(piece) async for piece in pieces]) == 10_000 - 4096


async def test_firstbytes_passes_these_and_whole_blocks_behind_them(origin: Origin) -> None:
    async with Lab(origin.address, "firstbytes") as lab, http(lab.url) as client:
        async with client.stream("GET", "/gated?size=3000") as response:
            pieces = response.aiter_bytes()
            assert len(await anext(pieces)) == 64
            await nothing(asyncio.shield(later := asyncio.ensure_future(anext(pieces))))
            await release(origin.address)
            assert len(await later) == 4096
            assert sum([len(piece) async for piece in pieces]) == 6000 - 64 - 4096


async def test_cacheall_repeats_the_answer_of_a_url(origin: Origin) -> None:
    async with Lab(origin.address, "cacheall") as lab:
        assert [(await get(lab, "/number?a")).content for _ in range(3)] == [b"1"] * 3
        assert (await get(lab, "/number?b")).content == b"2"
        assert (await post(lab, "/number?a", b"")).content == b"3"
        assert (len(origin.state.seen), lab.counts["cached"]) == (3, 2)


async def test_cachepath_repeats_the_answer_of_a_path(origin: Origin) -> None:
    async with Lab(origin.address, "cachepath") as lab:
        assert [(await get(lab, f"/number?{n}")).content for n in range(3)] == [b"1"] * 3
        assert (await post(lab, "/number?4", b"")).content == b"2"


async def test_a_cache_is_bounded(origin: Origin) -> None:
    async with Lab(origin.address, "cacheall", entries=1, limit=300) as lab:
        assert [(await get(lab, f"/number?{n}")).content for n in "aba"] == [b"1", b"2", b"3"]
        for _ in range(2):
            assert len((await get(lab, "/bytes?blocks=2")).content) == 512
        assert lab.counts["cached"] == 0


async def test_http10_neither_chunks_nor_keeps_the_connection(origin: Origin) -> None:
    async with Lab(origin.address, "http10") as lab, raw(lab) as connection:
        await connection.write(b"GET /gated HTTP/1.1\r\nHost: h\r\n\r\n")
        head = await connection.until(b"\r\n\r\n")
        await release(origin.address)
        assert head.startswith(b"HTTP/1.0 200 ") and b"chunked" not in head
        assert await connection.rest() == b"first\nsecond\n"


@pytest.mark.parametrize("mode", ["http10", "nochunk"])
async def test_chunked_uploads_are_refused(origin: Origin, mode: str) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"body"

    async with Lab(origin.address, mode) as lab, http(lab.url) as client:
        assert (await client.post("/echo", content=pieces())).status_code == 411
    assert origin.state.seen == []


async def test_idlekill_forgets_a_silent_stream(origin: Origin) -> None:
    async with Lab(origin.address, "idlekill", limit=0.2) as lab, http(lab.url) as client:
        async with client.stream("GET", "/gated") as response:
            pieces = response.aiter_bytes()
            assert await anext(pieces) == b"first\n"
            await asyncio.sleep(0.3)
            await release(origin.address)
            await nothing(anext(pieces))
        assert lab.counts["forgotten"] == 1


async def test_idlekill_forgets_a_silent_poll(origin: Origin) -> None:
    async with Lab(origin.address, "idlekill", limit=0.2) as lab:
        poll = asyncio.create_task(post(lab, "/wait", b""))
        await asyncio.sleep(0.3)
        await release(origin.address)
        await nothing(poll)


async def test_idlekill_forgets_a_silent_tunnel_and_neither_side_learns(origin: Origin) -> None:
    async with Lab(origin.address, "idlekill", limit=0.2) as lab:
        async with websocket(lab) as socket:
            await socket.send("busy")
            assert await socket.recv() == "busy"
            await asyncio.sleep(0.3)
            await socket.send("idle")
            await nothing(socket.recv())
        assert lab.log[0].sent == len("busy") + 6  # bytes of a masked frame's head


async def test_maxdur_ends_a_busy_tunnel(origin: Origin) -> None:
    async with Lab(origin.address, "maxdur", limit=0.3) as lab, websocket(lab) as socket:
        with pytest.raises(ConnectionClosedError):
            while True:
                await socket.send("busy")
                await socket.recv()
                await asyncio.sleep(0.02)
        assert lab.cuts == 1


async def test_maxdur_leaves_a_stream_unfinished(origin: Origin) -> None:
    async with Lab(origin.address, "maxdur", limit=0.3) as lab, raw(lab) as connection:
        await connection.write(b"GET /gated HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await connection.rest()).endswith(b"6\r\nfirst\n\r\n")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_retry_sends_a_late_request_four_times(origin: Origin, method: str) -> None:
    async with Lab(origin.address, "retry", limit=0.1) as lab, http(lab.url) as client:
        assert (await client.request(method, "/wait")).status_code == 504
        assert (len(origin.state.seen), lab.log[0].deliveries) == (4, 4)


async def test_halfopen_hides_that_the_client_has_left(origin: Origin) -> None:
    async with Lab(origin.address, "halfopen") as lab:
        for count, target in enumerate(("/gated", "/wait"), 1):
            async with raw(lab) as connection:
                await connection.write(f"GET {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
                await until(lambda: lab.deliveries == count)  # noqa: B023
                if target == "/gated":
                    # It hides a departure from a server that is silent, as this one is from now on.
                    await until(lambda: lab.log[0].received > 0)
        await nothing(until(lambda: origin.state.departed == 1))
        assert lab.counts["hidden"] == 2
        assert origin.state.departed == 0


async def test_halfopen_keeps_the_tunnel(origin: Origin) -> None:
    ended = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        writer.write(head + b"\r\n")
        with suppress(ConnectionError):
            await reader.read()
        ended.set()

    request = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    async with streams_server(handle) as address, Lab(address, "halfopen") as lab:
        async with raw(lab) as connection:
            await connection.write(request)
            await connection.until(b"\r\n\r\n")
        await nothing(ended.wait())
        await lab.drop_connections()
        await asyncio.wait_for(ended.wait(), SECONDS)


async def test_gzip_compresses_for_those_who_accept_it(origin: Origin) -> None:
    async with Lab(origin.address, "gzip") as lab, raw(lab) as connection:
        head = b"GET /bytes?blocks=2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
        await connection.write(head + b"Accept-Encoding: br, gzip\r\n\r\n")
        assert b"Content-Encoding: gzip" in await connection.until(b"\r\n\r\n")
        size = int(await connection.until(b"\r\n"), 16)
        body = await connection.reader.readexactly(size)
        rest = await connection.rest()
        assert gzip.decompress(body + _dechunk(rest)) == bytes(range(256)) * 2
        assert "content-encoding" not in (await get(lab, "/bytes?blocks=2")).headers


@pytest.mark.parametrize("identity", [False, True])
async def test_gzip_may_compress_what_says_identity(identity: bool) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\nContent-Length: 4\r\n\r\n")
        writer.write(b"body")

    async with streams_server(handle) as address, Lab(address, "gzip", identity=identity) as lab:
        async with http(lab.url) as client:
            answer = await client.get("/", headers={"Accept-Encoding": "gzip"})
        assert answer.headers["content-encoding"] == ("gzip" if identity else "identity")
        assert answer.content == b"body"


def _dechunk(data: bytes) -> bytes:
    """Return what follows the first chunk."""
    body = b""
    data = data.removeprefix(b"\r\n")
    while not data.startswith(b"0\r\n"):
        size, _, data = data.partition(b"\r\n")
        body += data[: int(size, 16)]
        data = data[int(size, 16) + 2 :]
    return body


async def test_striphdr_removes_what_tells_who_asks(origin: Origin) -> None:
    removed = {"Origin": "http://h", "Cookie": "a=b", "Authorization": "x", "X-Token": "y"}
    async with Lab(origin.address, "striphdr") as lab, http(lab.url) as client:
        headers = {**removed, "Sec-Fetch-Site": "same-origin", "Content-Type": "text/x"}
        await client.post("/echo", headers=headers)
    seen = origin.state.seen[0].headers
    assert not seen.keys() & {"sec-fetch-site", *(name.lower() for name in removed)}
    assert seen["content-type"] == "text/x"


async def test_reorder_lets_the_second_post_overtake_the_first(origin: Origin) -> None:
    async with Lab(origin.address, "reorder", window=SECONDS) as lab:
        first = asyncio.create_task(post(lab, "/echo", b"first"))
        await until(lambda: len(lab.log) == 1)
        assert (await post(lab, "/echo", b"second")).content == b"second"
        assert (await first).content == b"first"
    assert [seen.body for seen in origin.state.seen] == [b"second", b"first"]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS"])
async def test_getpost_refuses_other_methods(origin: Origin, method: str) -> None:
    async with Lab(origin.address, "getpost") as lab, http(lab.url) as client:
        assert (await client.request(method, "/echo")).status_code == 405
        assert (await client.get("/echo")).status_code == 200
    assert len(origin.state.seen) == 1


async def test_limit2k_refuses_long_urls_and_large_bodies(origin: Origin) -> None:
    async with Lab(origin.address, "limit2k") as lab:
        assert (await get(lab, "/" + "x" * 2048)).status_code == 414
        assert (await post(lab, "/echo", b"x" * 70_000)).status_code == 413
        assert (await post(lab, "/echo", b"x" * 65_536)).status_code == 200
    assert len(origin.state.seen) == 1


async def test_swallow_answers_a_late_request_with_nothing(origin: Origin) -> None:
    async with Lab(origin.address, "swallow", limit=SILENCE) as lab:
        response = await post(lab, "/wait", b"")
        assert (response.status_code, response.content) == (200, b"")
        assert lab.log[0].done == ["swallowed"]
