"""Waiting for so long and no longer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import anyio

__all__ = ["sleep", "within"]

T = TypeVar("T")


async def within(seconds: float | None, awaitable: Awaitable[T]) -> T:
    """Await for so many seconds at most; raises TimeoutError.

    Not asyncio.wait_for, which before Python 3.12 loses a cancellation that meets a result.
    """
    with anyio.fail_after(seconds):
        return await awaitable


async def sleep(seconds: float, wake: asyncio.Event | None = None) -> None:
    """Sleep for so many seconds, or until `wake` is set."""
    with anyio.move_on_after(seconds):
        await (wake or asyncio.Event()).wait()
