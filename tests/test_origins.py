"""One policy for every transport: who is let in, who is not, and what the log says of it."""

import logging
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from emulation.origins import Decision, OriginPolicy
from emulation.transports.marker import VERBS

UPLOADS = [verb for verb in VERBS if verb not in ("sse", "ws")]
HOST = "chat.example"
APP = "https://app.example"
EVIL = "https://evil.example"
REFUSED = Decision(False)

hosts = st.from_regex(r"[a-z0-9-]{1,8}(\.[a-z]{2,6}){1,2}", fullmatch=True)
ports = st.integers(1, 65535)


def scope(
    origin: str | bytes | None = None,
    host: str | None = HOST,
    *,
    site: str | None = None,
    cookie: bool = False,
    forwarded: str | None = None,
    client: str | None = "192.0.2.7",
    scheme: str = "http",
    more: tuple[tuple[bytes, bytes], ...] = (),
) -> dict[str, Any]:
    fields = {
        b"host": host,
        b"origin": origin,
        b"sec-fetch-site": site,
        b"x-forwarded-host": forwarded,
        b"cookie": "session=1" if cookie else None,
    }
    headers = [
        (name, value.encode("latin-1") if isinstance(value, str) else value)
        for name, value in fields.items()
        if value is not None
    ]
    return {
        "type": "http",
        "scheme": scheme,
        "headers": [(b"accept", b"*/*"), *headers, *more],
        "client": None if client is None else (client, 5000),
    }


def allowed(origin: str) -> Decision:
    return Decision(True, origin.encode("ascii"))


def test_what_passed_is_remembered_in_bounds() -> None:
    """Servers may take a Host of any size from a client who says that its page is ours."""
    policy = OriginPolicy()
    for number in range(50):
        host = f"{number}." + "x" * 100_000
        assert policy.check(scope(APP, host, site="same-origin"), "send") == allowed(APP)
        assert policy.check(scope(APP, str(number), site="same-origin"), "send") == allowed(APP)
    kept = sum(len(part) for key in policy._passed for part in key if part is not None)
    assert len(policy._passed) == 50 and kept < 10_000


# --- Without configuration ------------------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS)
def test_foreign_origin_is_refused_on_every_verb(verb: str) -> None:
    assert OriginPolicy().check(scope(EVIL), verb) == REFUSED
    for site in ("cross-site", "same-site", "none", "same-origin, cross-site", "Same-Origin"):
        assert OriginPolicy().check(scope(EVIL, site=site), verb) == REFUSED


@pytest.mark.parametrize("verb", VERBS)
def test_page_of_the_same_origin_is_allowed_by_fetch_metadata(verb: str) -> None:
    """The proxy may have put another name in the place of Host."""
    page = "https://public.example"
    assert OriginPolicy().check(scope(page, "10.0.0.2:8000", site="same-origin"), verb) == allowed(
        page
    )
    absent = scope(None, "10.0.0.2:8000", site="same-origin", cookie=True)
    assert OriginPolicy().check(absent, verb) == Decision(True)


def test_fetch_metadata_that_came_twice_is_not_believed() -> None:
    twice = scope(EVIL, site="same-origin", more=((b"sec-fetch-site", b"cross-site"),))
    assert OriginPolicy().check(twice, "send") == REFUSED


@pytest.mark.parametrize(
    ("origin", "host", "scheme"),
    [
        ("http://chat.example", "chat.example", "http"),
        ("http://chat.example", "chat.example:80", "http"),
        ("http://chat.example:80", "chat.example", "http"),
        ("http://chat.example:8080", "chat.example:8080", "ws"),
        ("http://chat.example", "CHAT.example", "http"),
        # TLS ends at a proxy that keeps Host.
        ("https://chat.example", "chat.example", "http"),
        ("https://chat.example", "chat.example:443", "http"),
        ("https://chat.example:8443", "chat.example:8443", "http"),
        ("https://chat.example", "chat.example", "https"),
        ("https://chat.example", "chat.example", "wss"),
        ("http://192.0.2.1:81", "192.0.2.1:81", "http"),
        ("http://[2001:db8::1]", "[2001:db8::1]", "http"),
        ("http://[2001:db8::1]:81", "[2001:DB8:0::1]:81", "http"),
        ("https://xn--bcher-kva.example", "xn--bcher-kva.example", "https"),
        ("http://a_b.example", "a_b.example", "http"),
    ],
)
def test_origin_that_equals_host_is_allowed(origin: str, host: str, scheme: str) -> None:
    for verb in VERBS:
        assert OriginPolicy().check(scope(origin, host, scheme=scheme), verb) == allowed(origin)


