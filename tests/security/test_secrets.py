"""What is a secret stands in bodies only; what the application's query holds is said once."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from emulation.access_log import AccessLogFilter
from emulation.testing import TRANSPORTS, connect
from tests.session.stage import Served, serving

TOKEN = "token-of-the-application"
TIMEOUT = 30


class Targets:
    """An outer middleware that keeps what a proxy would log, and logs it as uvicorn does."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def before(self, app: Any) -> Any:
        async def watching(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "lifespan":
                target = f"{scope['path']}?{scope['query_string'].decode()}"
                self.seen.append(target)
                access = ("127.0.0.1:1", scope.get("method", "GET"), target, "1.1", 200)
                logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', *access)
            await app(scope, receive, send)

        return watching


@asynccontextmanager
async def talked(transport: str, targets: Targets) -> AsyncIterator[Served]:
    """Serve while a socket with a token in its query talks, is cut, and closes."""
    async with serving(outside=targets.before) as served:
        url = f"{served.url}/echo?access_token={TOKEN}"
        with anyio.fail_after(TIMEOUT):
            async with connect(url, transport=transport, headers=[("cookie", "id=42")]) as ws:
                for number in range(5):
                    await ws.send(str(number))
                    assert await ws.receive() == str(number)
                ws.drop()
                await ws.send("again")
                assert await ws.receive() == "again"
                yield served


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_nothing_secret_is_logged(transport: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "emulation")
    caplog.set_level(logging.INFO, "uvicorn")
    theirs = [logging.getLogger(f"uvicorn.{name}") for name in ("access", "error")]
    hidden = AccessLogFilter()
    for logger in theirs:
        logger.addFilter(hidden)
    try:
        async with talked(transport, Targets()) as served:
            carriers = list(served.registry.carriers.values())
            secret = [carrier.secret for carrier in carriers] + list(served.registry.starts)
            assert secret
    finally:
        for logger in theirs:
            logger.removeFilter(hidden)
    log = "\n".join(record.getMessage() for record in caplog.records)
    for each in (*secret, TOKEN, "id=42"):
        assert each not in log


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_applications_query_goes_with_the_opening_only(transport: str) -> None:
    targets = Targets()
    async with talked(transport, targets) as served:
        secrets = [carrier.secret for carrier in served.registry.carriers.values()]
    assert [TOKEN in target for target in targets.seen] == [True] + [False] * (
        len(targets.seen) - 1
    )
    assert len(targets.seen) > 1
    assert not any(secret in target for secret in secrets for target in targets.seen)
