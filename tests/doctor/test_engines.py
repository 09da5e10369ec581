"""The page in old engines: it comes to a verdict, and saves it as plainly as they allow."""

from __future__ import annotations

import secrets
import tempfile
from typing import Any

import anyio
import httpx
import pytest

from tests.engines.engines import ENGINES, Engine, opened
from tests.support.servers import Servers

pytestmark = [pytest.mark.browser, pytest.mark.integration]

APPLICATION = "tests.doctor.app:app"
TIMEOUT = 90

VERDICTS = {
    "phantomjs-1.9.8": "This browser has no WebSocket that servers speak; server-sent events work",
    "phantomjs-2.1.1": "WebSocket works here",
    "qtwebkit": "WebSocket works here",
    "chromium-49": "WebSocket works here",
    "chromium-64": "WebSocket works here",
    "firefox": "WebSocket works here",
    "webkitgtk": "WebSocket works here",
}
OLDEST, *OTHERS = [engine for name in VERDICTS for engine in ENGINES if engine.name == name]


async def examine(engine: Engine, url: str) -> dict[str, Any]:
    """Let the engine open the page, and return what it says in the end."""
    reason = engine.missing()
    if reason:
        pytest.skip(reason)
    token = secrets.token_hex(8)
    with tempfile.NamedTemporaryFile(prefix=f"{engine.name}-") as log:
        with opened(engine, f"{url}/watch?{token}", log):
            try:
                with anyio.fail_after(TIMEOUT):
                    async with httpx.AsyncClient(trust_env=False) as client:
                        while True:
                            result = (await client.get(f"{url}/results/{token}")).json()
                            if result is not None:
                                return dict(result)
                            await anyio.sleep(0.2)
            except TimeoutError:
                log.seek(0)
                print(f"{engine.name} printed:", log.read().decode(errors="replace"), sep="\n")
                raise


async def check(engine: Engine, url: str) -> None:
    result = await examine(engine, url)
    print(result["report"])
    assert result["state"] == "done"
    assert result["verdict"]["headline"].startswith(VERDICTS[engine.name])
    assert result["steps"] == 7
    assert result["charts"] == 6
    assert result["saved"] == result["report"]


async def test_oldest_engine(servers: Servers) -> None:
    await check(OLDEST, servers.get(APPLICATION).url)


@pytest.mark.full
@pytest.mark.parametrize("engine", OTHERS, ids=lambda engine: engine.name)
async def test_other_engines(servers: Servers, engine: Engine) -> None:
    await check(engine, servers.get(APPLICATION).url)
