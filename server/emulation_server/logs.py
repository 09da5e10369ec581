"""Logs for people and for machines; the lines of one session share its public id."""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from datetime import datetime, timezone
from typing import Any

from emulation.access_log import filter_access_log

__all__ = ["session_id", "set_up"]

# The session whose application is running, "" outside of one.
session_id: ContextVar[str] = ContextVar("session_id", default="")


def set_up(level: str, *, as_json: bool) -> None:
    """Send every logger's lines to standard error, and tell uvicorn's access log what to leave out.

    Give uvicorn `log_config=None` beside it.
    """
    handler = logging.StreamHandler()
    handler.addFilter(_is_telling)
    handler.addFilter(_note_session)
    handler.setFormatter(_JSON() if as_json else _Text())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Whatever happens to a backend is logged where it is known whose it is.
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    # At DEBUG these show whole handshakes and answers: queries, cookies, nonces, messages.
    for name in ("uvicorn.error", "sse_starlette"):
        logging.getLogger(name).setLevel(max(logging.INFO, logging.getLogger().level))
    filter_access_log()


def _is_telling(record: logging.LogRecord) -> bool:
    """Leave out what uvicorn's WebSocket library says of every connection, ours or not."""
    return record.name != "uvicorn.error" or record.msg not in (
        "connection open",
        "connection closed",
    )


def _note_session(record: logging.LogRecord) -> bool:
    if not hasattr(record, "session"):
        record.session = session_id.get()
    return True


class _Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s%(mark)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        session: str = getattr(record, "session", "")
        # The library's own lines name the session themselves.
        is_named = not session or session in record.getMessage()
        record.mark = "" if is_named else f" session {session}"
        return super().format(record)


class _JSON(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if session := getattr(record, "session", ""):
            line["session"] = session
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)
