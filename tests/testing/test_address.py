"""Where requests go."""

import pytest

from emulation.testing.address import Address


@pytest.mark.parametrize(
    ("url", "origin", "websocket_origin", "target"),
    [
        ("http://h/a", "http://h", "ws://h", "/a?emulation=m"),
        ("ws://h:81", "http://h:81", "ws://h:81", "/?emulation=m"),
        ("wss://user@h/a?b=%20&c", "https://h", "wss://h", "/a?b=%20&c&emulation=m"),
        (
            "https://[::1]:8443/a%2Fb",
            "https://[::1]:8443",
            "wss://[::1]:8443",
            "/a%2Fb?emulation=m",
        ),
    ],
)
def test_marker_joins_the_url(url: str, origin: str, websocket_origin: str, target: str) -> None:
    address = Address.parse(url)
    assert (address.origin, address.websocket_origin) == (origin, websocket_origin)
    assert address.target("m") == target


def test_requests_of_a_carrier_leave_out_the_query() -> None:
    address = Address.parse("http://h/a?token=x")
    assert address.target("m", own_query=False) == "/a?emulation=m"
    assert address.target() == "/a?token=x"


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/b?c=1", "/b?c=1"), ("?c=1", "/a?c=1"), ("b", "/b"), ("ws://h:81/d", "/d")],
)
def test_paths_are_relative_to_the_carrier(path: str, expected: str) -> None:
    assert Address.parse("ws://h:81/a?x").join(path).target() == expected


@pytest.mark.parametrize("url", ["/a", "ftp://h/", "http:///a", "h:80"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is no absolute"):
        Address.parse(url)


@pytest.mark.parametrize("url", ["http://[::1/", "http://h:99999/", "http://h:x/"])
def test_urls_with_a_malformed_host_are_refused_in_a_sentence(url: str) -> None:
    with pytest.raises(ValueError, match=r"^'http:.*' has no host and port that could be read"):
        Address.parse(url)
