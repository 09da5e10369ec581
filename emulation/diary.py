"""The life of a session in a few log lines: logger `emulation.diary`, level INFO.

One line when it opens, one when another transport serves it, one when it ends; what each says in
words stands in the record as fields, too (`extra`), for logs that are searched by machines. They
answer "why is this page on long-polling?": what served it, from when on, and what came instead.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emulation.session import Session

__all__ = ["note_end", "note_move", "note_open"]

_logger = logging.getLogger("emulation.diary")


def note_open(session: Session, seconds: float) -> None:
    """Log that the application has accepted, so long after the page's first try."""
    if not _logger.isEnabledFor(logging.INFO):
        return
    transport = session.transport or "none yet"
    _logger.info(
        "session %s opened after %.3f s, transport %s",
        session.id,
        seconds,
        transport,
        extra={
            "event": "opened",
            "session": session.id,
            "transport": transport,
            "seconds": round(seconds, 3),
        },
    )


def note_move(session: Session, before: str, why: str, seconds: float) -> None:
    """Log that another transport serves the session, so long after the first try."""
    if not _logger.isEnabledFor(logging.INFO):
        return
    _logger.info(
        "session %s moved from %s to %s after %.3f s: %s",
        session.id,
        before,
        session.transport,
        seconds,
        why,
        extra={
            "event": "moved",
            "session": session.id,
            "before": before,
            "transport": session.transport,
            "reason": why,
            "seconds": round(seconds, 3),
        },
    )


def note_end(session: Session, code: int, why: str, seconds: float) -> None:
    """Log how the session ended, and what it was."""
    if not _logger.isEnabledFor(logging.INFO):
        return
    connection = session.connection
    _logger.info(
        "session %s ended with %d on %s after %.3f s: %s; %d frames (%d bytes) came, "
        "%d frames (%d bytes) went; %d attaches, %d moves",
        session.id,
        code,
        session.transport or "no transport",
        seconds,
        why,
        connection.received,
        connection.bytes_taken,
        connection.sent,
        connection.bytes_numbered,
        session.attaches,
        session.moves,
        extra={
            "event": "ended",
            "session": session.id,
            "transport": session.transport,
            "code": code,
            "reason": why,
            "seconds": round(seconds, 3),
            "frames_up": connection.received,
            "bytes_up": connection.bytes_taken,
            "frames_down": connection.sent,
            "bytes_down": connection.bytes_numbered,
            "attaches": session.attaches,
            "moves": session.moves,
        },
    )