@pytest.mark.parametrize(
    ("origin", "host", "scheme"),
    [
        ("http://chat.example", "chat.example:8080", "http"),
        ("http://chat.example:8080", "chat.example", "http"),
        ("https://chat.example", "chat.example:80", "http"),
        ("http://chat.example", "chat.example:443", "http"),
        # A page without TLS and a server with it.
        ("http://chat.example", "chat.example", "https"),
        ("http://chat.example:8443", "chat.example:8443", "wss"),
        ("http://sub.chat.example", "chat.example", "http"),
        ("http://chat.example", "sub.chat.example", "http"),
        ("http://chat.example.evil.example", "chat.example", "http"),
        ("http://evilchat.example", "chat.example", "http"),
        ("http://chat.example.", "chat.example", "http"),
        ("capacitor://chat.example", "chat.example", "http"),
        ("ws://chat.example", "chat.example", "ws"),
        ("http://chat.example", None, "http"),
        ("http://chat.example", "", "http"),
        ("http://chat.example", "chat.example, chat.example", "http"),
        ("http://chat.example", "user@chat.example", "http"),
        ("http://chat.example", "chat.example/", "http"),
    ],
)
def test_origin_that_is_not_host_is_refused(origin: str, host: str | None, scheme: str) -> None:
    assert OriginPolicy().check(scope(origin, host, scheme=scheme), "open") == REFUSED


def test_two_hosts_match_nothing() -> None:
    twice = scope("http://chat.example", more=((b"host", b"evil.example"),))
    assert OriginPolicy().check(twice, "open") == REFUSED


def test_two_origins_are_refused_whatever_else_holds() -> None:
    same = b"http://chat.example"
    twice = scope(same, site="same-origin", more=((b"origin", same),))
    for policy in (OriginPolicy(), OriginPolicy(["http://chat.example"]), OriginPolicy(["*"])):
        assert policy.check(twice, "open") == REFUSED


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "chat.example",
        "//chat.example",
        "http:chat.example",
        "http://",
        "http://chat.example/",
        "http://chat.example/path",
        "http://chat.example?",
        "http://chat.example#",
        "http://user@chat.example",
        "http://evil.example:80@chat.example",
        "http://chat.example:",
        "http://chat.example:080808",
        "http://chat.example:80:80",
        "http://chat.example\\",
        " http://chat.example",
        "http://chat.example\n",
        "http://chat.example http://chat.example",
        "http://chat.ex\xe4mple",
        "http://[::1",
        "http://::1",
        "http://" + "a" * 600,
    ],
)
def test_malformed_origin_is_refused_whatever_else_holds(origin: str) -> None:
    for policy in (OriginPolicy(), OriginPolicy(["http://chat.example"]), OriginPolicy(["*"])):
        for verb in VERBS:
            assert policy.check(scope(origin, site="same-origin"), verb) == REFUSED


@pytest.mark.parametrize("verb", VERBS)
def test_null_is_allowed_only_when_it_is_listed(verb: str) -> None:
    for opaque in ("null", "file://"):
        for site in (None, "same-origin", "cross-site"):
            seen = scope(opaque, site=site)
            assert OriginPolicy().check(seen, verb) == REFUSED
            assert OriginPolicy([APP]).check(seen, verb) == REFUSED
            assert OriginPolicy([opaque]).check(seen, verb) == allowed(opaque)
            assert OriginPolicy(["*"]).check(seen, verb) == allowed(opaque)
    assert OriginPolicy(["null"]).check(scope("file://"), verb) == REFUSED
    assert OriginPolicy(["null"]).check(scope("NULL"), verb) == REFUSED


