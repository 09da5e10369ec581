"""What the pages of an engine report to the server that gave them."""

from __future__ import annotations

import json
import secrets
import tempfile
from collections.abc import Sequence
from typing import Any

import anyio
import httpx

from tests.engines.engines import Engine, opened

START_TIME = 30


async def reports(
    engine: Engine,
    runs: Sequence[str],
    url: str,
    *,
    run_time: float,
    token: str | None = None,
    path: str = "/page",
) -> list[dict[str, Any]]:
    """Let `engine` do the `runs`, one after another, and return what it reported of each.

    `path` is that of the document. A run has `run_time` seconds. Raises `TimeoutError`.
    """
    token = token or secrets.token_hex(8)
    address = f"{url}{path}?token={token}&runs={','.join(runs)}&at=0"
    results: list[dict[str, Any]] = []
    with tempfile.NamedTemporaryFile(prefix=f"{engine.name}-") as log:
        with opened(engine, address, log) as process:
            try:
                with anyio.fail_after(START_TIME + run_time * len(runs)):
                    while len(results) < len(runs):
                        assert process.poll() in (None, 0), f"{engine.name} ended by itself"
                        await anyio.sleep(0.05)
                        results = await _reported(url, token)
            except BaseException:
                log.seek(0)
                print(f"{engine.name} printed:", log.read().decode(errors="replace"), sep="\n")
                print("It reported:", json.dumps(results, indent=1), sep="\n")
                raise
    return results


async def _reported(url: str, token: str) -> list[dict[str, Any]]:
    async with httpx.AsyncClient(trust_env=False) as client:
        results: list[dict[str, Any]] = (await client.get(f"{url}/results/{token}")).json()
    return results
