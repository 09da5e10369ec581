"""Which WebSockets there are, what has passed through them, and how to close one by its id."""

from __future__ import annotations

import logging
import secrets
import time
from collections import Counter
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, Final

from emulation_server.logs import session_id

if TYPE_CHECKING:
    from emulation.bridge import App, Receive, Scope, Send

__all__ = ["NATIVE", "Totals", "Watch", "Watched"]

logger = logging.getLogger("emulation_server.sessions")

NATIVE: Final = "native"


class Totals:
    """What has been counted since the start; "up" is from the client to the application."""

    def __init__(self) -> None:
        self.opened: Counter[str] = Counter()  # by transport
        self.refused: Counter[int] = Counter()  # by status
        self.ended: Counter[int] = Counter()  # by close code
        self.messages = {"up": 0, "down": 0}
        self.bytes = {"up": 0, "down": 0}


class Watched:
    """One WebSocket that is open or about to be."""

    def __init__(self, scope: Scope) -> None:
        self._extension: MutableMapping[str, Any] = scope["extensions"].get("emulation") or {}
        self.id: str = self._extension.get("session") or secrets.token_hex(4)
        self.path: str = scope["path"]
        self.client: str = scope["client"][0] if scope.get("client") else ""
        self.since = time.time()
        self.is_open = False
        self.is_closed_by_operator = False
        self.status = 0
        self.code = 1006
        self.messages = {"up": 0, "down": 0}
        self.bytes = {"up": 0, "down": 0}
        self.send: Send | None = None

    @property
    def transport(self) -> str:
        """The transport that serves it now, "native" for a plain WebSocket."""
        return self._extension.get("transport", "") if self._extension else NATIVE

    def count(self, direction: str, event: MutableMapping[str, Any]) -> None:
        message = event.get("bytes")
        if message is None:
            message = event.get("text") or ""
        self.messages[direction] += 1
        self.bytes[direction] += len(message)


class Watch:
    """Watch the WebSockets of an ASGI application; put it directly around the application."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.sockets: dict[str, Watched] = {}
        self._totals = Totals()

    @property
    def totals(self) -> Totals:
        """Return what has been counted, the sockets that are still open included."""
        sums = Totals()
        sums.opened += self._totals.opened
        sums.refused += self._totals.refused
        sums.ended += self._totals.ended
        _add(sums, self._totals)
        for watched in self.sockets.values():
            _add(sums, watched)
        return sums

    async def close(self, name: str, code: int, reason: str) -> bool:
        """Close the socket of this id as its application could; False where there is none open."""
        watched = self.sockets.get(name)
        if watched is None or not watched.is_open or watched.send is None:
            return False
        if watched.is_closed_by_operator:
            return False
        watched.is_closed_by_operator = True
        try:
            await watched.send({"type": "websocket.close", "code": code, "reason": reason})
        except (OSError, RuntimeError):
            return False  # it is closed already, by its page or its application
        return True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the connection on; watch it where it is a WebSocket."""
        if scope["type"] != "websocket":
            await self.app(scope, receive, send)
            return
        watched = Watched(scope)
        watched.send = send
        self.sockets[watched.id] = watched
        # Each socket runs in a task of its own: nothing has to be reset.
        session_id.set(watched.id)
        try:
            await self.app(scope, _receiving(watched, receive), self._sending(watched, send))
        finally:
            del self.sockets[watched.id]
            self._note_end(watched)

    def _note_end(self, watched: Watched) -> None:
        _add(self._totals, watched)
        if watched.is_open:
            self._totals.ended[watched.code] += 1
            if watched.transport == NATIVE:
                # The emulation tells the ends of its own.
                logger.info(
                    "closed with %d after %.1f s; %d messages up, %d down",
                    watched.code,
                    time.time() - watched.since,
                    watched.messages["up"],
                    watched.messages["down"],
                )
        elif watched.status:
            self._totals.refused[watched.status] += 1

    def _sending(self, watched: Watched, send: Send) -> Send:
        async def sending(event: MutableMapping[str, Any]) -> None:
            kind = event["type"]
            if watched.is_closed_by_operator:
                raise ClosedByOperator
            await send(event)
            if kind == "websocket.send":
                watched.count("down", event)
            elif kind == "websocket.accept":
                watched.is_open = True
                self._totals.opened[watched.transport] += 1
            elif kind == "websocket.close":
                watched.status = 403
                watched.code = event.get("code", 1000) or 1005
            elif kind == "websocket.http.response.start":
                watched.status = event["status"]

        return sending


class ClosedByOperator(OSError):
    """Tell an application that sends that its socket is closed (ASGI: an OSError)."""


def _receiving(watched: Watched, receive: Receive) -> Receive:
    async def receiving() -> MutableMapping[str, Any]:
        event = await receive()
        if event["type"] == "websocket.receive":
            watched.count("up", event)
        elif event["type"] == "websocket.disconnect":
            watched.code = event.get("code", 1005)
        return event

    return receiving


def _add(sums: Totals, source: Totals | Watched) -> None:
    for direction in ("up", "down"):
        sums.messages[direction] += source.messages[direction]
        sums.bytes[direction] += source.bytes[direction]
