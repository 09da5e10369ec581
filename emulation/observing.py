"""What a process may hear of its sessions, for metrics: `Config(observer=…)`."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Observer", "Statistics"]


class Observer:
    """Hear what becomes of sessions: override what is wanted.

    The methods are called in the server's loop, between two writes: they must not wait or raise.
    """

    def moved(self, session: str, before: str, after: str) -> None:
        """Another transport serves the session of this id than did, or was going to."""

    def attached(self, transport: str, is_first: bool) -> None:
        """A downstream has begun to serve a page: its first, or one that resumes.

        A page that polls resumes with every poll.
        """

    def answered(self, transport: str, seconds: float) -> None:
        """A page was heard so long after a ping had been written to it."""


class Statistics(NamedTuple):
    """What a `WebSocketEmulation` keeps at the moment; sizes in bytes."""

    sessions: int
    carriers: int
    unreceived: int
    """Waiting for the applications."""
    unacknowledged: int
    """Kept until the pages have it."""
