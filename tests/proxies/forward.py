"""Forward proxies as Debian ships them, between a browser and any server."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.proxies.programs import packaged
from tests.proxies.reverse import mitmproxy, squid
from tests.proxies.running import Kind, Site

__all__ = ["HTTP", "HTTPS"]


def _replaced(text: str, replacements: dict[str, str]) -> str:
    """Replace each pattern, which has to be there."""
    for pattern, replacement in replacements.items():
        text, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
        assert count, f"the package's configuration has no {pattern}"
    return text


def _squid(tunnels: Callable[[Site], int]) -> Kind:
    """Return Squid that allows tunnels to one port, as it comes to that of https."""
    return squid(lambda site: _squid_lines(site, tunnels(site)))


def _squid_lines(site: Site, tunnels: int) -> str:
    return _replaced(
        packaged("etc/squid/squid.conf").read_text(),
        {
            r"^http_port 3128": f"http_port 127.0.0.1:{site.port}",
            r"^include .*": "",
            r"^coredump_dir .*": "",
            r"^acl SSL_ports port 443": f"acl SSL_ports port {tunnels}",
        },
    )


def _privoxy(site: Site) -> list[str]:
    places = {
        r"^confdir .*": f"confdir {packaged('etc/privoxy')}",
        r"^logdir .*": f"logdir {site.directory}",
        # With a line for each request.
        r"^logfile .*": "logfile privoxy.log\ndebug 1",
        r"^user-manual .*": "",
        r"^listen-address .*": f"listen-address 127.0.0.1:{site.port}",
    }
    text = _replaced(packaged("usr/share/privoxy/config").read_text(), places)
    return ["--no-daemon", site.write("config", text)]


def _tinyproxy(site: Site) -> list[str]:
    share = packaged("usr/share/tinyproxy")
    places = {
        r"^(User|Group) .*": "",
        r"^Port .*": f"Port {site.port}\nListen 127.0.0.1",
        r"^DefaultErrorFile .*": f'DefaultErrorFile "{share}/default.html"',
        r"^StatFile .*": f'StatFile "{share}/stats.html"',
        r"^LogFile .*": f'LogFile "{site.directory}/tinyproxy.log"',
        r"^PidFile .*": f'PidFile "{site.directory}/tinyproxy.pid"',
    }
    text = _replaced(packaged("etc/tinyproxy/tinyproxy.conf").read_text(), places)
    return ["-d", "-c", site.write("tinyproxy.conf", text)]


def _mitmproxy(site: Site) -> str:
    # It does not know the authority that a test has made.
    return f"listen_port: {site.port}\nssl_insecure: true\n"


# In front of a server with TLS, whose port would be 443 if it were not one of a test.
HTTPS = {
    "Squid": _squid(lambda site: site.server),
    "Privoxy": Kind("privoxy", _privoxy),
    "tinyproxy": Kind("tinyproxy", _tinyproxy),
    "mitmproxy": mitmproxy(_mitmproxy),
}

HTTP = {**HTTPS, "Squid": _squid(lambda site: 443)}