# --- Loopback -------------------------------------------------------------------------------------

LOOPBACKS = ["localhost", "127.0.0.1", "127.200.3.4", "[::1]", "LOCALHOST"]


@pytest.mark.parametrize("host", [*LOOPBACKS, "localhost:8000", "127.0.0.1:80", "[::1]:8000"])
@pytest.mark.parametrize("name", LOOPBACKS)
def test_loopback_page_may_use_a_loopback_server_on_any_port(name: str, host: str) -> None:
    for origin in (f"http://{name}", f"http://{name}:5173", f"https://{name}:5173"):
        assert OriginPolicy().check(scope(origin, host), "open") == allowed(origin)


@pytest.mark.parametrize(
    "name",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "xlocalhost",
        "127.1",
        "128.0.0.1",
        "0.0.0.0",
        "[::2]",
        "[::]",
        "10.0.0.1",
    ],
)
def test_both_ends_must_be_loopback_hosts(name: str) -> None:
    """A name of another owner that resolves to 127.0.0.1 does not make its page ours."""
    assert OriginPolicy().check(scope(f"http://{name}:5173", "localhost:8000"), "open") == REFUSED
    assert OriginPolicy().check(scope("http://localhost:5173", f"{name}:8000"), "open") == REFUSED


def test_rebound_name_on_another_port_is_refused() -> None:
    seen = scope("http://evil.example:80", "evil.example:8000", client="127.0.0.1")
    assert OriginPolicy().check(seen, "open") == REFUSED


def test_proxy_that_asks_by_a_loopback_host_is_not_a_loopback_server() -> None:
    page = "http://localhost:5173"
    for policy in (OriginPolicy(), OriginPolicy((), ["*"])):
        public = scope(page, "127.0.0.1:8000", forwarded="chat.example")
        assert policy.check(public, "open") == REFUSED
        assert policy.check(scope(page, "127.0.0.1:8000", forwarded="junk junk"), "open") == REFUSED
        development = scope(page, "127.0.0.1:8000", forwarded="localhost:3000")
        assert policy.check(development, "open") == allowed(page)


@pytest.mark.parametrize("origin", ["capacitor://localhost", "tauri://localhost", "ws://localhost"])
def test_application_on_a_device_is_no_loopback_page(origin: str) -> None:
    assert OriginPolicy().check(scope(origin, "localhost:8000"), "open") == REFUSED


# --- Proxies --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("proxies", "client", "is_allowed"),
    [
        ((), "127.0.0.1", False),
        (("127.0.0.1",), "127.0.0.1", True),
        (("127.0.0.1",), "::ffff:127.0.0.1", True),
        (("10.0.0.0/8",), "10.9.8.7", True),
        (("10.1.2.3/8",), "10.9.8.7", True),
        (("10.0.0.0/8",), "11.0.0.1", False),
        (("10.0.0.0/8", "fd00::/8"), "fd00::5", True),
        (("10.0.0.0/8",), "fd00::5", False),
        (("10.0.0.0/8",), None, False),
        (("10.0.0.0/8",), "testclient", False),
        (("*",), None, True),
        (("*",), "192.0.2.1", True),
    ],
)
def test_forwarded_host_counts_from_trusted_proxies_only(
    proxies: tuple[str, ...], client: str | None, is_allowed: bool
) -> None:
    page = "https://public.example"
    seen = scope(page, "backend:8000", forwarded="public.example", client=client)
    assert OriginPolicy((), proxies).check(seen, "open").is_allowed is is_allowed


def test_last_forwarded_host_is_the_proxys_own() -> None:
    policy = OriginPolicy((), ["10.0.0.1"])
    page = "https://public.example"
    forged = scope(EVIL, "backend", forwarded="evil.example, public.example", client="10.0.0.1")
    assert policy.check(forged, "open") == REFUSED
    own = scope(page, "backend", forwarded="evil.example, public.example", client="10.0.0.1")
    assert policy.check(own, "open") == allowed(page)
    more = ((b"x-forwarded-host", b"public.example"),)
    lines = scope(page, "backend", forwarded="evil.example", client="10.0.0.1", more=more)
    assert policy.check(lines, "open") == allowed(page)


