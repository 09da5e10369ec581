"""What the application hears of a page that is left, in every engine that has pages."""

from __future__ import annotations

import secrets
import tempfile

import pytest

from tests.engines.engines import ENGINES, Engine, Node, opened
from tests.support import recorded
from tests.support.servers import Servers

pytestmark = [pytest.mark.browser, pytest.mark.integration]

APPLICATION = "tests.engines.app:app"
# The start of an engine; the server itself would miss the page after 45 s.
TIMEOUT = 30

WITH_PAGES = [engine for engine in ENGINES if not isinstance(engine, Node)]


@pytest.mark.parametrize("engine", WITH_PAGES, ids=lambda engine: engine.name)
async def test_page_says_that_it_leaves(servers: Servers, engine: Engine) -> None:
    """By a beacon, or by a request that the engine waits for."""
    reason = engine.missing()
    if reason:
        pytest.skip(reason)
    url = servers.get(APPLICATION).url
    token = secrets.token_hex(8)
    with tempfile.NamedTemporaryFile(prefix=f"{engine.name}-") as log:
        with opened(engine, f"{url}/frame?token={token}", log):
            try:
                [end] = await recorded.disconnects(url, token, timeout=TIMEOUT)
            finally:
                log.seek(0)
                print(f"{engine.name} printed:", log.read().decode(errors="replace"), sep="\n")
    assert (end["code"], end["received"]) == (1001, 3)
