"""The plain relay changes nothing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import httpx
import pytest

from emulation_server.lab import Lab
from tests.lab.client import SECONDS, get, http, nothing, post, raw, release, until, websocket
from tests.lab.origin import Origin
from tests.support.streams import streams_server

ALL_BYTES = bytes(range(256))


async def test_bodies_pass_unaltered_in_both_directions(origin: Origin) -> None:
    body = ALL_BYTES * 4096
    async with Lab(origin.address) as lab:
        response = await post(lab, "/echo?a=%2Fb&c", body)
        assert response.content == body
        assert origin.state.seen[0].target == "/echo?a=%2Fb&c"
        assert origin.state.seen[0].headers["host"] == f"127.0.0.1:{lab.port}"
        assert [(e.request, e.status, e.sent, e.received, e.done) for e in lab.log] == [
            ("POST /echo?a=%2Fb&c", 200, len(body), len(body), [])
        ]
        assert (lab.deliveries, lab.cuts) == (1, 0)


async def test_a_chunked_upload_passes_chunked(origin: Origin) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one "
        yield b"two"

    async with Lab(origin.address) as lab, http(lab.url) as client:
        response = await client.post("/echo", content=pieces())
    assert response.content == b"one two"
    assert origin.state.seen[0].headers["transfer-encoding"] == "chunked"


async def test_a_stream_passes_live(origin: Origin) -> None:
    async with Lab(origin.address) as lab, http(lab.url) as client:
        async with client.stream("GET", "/gated") as response:
            items = response.aiter_lines()
            assert await anext(items) == "first"
            await release(origin.address)
            assert await anext(items) == "second"
            assert response.headers["transfer-encoding"] == "chunked"


async def test_a_connection_serves_one_request_after_another(origin: Origin) -> None:
    request = b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n"
    async with Lab(origin.address) as lab, raw(lab) as connection:
        await connection.write(request + b"one" + request + b"two")
        await connection.until(b"one")
        await connection.until(b"two")
        await connection.write(request + b"end")
        await connection.until(b"end")
        assert len(lab.log) == 3


async def test_a_client_of_http_1_0_gets_an_answer_ended_by_the_connection(origin: Origin) -> None:
    async with Lab(origin.address) as lab, raw(lab) as connection:
        await connection.write(b"GET /gated HTTP/1.0\r\n\r\n")
        await connection.until(b"\r\n\r\nfirst\n")
        await release(origin.address)
        assert await connection.rest() == b"second\n"


async def test_an_expected_100_comes_before_the_body_is_sent(origin: Origin) -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    async with Lab(origin.address) as lab, raw(lab) as connection:
        await connection.write(head)
        assert b" 100 " in await connection.until(b"\r\n\r\n")
        await connection.write(b"abc")
        await connection.until(b"\r\n\r\nabc")


async def test_a_tunnel_passes_messages_and_the_close(origin: Origin) -> None:
    async with Lab(origin.address) as lab, websocket(lab) as socket:
        for message in ("text", ALL_BYTES, "", "long" * 100_000):
            await socket.send(message)
            assert await socket.recv() == message
        await socket.close(4001, "enough")
        assert socket.close_code == 4001


@pytest.mark.parametrize("target", ["/gated", "/wait"])
async def test_the_server_learns_that_the_client_has_left(origin: Origin, target: str) -> None:
    async with Lab(origin.address) as lab:
        async with raw(lab) as connection:
            await connection.write(f"GET {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
            await until(lambda: len(origin.state.seen) == 1)
        await until(lambda: origin.state.departed == 1)


async def test_a_client_that_leaves_in_its_upload_ends_the_delivery(origin: Origin) -> None:
    got = asyncio.Queue[bytes]()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"part")
        await got.put(await reader.read())

    async with streams_server(handle) as address, Lab(address) as lab:
        async with raw(lab) as connection:
            await connection.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\npart")
            await nothing(got.get())
        assert await asyncio.wait_for(got.get(), SECONDS) == b""


async def test_a_server_that_dies_in_its_answer_leaves_it_unfinished(origin: Origin) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await writer.drain()

    async with streams_server(handle) as address, Lab(address) as lab, raw(lab) as connection:
        await connection.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await connection.rest()).endswith(b"3\r\nabc\r\n")


async def test_an_answer_that_comes_before_the_body_was_read_reaches_the_client() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
        await writer.drain()
        while await reader.read(65536):
            pass

    async with streams_server(handle) as address, Lab(address) as lab:
        response = await post(lab, "/", b"x" * 3_000_000)
        assert (response.status_code, response.content) == (413, b"big")


async def test_a_server_that_is_not_there_ends_the_connection(origin: Origin) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address: tuple[str, int] = gone.getsockname()
    async with Lab(address) as lab:
        with pytest.raises(httpx.RemoteProtocolError):
            await get(lab, "/")
        assert lab.counts["broken"] == 1


async def test_what_is_not_http_ends_the_connection(origin: Origin) -> None:
    async with Lab(origin.address) as lab, raw(lab) as connection:
        await connection.write(b"\x16\x03\x01 no HTTP\r\n\r\n")
        assert await connection.rest() == b""