def test_host_counts_beside_a_forwarded_host() -> None:
    seen = scope("http://chat.example", forwarded="other.example", client="10.0.0.1")
    assert OriginPolicy((), ["10.0.0.1"]).check(seen, "open") == allowed("http://chat.example")


def test_proxy_that_is_no_address_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="trusted_proxies: 'proxy'"):
        OriginPolicy((), ["proxy"])


# --- No Origin ------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", UPLOADS)
@pytest.mark.parametrize("cookie", [True, False])
def test_post_may_lack_an_origin_unless_it_is_cross_site(verb: str, cookie: bool) -> None:
    for site in (None, "same-origin", "same-site", "none"):
        assert OriginPolicy().check(scope(site=site, cookie=cookie), verb) == Decision(True)
    for site in ("cross-site", "same-origin,cross-site"):
        assert OriginPolicy().check(scope(site=site, cookie=cookie), verb) == REFUSED


def test_ticket_stands_for_an_absent_origin() -> None:
    for site in (None, "cross-site"):
        assert OriginPolicy().check(scope(site=site, cookie=True), "sse") == Decision(True)


def test_upgrade_may_lack_an_origin_when_it_brings_no_cookie() -> None:
    for origins in ([], [APP]):
        policy = OriginPolicy(origins)
        assert policy.check(scope(scheme="ws"), "ws") == Decision(True)
        assert policy.check(scope(scheme="ws", cookie=True), "ws") == REFUSED
    assert OriginPolicy(["*"]).check(scope(cookie=True), "ws") == Decision(True)


# --- Configured origins ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("configured", "origin"),
    [
        ("https://app.example", "https://app.example"),
        ("HTTPS://App.Example", "https://app.example"),
        ("https://app.example:443", "https://app.example"),
        ("https://app.example", "https://app.example:443"),
        ("http://app.example:80", "http://app.example"),
        ("http://app.example:443", "http://app.example:443"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://BÜCHER.example:8443", "https://xn--bcher-kva.example:8443"),
        ("https://bücher:8443", "https://xn--bcher-kva:8443"),
        ("https://straße.example", "https://xn--strae-oqa.example"),
        ("https://ΒΌΛΟΣ", "https://xn--nxasmq6b"),
        ("https://例え。テスト", "https://xn--r8jz45g.xn--zckzah"),
        ("https://ｅｘａｍｐｌｅ.com", "https://example.com"),
        ("http://[0:0::1]:81", "http://[::1]:81"),
        ("http://192.0.2.1", "http://192.0.2.1"),
        ("chrome-extension://abcdefgh", "chrome-extension://abcdefgh"),
        ("capacitor://localhost", "capacitor://localhost"),
    ],
)
def test_configured_origin_matches_as_browsers_write_it(configured: str, origin: str) -> None:
    policy = OriginPolicy([APP, configured])
    for verb in VERBS:
        assert policy.check(scope(origin, site="cross-site"), verb) == allowed(origin)
    assert policy.check(scope(EVIL), "open") == REFUSED


@pytest.mark.parametrize(
    "origin",
    [
        "http://app.example",
        "https://app.example:8443",
        "https://sub.app.example",
        "https://app.example.evil.example",
        "https://xapp.example",
        "https://app.exampl",
    ],
)
def test_origin_that_resembles_a_configured_one_is_refused(origin: str) -> None:
    assert OriginPolicy([APP]).check(scope(origin), "open") == REFUSED


def test_own_origin_stays_allowed_beside_configured_ones() -> None:
    page = "http://chat.example"
    assert OriginPolicy([APP]).check(scope(page), "open") == allowed(page)
    page = "https://public.example"
    assert OriginPolicy([APP]).check(scope(page, site="same-origin"), "open") == allowed(page)


