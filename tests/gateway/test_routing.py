"""Which backend a path belongs to, and that no path reaches beyond it."""

import pytest

from emulation_server.routing import Backend, Routes, UnsafePath

ROUTES = Routes(
    {
        "/": Backend.parse("ws://everything:9000"),
        "/chat": Backend.parse("ws://chat:9001/v1"),
        "/chat/private/": Backend.parse("wss://private/rooms/"),
        "/kept": Backend.parse("ws://[::1]"),
    }
)

FOUND = {
    "/": ("ws://everything:9000", "/"),
    "/healthz": ("ws://everything:9000", "/healthz"),
    "/chatter": ("ws://everything:9000", "/chatter"),
    "/chat": ("ws://chat:9001/v1", "/v1"),
    "/chat/": ("ws://chat:9001/v1", "/v1/"),
    "/chat/a%2Fb//c": ("ws://chat:9001/v1", "/v1/a%2Fb//c"),
    "/chat/private": ("wss://private/rooms/", "/rooms/"),
    "/chat/private/7": ("wss://private/rooms/", "/rooms/7"),
    "/kept/as/it/is": ("ws://[::1]", "/kept/as/it/is"),
    "//evil.example/x": ("ws://everything:9000", "//evil.example/x"),
    "/http://evil.example/": ("ws://everything:9000", "/http://evil.example/"),
    "/@evil.example": ("ws://everything:9000", "/@evil.example"),
}


@pytest.mark.parametrize("path", FOUND)
def test_longest_prefix_of_whole_segments(path: str) -> None:
    target = ROUTES.find(path, "q=1")
    assert target is not None
    assert (str(target.backend), target.path, target.query) == (*FOUND[path], "q=1")


def test_prefix_of_the_only_backend() -> None:
    routes = Routes({"/": Backend.parse("ws://chat/v1")})
    paths = {path: routes.find(path) for path in ("/", "/a", "/a/")}
    assert [target and target.path for target in paths.values()] == ["/v1", "/v1/a", "/v1/a/"]


def test_no_route() -> None:
    assert Routes({"/chat": Backend.parse("ws://chat")}).find("/other") is None


@pytest.mark.parametrize(
    "path",
    [
        "/chat/../admin",
        "/chat/..",
        "/chat/./x",
        "/chat/%2e%2E/admin",
        "/chat/.%2e/admin",
        "/chat/..%2fadmin",
        "/chat/..%5cadmin",
        "/chat\\..\\admin",
        "chat",
        "http://evil.example/chat",
        "/a b",
        "/a\r\nHost: evil.example",
        "/\x00",
        "/é",
    ],
)
def test_path_that_could_lead_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(UnsafePath):
        ROUTES.find(path)


def test_query_that_could_end_the_line_is_refused() -> None:
    with pytest.raises(UnsafePath):
        ROUTES.find("/", "a\r\nb")


@pytest.mark.parametrize(
    "url",
    [
        "http://host",
        "host:9000",
        "ws://",
        "ws://user:secret@host",
        "ws://host/?query",
        "ws://host/#part",
        "ws://host:port",
        "ws://host:70000",
        "ws://host/a/../b",
    ],
)
def test_senseless_backend_is_refused_in_a_sentence(url: str) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        Backend.parse(url)


def test_password_is_not_repeated_in_the_sentence() -> None:
    with pytest.raises(ValueError, match="password") as error:
        Backend.parse("ws://user:secret@host")
    assert "secret" not in str(error.value)
