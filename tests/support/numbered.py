"""Numbered messages, each the same for both sides that know its sender and its number."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, Literal, TypeAlias

__all__ = ["Altered", "Sender", "exchange", "message"]

Sender: TypeAlias = Literal["page", "server"]

# How far a side runs ahead of the other: far enough that several messages share a body, and so near
# that a session has many bodies in which it can be struck.
_LEAD: Final = 64

_ALPHABET: Final = (
    "\0",
    "é",
    "€",
    "😀",
    "\n",
    '"',
    "\\",
    "[",
    "a",
    "b",
    "c",
    "d",
    "e",
    "f",
    "g",
    "h",
)


class Altered(Exception):
    """Say that what came is not the message that was next."""


def message(sender: Sender, number: int) -> str | bytes:
    """Return a message: text or binary, empty, short, long or longer than a part."""
    drawn = random.Random(f"{sender} {number}")
    if number % 400 == 0:
        size = drawn.randrange(20_000, 40_000)
    elif number % 50 == 0:
        size = drawn.randrange(1_000, 3_000)
    else:
        size = max(0, drawn.randrange(-10, 120))
    content = drawn.randbytes(size)
    if number % 3 == 0:
        return content
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in content)


async def exchange(
    send: Callable[[str | bytes], Awaitable[None]],
    receive: Callable[[], Awaitable[str | bytes]],
    sender: Sender,
    count: int,
) -> None:
    """Send messages 1 to `count` of `sender` while those of the other side come.

    Raises Altered at the first message that is not the one that is next.
    """
    other: Sender = "server" if sender == "page" else "page"
    ahead = asyncio.Semaphore(_LEAD)

    async def send_all() -> None:
        for number in range(1, count + 1):
            await ahead.acquire()
            await send(message(sender, number))

    async def receive_all() -> None:
        for number in range(1, count + 1):
            came = await receive()
            if came != message(other, number):
                raise Altered(f"{came[:40]!r} ({len(came)}) came for message {number} of {other}")
            ahead.release()

    tasks = [asyncio.create_task(send_all()), asyncio.create_task(receive_all())]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