def test_star_allows_every_origin_and_none() -> None:
    policy = OriginPolicy(["*"])
    for verb in VERBS:
        assert policy.check(scope(EVIL, site="cross-site"), verb) == allowed(EVIL)
        assert policy.check(scope(None, site="cross-site", cookie=True), verb) == Decision(True)


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "app.example",
        "//app.example",
        "https:app.example",
        "https://",
        "https://app.example/",
        "https://app.example/chat",
        "https://app.example?a",
        "https://user@app.example",
        "https://*.example",
        "https://app.example:",
        "https://app.example:port",
        "https://app.example:0",
        "https://app.example:65536",
        "https://app.example, https://b.example",
        "https://127.1",
        "https://1.2.3.256",
        "https://[::g]",
        "https://[1.2.3.4]",
        "https://a℀b.example",
        "https://" + "a" * 600,
        "**",
        "Null",
    ],
)
def test_configured_origin_that_is_none_is_a_value_error(origin: str) -> None:
    with pytest.raises(ValueError, match="is not an origin; write scheme, host and port"):
        OriginPolicy([origin])


def test_address_of_a_websocket_is_no_origin() -> None:
    with pytest.raises(ValueError, match=r"of the page, 'https://app\.example:81'\."):
        OriginPolicy(["wss://app.example:81"])
    with pytest.raises(ValueError, match=r"of the page, 'http://ws\.example'\."):
        OriginPolicy(["ws://ws.example"])


@pytest.mark.parametrize(
    "origins", [APP, APP.encode(), None, 5, [b"https://app.example"], [None], [5]]
)
def test_origins_are_a_list_of_strings(origins: Any) -> None:
    with pytest.raises(TypeError, match="string"):
        OriginPolicy(origins)


# --- Plain native WebSockets ----------------------------------------------------------------------


def test_native_handshake_passes_with_one_warning_while_nothing_is_configured(
    caplog: pytest.LogCaptureFixture,
) -> None:
    policy = OriginPolicy()
    with caplog.at_level(logging.DEBUG, "emulation.origins"):
        for _ in range(3):
            assert policy.check_native(scope(EVIL, scheme="ws", cookie=True)) == Decision(True)
        assert policy.check_native(scope("null")) == Decision(True)
        assert policy.check_native(scope(None, cookie=True)) == Decision(True)
        assert policy.check_native(scope("http://chat.example")) == allowed("http://chat.example")
    assert len(caplog.messages) == 2
    assert "'https://evil.example'" in caplog.messages[0]
    assert "origins=[...]" in caplog.messages[0]


def test_native_handshake_is_held_to_configured_origins(caplog: pytest.LogCaptureFixture) -> None:
    policy = OriginPolicy([APP])
    assert policy.check_native(scope(APP, scheme="wss")) == allowed(APP)
    assert policy.check_native(scope(EVIL, scheme="wss")) == REFUSED
    assert policy.check_native(scope(None, scheme="wss", cookie=True)) == REFUSED
    assert policy.check_native(scope(None, scheme="wss")) == Decision(True)
    assert len(caplog.messages) == 2


def test_native_warnings_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    policy = OriginPolicy()
    for number in range(1000):
        assert policy.check_native(scope(f"https://{number}.example")).is_allowed
    assert len(caplog.messages) == 200


# --- The log --------------------------------------------------------------------------------------


def test_refusal_says_who_came_who_may_and_what_to_change(caplog: pytest.LogCaptureFixture) -> None:
    OriginPolicy([APP, "http://bücher.example:81"]).check(scope(EVIL), "open")
    [record] = caplog.records
    assert (record.name, record.levelname) == ("emulation.origins", "WARNING")
    for part in (
        "'https://evil.example'",
        "'chat.example'",
        "['https://app.example', 'http://xn--bcher-kva.example:81']",
        "origins=[...] of WebSocketEmulation",
    ):
        assert part in record.getMessage()


