"""Whose word on the client is believed, and what is said to the backend."""

from __future__ import annotations

from typing import Any

import pytest

from emulation_server.forwarding import Forwarding

Fields = dict[str, str]


async def forwarded(
    trusted: list[str], peer: str | None, scheme: str = "http", **headers: str
) -> tuple[Fields, dict[str, Any]]:
    """Return the forwarding fields behind the middleware, and the scope."""
    seen: dict[str, Any] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.update(scope)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "http",
        "client": peer and (peer, 1234),
        "scheme": scheme,
        "headers": [(b"host", b"gateway.example"), *raw],
    }
    await Forwarding(app, trusted)(scope, _never, _never)
    fields = {name.decode(): value.decode() for name, value in seen["headers"]}
    assert len(fields) == len(seen["headers"]), "a field came twice"
    del fields["host"]
    return fields, seen


async def _never(*_: Any) -> Any:
    raise AssertionError


async def test_fields_begin_with_us() -> None:
    fields, scope = await forwarded([], "192.0.2.1", "https")
    assert fields == {
        "x-forwarded-for": "192.0.2.1",
        "x-forwarded-host": "gateway.example",
        "x-forwarded-proto": "https",
        "forwarded": 'for=192.0.2.1;host="gateway.example";proto=https',
    }
    assert scope["client"] == ("192.0.2.1", 1234)


async def test_word_of_a_stranger_is_dropped() -> None:
    fields, scope = await forwarded(
        ["10.0.0.0/8"],
        "192.0.2.1",
        x_forwarded_for="127.0.0.1",
        x_forwarded_host="evil.example",
        x_forwarded_proto="https",
        forwarded="for=127.0.0.1",
    )
    assert fields["x-forwarded-for"] == "192.0.2.1"
    assert fields["x-forwarded-host"] == "gateway.example"
    assert fields["x-forwarded-proto"] == "http"
    assert "127.0.0.1" not in fields["forwarded"]
    assert (scope["client"][0], scope["scheme"]) == ("192.0.2.1", "http")


async def test_word_of_a_trusted_proxy_is_continued() -> None:
    fields, scope = await forwarded(
        ["10.0.0.0/8"],
        "10.0.0.7",
        x_forwarded_for="203.0.113.9, 198.51.100.2",
        x_forwarded_host="www.example",
        x_forwarded_proto="https",
        forwarded="for=203.0.113.9",
    )
    assert fields == {
        "x-forwarded-for": "203.0.113.9, 198.51.100.2, 10.0.0.7",
        "x-forwarded-host": "www.example",
        "x-forwarded-proto": "https",
        "forwarded": 'for=203.0.113.9, for=10.0.0.7;host="www.example";proto=https',
    }
    # The last one whom no trusted proxy vouches for: what stands before it may be invented.
    assert (scope["client"], scope["scheme"]) == (("198.51.100.2", 0), "https")


async def test_everybody_is_trusted() -> None:
    _, scope = await forwarded(["*"], None, x_forwarded_for="203.0.113.9, 10.0.0.7")
    assert scope["client"] == ("203.0.113.9", 0)


async def test_unix_socket_without_trust() -> None:
    fields, scope = await forwarded(["127.0.0.1"], None, x_forwarded_for="203.0.113.9")
    assert "x-forwarded-for" not in fields
    assert fields["forwarded"].startswith("for=unknown;")
    assert scope["client"] is None


async def test_addresses_of_both_families() -> None:
    fields, _ = await forwarded([], "2001:db8::1")
    assert fields["forwarded"].startswith('for="[2001:db8::1]"')
    _, scope = await forwarded(["10.0.0.0/8"], "::ffff:10.0.0.7", x_forwarded_for="203.0.113.9")
    assert scope["client"] == ("203.0.113.9", 0)


def test_senseless_proxy_is_refused() -> None:
    with pytest.raises(ValueError, match="no address or network"):
        Forwarding(_never, ["proxy.example"])
