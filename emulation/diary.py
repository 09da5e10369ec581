"""The life of a session in a few log lines: logger `emulation.diary`, level INFO.

One line when it opens, one when another transport serves it, one when it ends; what each says in
words stands in the record as fields, too (`extra`), for logs that are searched by machines. They
answer "why is this page on long-polling?": what served it, from when on, what came instead, and
what had become of the one before, as far as it shows here (docs/deploying.md).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from emulation.config import TRANSPORTS

if TYPE_CHECKING:
    from emulation.session import Session

__all__ = ["ANSWERED", "CANCELLED", "CUT", "RENEWED", "UNWRITTEN"]
__all__ += ["given_up", "note_end", "note_move", "note_open", "unacknowledged"]

_logger = logging.getLogger("emulation.diary")

# A page that changes with each of its requests may, and the log must not grow with them.
_MOST_MOVES: Final = 100

# What becomes of a downstream. Whether a page broke it off or an intermediary, nobody can see here.
ANSWERED: Final = "was answered,"
CANCELLED: Final = "was cancelled by the server"
CUT: Final = "was cut, by its page or on the way,"
RENEWED: Final = "was ended here, to be renewed,"
UNWRITTEN: Final = "could not be written to any more"


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


def note_move(session: Session, before: str, how: str, lost: str, seconds: float) -> None:
    """Log that another transport serves the session, so long after the first try.

    `how` it came to that, and how a native socket of the session was `lost`, "" for none.
    """
    if not _logger.isEnabledFor(logging.INFO) or session.moves > _MOST_MOVES:
        return
    is_better = TRANSPORTS.index(session.transport) < TRANSPORTS.index(before)
    why = how + (", by a better transport" if is_better else "")
    why += "; " + (lost or _fate(session, before, is_better=is_better))
    if session.moves == _MOST_MOVES:
        why += "; of its further moves nothing is said"
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


def _fate(session: Session, before: str, *, is_better: bool) -> str:
    """Say what became of what the session's carrier served it by."""
    carrier = session.carrier
    if carrier is None or not session.attaches:
        return f"{before} never served it"
    if carrier.lost:
        fate = f"{before} {carrier.lost} after {carrier.lasted:.1f} s"
    elif is_better:
        return f"{before} was still open"
    else:
        fate = given_up(before, carrier.lasted)
    return fate + unacknowledged(session)


def given_up(transport: str, seconds: float) -> str:
    """Say that a page goes on without what seems to be in order here."""
    return f"its page gave {transport} up, which was open here for {seconds:.1f} s"


def unacknowledged(session: Session) -> str:
    """Say how much of what was written may not have come."""
    count = session.written - session.connection.acknowledged
    if count <= 0:
        return ""
    return f", with {count} frame{'s' if count > 1 else ''} unacknowledged"


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