def test_refusal_says_whose_forwarded_host_was_not_believed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """uvicorn puts the page's address in the place of the proxy's, which is named in vain then."""
    policy = OriginPolicy((), ["127.0.0.1"])
    public = "https://public.example"
    policy.check(scope(public, "backend", forwarded="public.example", client="192.0.2.9"), "open")
    assert (
        "X-Forwarded-Host 'public.example' was not believed, which came from '192.0.2.9':"
        " see trusted_proxies" in caplog.messages[0]
    )
    # Where it would have changed nothing, or is believed, there is nothing to be said.
    policy.check(scope(EVIL, "backend", forwarded="public.example", client="192.0.2.9"), "open")
    policy.check(scope("http://b.example", "c", forwarded="d.example", client="127.0.0.1"), "open")
    assert len(caplog.messages) == 3
    assert not any("trusted_proxies" in message for message in caplog.messages[1:])


def test_refusals_do_not_flood_the_log(caplog: pytest.LogCaptureFixture) -> None:
    now = 1000.0
    policy = OriginPolicy(clock=lambda: now)
    for _ in range(50):
        policy.check(scope(EVIL), "open")
    assert len(caplog.messages) == 1
    for number in range(500):
        policy.check(scope(f"https://{number}.example"), "open")
    assert len(caplog.messages) == 20
    now += 60
    policy.check(scope(EVIL), "open")
    assert len(caplog.messages) == 21
    assert "(49 more refusals were not logged.)" in caplog.messages[1]
    assert "(481 more refusals were not logged.)" in caplog.messages[-1]
    policy.check(scope(None, cookie=True), "ws")
    assert "without Origin" in caplog.messages[-1]
    assert "more refusals" not in caplog.messages[-1]


def test_log_line_cannot_be_broken_out_of(caplog: pytest.LogCaptureFixture) -> None:
    attack = b"https://a\r\nINFO: all is well\x1b[2J\xff" + b"x" * 5000
    OriginPolicy().check(scope(attack, "h\r\nINFO\x1b" + "y" * 5000), "open")
    [message] = caplog.messages
    assert message.isascii() and message.isprintable()
    assert len(message) < 1500


# --- Properties -----------------------------------------------------------------------------------


@given(hosts, ports, st.sampled_from(["http", "https"]), st.sampled_from(VERBS))
def test_every_origin_is_allowed_to_its_own_host(
    host: str, port: int, scheme: str, verb: str
) -> None:
    origin = f"{scheme}://{host}:{port}"
    assert OriginPolicy().check(scope(origin, f"{host}:{port}"), verb) == allowed(origin)


@given(hosts, hosts, ports, ports, st.sampled_from(VERBS))
def test_no_origin_is_allowed_to_another_host_or_port(
    host: str, other: str, port: int, other_port: int, verb: str
) -> None:
    if (host, port) != (other, other_port):
        seen = scope(f"http://{host}:{port}", f"{other}:{other_port}", site="cross-site")
        assert OriginPolicy().check(seen, verb) == REFUSED


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=700), st.binary(max_size=700), st.sampled_from(VERBS))
@example(b"null", b"", "open")
def test_any_bytes_are_answered_and_only_serialised_origins_are_echoed(
    caplog: pytest.LogCaptureFixture, origin: bytes, host: bytes, verb: str
) -> None:
    for policy in (OriginPolicy(), OriginPolicy([APP]), OriginPolicy(["*"])):
        decision = policy.check(scope(origin, host.decode("latin-1")), verb)
        assert decision.origin in (None, origin)
        if decision.origin is not None:
            assert origin.isascii() and b"\n" not in origin and b" " not in origin
    for message in caplog.messages:
        assert message.isascii() and message.isprintable()
    caplog.clear()


@given(st.text())
def test_any_configured_text_is_an_origin_or_a_value_error(text: str) -> None:
    for origin in (text, f"https://{text}"):
        try:
            OriginPolicy([origin])
        except ValueError as error:
            assert str(error).startswith("origins: ")


@given(st.text("abc.:/@[]%* \n", max_size=12))
def test_nothing_but_the_configured_origin_matches(tail: str) -> None:
    if tail:
        assert OriginPolicy([APP]).check(scope(APP + tail, site="cross-site"), "send") == REFUSED
