"""The page behind real proxies as they come: each gives itself away."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser

from tests.doctor.test_page import APPLICATION, examined, report
from tests.proxies import reverse
from tests.proxies.running import running
from tests.support.servers import Servers

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.full]

DEFAULT = {
    "nginx": [
        "The upgrade to WebSocket is taken out on the way; streaming works",
        "- The server is asked in HTTP/1.0",
        "- A body of 1.1 MiB is refused (answered with 413), one of 586 KiB passes.",
        "This browser was shown: server: nginx/",
        "X-Accel-Buffering has been heeded",
    ],
    "HAProxy": [
        "WebSocket works here",
        "- Small pieces of a stream do not go at once",
    ],
    "Varnish": [
        "The server was shown: x-forwarded-for: 127.0.0.1; x-varnish: ",
        "via: 1.1 varnish",
    ],
    "Squid": ["The server was shown: via: 1.1 ", "x-cache: MISS from "],
    "mitmproxy": ["WebSocket works here", "- Streams are held back until they have ended"],
}


@pytest.mark.parametrize("name", DEFAULT)
async def test_default_configuration(servers: Servers, browser: Browser, name: str) -> None:
    with running(reverse.DEFAULT[name], [servers.get(APPLICATION).port]) as proxy:
        async with examined(browser, proxy.url, 0) as page:
            text = await report(page)
    for words in DEFAULT[name]:
        assert words in text
