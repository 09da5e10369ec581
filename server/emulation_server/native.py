"""uvicorn's WebSockets, whose close an application may answer itself.

uvicorn answers a client's close at once, with the client's own code. A relay has to answer when the
other end has answered, and with the code that came from there. An application asks for that much as
it does of the emulation: `scope["extensions"]["native"]["answers_close"] = True`. Where the other
end broke the protocol, `websocket.fail` breaks it here, for the client to fail the connection.
"""

from __future__ import annotations

from typing import Any, cast

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Request

__all__ = ["AnsweringProtocol"]


# A frame of an opcode that there is not (RFC 6455 section 5.2).
_RESERVED = b"\x8f\x00"


class AnsweringProtocol(WebSocketsSansIOProtocol):
    """One native client; give it to uvicorn as `ws`."""

    _owes_close = False

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:
            # The application's task has not begun yet.
            self.scope["extensions"]["native"] = {}

    @property
    def _answers_close(self) -> bool:
        extensions = cast("dict[str, dict[str, Any]]", self.scope["extensions"])
        return bool(extensions["native"].get("answers_close"))

    def handle_close(self, event: Frame) -> None:
        if self.close_sent or self.transport.is_closing() or not self._answers_close:
            super().handle_close(event)
            return
        if not self.conn.data_to_send():
            # The answer, which is not to be given yet, has gone with that to a ping.
            super().handle_close(event)
            return
        assert self.conn.close_rcvd is not None
        self.stop_keepalive()
        self._owes_close = True
        received = self.conn.close_rcvd
        self.queue.put_nowait(
            {"type": "websocket.disconnect", "code": received.code, "reason": received.reason}
        )

    def shutdown(self) -> None:
        if self._owes_close:
            self.transport.close()
        else:
            super().shutdown()

    async def send(self, message: Any) -> None:
        if message["type"] == "websocket.fail":
            self.transport.write(_RESERVED)
            self.transport.close()
            return
        if not self._owes_close:
            await super().send(message)
            # A refusal with a body is an answer, too: else uvicorn logs that there was none.
            if self.initial_response is not None and self.close_sent:
                self.handshake_complete = True
            return
        if self.disconnected or message["type"] != "websocket.close":
            raise ClientDisconnected
        self._owes_close = False
        self.close_sent = True
        code = message.get("code", 1000)
        payload = b"" if code is None else Close(code, message.get("reason") or "").serialize()
        self.transport.write(Frame(Opcode.CLOSE, payload).serialize(mask=False))
        self.transport.close()
