"""uvicorn's access log without the carriers' requests and without queries.

A page that polls makes a request every few seconds, and a query may hold what is nobody's business:
an application's token, a carrier's key.
"""

from __future__ import annotations

import logging

from emulation.transports.marker import split_marker

__all__ = ["AccessLogFilter", "filter_access_log"]


class AccessLogFilter(logging.Filter):
    """Drop the lines about requests with our marker, and cut the query off all others.

    It is for the loggers "uvicorn.access" and "uvicorn.error"; the latter has the lines about
    WebSocket handshakes. `filter_access_log` puts it there.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Decide about a record; its arguments are changed in place."""
        if not isinstance(record.args, tuple):
            return True
        if record.name == "uvicorn.access":
            place = 2
        elif isinstance(record.msg, str) and '"WebSocket %s"' in record.msg:
            place = 1
        else:
            return True
        target = str(record.args[place])
        path, separator, query = target.partition("?")
        if split_marker(query.encode("utf-8", "replace"))[0] is not None:
            return False
        if separator:
            record.args = (*record.args[:place], path, *record.args[place + 1 :])
        return True


def filter_access_log() -> None:
    """Keep the carriers' requests and all queries out of uvicorn's log; may be called again."""
    for name in ("uvicorn.access", "uvicorn.error"):
        logger = logging.getLogger(name)
        if not any(isinstance(present, AccessLogFilter) for present in logger.filters):
            logger.addFilter(AccessLogFilter())
