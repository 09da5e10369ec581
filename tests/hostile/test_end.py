"""A laboratory that ends closes every connection it ever accepted or opened."""

from __future__ import annotations

import gc
import socket
from contextlib import ExitStack

import pytest

from emulation_server.lab import MODES
from emulation_server.lab import LabThread as Lab
from tests.support.servers import Servers

pytestmark = [pytest.mark.integration]

APPLICATION = "tests.hostile.app:default"
TIMEOUT = 5
ROUNDS = 10
UPGRADE = (
    b"GET /echo HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
UPLOAD = b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\npart"
BEGINNINGS = (b"", b"GET /", UPGRADE, UPLOAD, UPGRADE)


def connect(lab: Lab) -> socket.socket:
    return socket.create_connection(("127.0.0.1", lab.port), TIMEOUT)


@pytest.mark.parametrize("mode", MODES)
def test_connections_that_have_just_begun_are_closed(servers: Servers, mode: str) -> None:
    server = servers.get(APPLICATION)
    with ExitStack() as clients:
        with Lab(("127.0.0.1", server.port), mode) as lab:
            for beginning in BEGINNINGS * ROUNDS:
                clients.enter_context(connect(lab)).sendall(beginning)
        gc.collect()  # what was left open warns, and a warning fails the test


def test_a_connection_whose_client_does_not_read_is_closed(servers: Servers) -> None:
    server = servers.get(APPLICATION)
    with Lab(("127.0.0.1", server.port), "cacheall") as lab, connect(lab) as client:
        client.sendall(b"GET /emulation.js HTTP/1.1\r\nHost: h\r\n\r\n" * 300)
        client.recv(1)
        client.shutdown(socket.SHUT_WR)
    gc.collect()
