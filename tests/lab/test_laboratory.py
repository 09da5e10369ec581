"""The laboratory around the modes: choosing, changing and ending them."""

from __future__ import annotations

import asyncio
import gc
import re
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack

import httpx
import pytest
from websockets.exceptions import ConnectionClosedError

from emulation_server.lab import MODES, Exchange, Lab, LabThread, Mode, make_mode
from tests.lab.client import SECONDS, get, http, post, until, websocket
from tests.lab.origin import Origin
from tests.support.faults import CUTS, LabBefore


async def test_the_mode_changes_while_it_runs(origin: Origin) -> None:
    async with Lab(origin.address) as lab, http(lab.url) as client:
        assert (await client.get("/number")).content == b"1"
        lab.set_mode("truncate")
        assert (await client.get("/number")).content == b""
        lab.set_mode("plain")
        assert (await client.get("/number")).content == b"3"


async def test_connections_are_dropped_on_demand(origin: Origin) -> None:
    async with Lab(origin.address) as lab, websocket(lab) as socket:
        await socket.send("hello")
        await socket.recv()
        await lab.drop_connections()
        with pytest.raises(ConnectionClosedError):
            await asyncio.wait_for(socket.recv(), SECONDS)
        assert (await get(lab, "/number")).content == b"1"


async def test_the_end_ends_what_is_under_way(origin: Origin) -> None:
    before = asyncio.all_tasks()
    async with http("") as client:
        async with Lab(origin.address, "stall") as lab:
            stalled = asyncio.create_task(client.get(f"{lab.url}/number"))
            await until(lambda: lab.cuts == 1)
        with pytest.raises(httpx.ReadError):
            await stalled
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("turns", range(6))
def test_the_end_closes_what_is_being_accepted(origin: Origin, turns: int) -> None:
    async def begin_and_end() -> None:
        async with Lab(origin.address) as lab:
            for _ in range(20):
                clients.enter_context(socket.create_connection(("127.0.0.1", lab.port), SECONDS))
            for _ in range(turns):  # of the loop, which has not run since they were connected
                await asyncio.sleep(0)

    with ExitStack() as clients:
        asyncio.run(begin_and_end())
    gc.collect()  # what was left open warns, and a warning fails the test


async def test_a_failure_of_a_mode_is_not_swallowed(origin: Origin) -> None:
    class Faulty(Mode):
        def up(self, exchange: Exchange, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
            raise KeyError("a mistake")

    with pytest.raises(RuntimeError, match="the laboratory itself failed"):
        async with Lab(origin.address, Faulty()) as lab:
            with pytest.raises(httpx.RemoteProtocolError):
                await post(lab, "/echo", b"")


async def test_the_log_is_bounded(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emulation_server.lab.relay.MAX_LOG", 2)
    async with Lab(origin.address) as lab:
        for number in range(3):
            await get(lab, f"/{number}")
        assert [entry.request for entry in lab.log] == ["GET /1", "GET /2"]


async def test_each_request_is_told_of_in_a_line_without_its_secrets(
    origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "emulation_server.lab")
    async with Lab(origin.address, "duplicate") as lab:
        await post(lab, "/echo?token=hidden", b"four")
        await get(lab, "/number?token=hidden&emulation=sse.a-public_key.hidden")
        lab.set_mode("truncate")
        await get(lab, "/number")
    told = [re.sub(r"\d+\.\d\d s", "0.01 s", line) for line in caplog.messages]
    assert told == [
        "POST /echo: 200, delivered 2 times, 8 bytes up and 4 down in 0.01 s, duplicated",
        "GET /number?emulation=sse.a-public_key: 200, 0 bytes up and 1 down in 0.01 s",
        "GET /number: 200, 0 bytes up and 0 down in 0.01 s, truncated",
    ]


async def test_a_server_that_is_not_there_is_told_of(
    origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "emulation_server.lab")
    with socket.socket() as bound:  # but not listening
        bound.bind(("127.0.0.1", 0))
        async with Lab(bound.getsockname()) as lab:
            with pytest.raises(httpx.RemoteProtocolError):
                await get(lab, "/")
    assert "GET /: no answer, delivered 0 times" in caplog.text
    assert "the server cannot be reached" in caplog.text


async def test_a_body_too_large_to_keep_is_refused(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emulation_server.lab.wire.MAX_HELD", 100_000)
    async with Lab(origin.address, "duplicate") as lab:
        assert (await post(lab, "/echo", b"x" * 300_000)).status_code == 413
        assert (await post(lab, "/echo", b"x" * 100_000)).status_code == 200


def test_a_thread_serves_code_that_is_not_asynchronous(origin: Origin) -> None:
    with LabThread(origin.address, "duplicate") as lab:
        with httpx.Client(base_url=lab.url, trust_env=False, timeout=SECONDS) as client:
            assert client.post("/number").content == b"2"
            lab.set_mode("plain")
            assert client.post("/number").content == b"3"
            lab.drop_connections()
            assert client.post("/number").content == b"4"
        assert [entry.deliveries for entry in lab.log] == [2, 1, 1]
        assert (lab.deliveries, lab.cuts, lab.counts["duplicated"]) == (4, 0, 1)
        assert lab.url == f"http://127.0.0.1:{lab.port}"
        assert type(lab.mode) is Mode


def test_an_unknown_mode_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ValueError, match="there is no mode 'x'; there are plain, drop"):
        make_mode("x")
    with pytest.raises(TypeError, match="beyond"):
        make_mode("drop", beyond=1)
    with pytest.raises(TypeError, match="given by its name"):
        Lab(("127.0.0.1", 1), Mode(), after=1)


@pytest.mark.parametrize("name", MODES)
def test_every_mode_says_what_it_does(name: str) -> None:
    doc = MODES[name].__doc__
    assert doc is not None and not doc.startswith(f"{MODES[name].__name__}(")
    make_mode(name)


@pytest.mark.parametrize("name", CUTS)
def test_the_fixture_puts_a_laboratory_before_a_url(
    origin: Origin, lab_before: LabBefore, name: str
) -> None:
    mode, options = CUTS[name]
    lab = lab_before("http://{}:{}/".format(*origin.address), mode, **options)
    with httpx.Client(base_url=lab.url, trust_env=False, timeout=SECONDS) as client:
        assert client.get("/number").content == b"1"
    assert isinstance(lab.mode, MODES[mode])
