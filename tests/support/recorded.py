"""What `tests.apps.recorder` remembers of the sockets of one test, told apart by a token."""

from __future__ import annotations

from typing import Any

import anyio
import httpx

TIMEOUT = 10.0


async def starts(url: str, token: str) -> list[dict[str, Any]]:
    """Return how the application at `url` was started for the sockets with `token`, in order."""
    return await _recorded(url, "starts", token)


async def disconnects(
    url: str, token: str, count: int = 1, *, timeout: float = TIMEOUT
) -> list[dict[str, Any]]:
    """Return the disconnects that the application saw, when there are `count`."""
    with anyio.fail_after(timeout):
        while True:
            found = await _recorded(url, "disconnects", token)
            if len(found) >= count:
                return found
            await anyio.sleep(0.01)


async def _recorded(url: str, what: str, token: str) -> list[dict[str, Any]]:
    async with httpx.AsyncClient(trust_env=False) as client:
        entries: list[dict[str, Any]] = (await client.get(f"{url}/{what}")).json()
    return [entry for entry in entries if f"token={token}" in entry["query"]]
