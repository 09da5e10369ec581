"""Close codes and reasons (RFC 6455 sections 5.5.1 and 7.4; docs/protocol.md section 3)."""

from __future__ import annotations

from typing import Final

from emulation.exceptions import LocalProtocolError, RemoteProtocolError

__all__ = ["MAX_REASON_BYTES", "CloseCode", "close_payload", "is_sendable", "parse_close"]

# A control frame holds 125 bytes, two of them the code (RFC 6455 section 5.5).
MAX_REASON_BYTES: Final = 123


class CloseCode:
    """The codes of RFC 6455 section 7.4.1 and the IANA registry that this package uses itself.

    They are plain integers: Daphne's autobahn takes nothing else, nor an enumeration's member.
    """

    NORMAL: Final = 1000
    GOING_AWAY: Final = 1001
    PROTOCOL_ERROR: Final = 1002
    NO_STATUS: Final = 1005
    ABNORMAL: Final = 1006
    INVALID_DATA: Final = 1007
    POLICY_VIOLATION: Final = 1008
    TOO_BIG: Final = 1009
    INTERNAL_ERROR: Final = 1011
    SERVICE_RESTART: Final = 1012


def is_sendable(code: object) -> bool:
    """Tell whether a close frame may carry this code."""
    return isinstance(code, int) and (
        3000 <= code <= 4999 or (1000 <= code <= 1014 and code not in (1004, 1005, 1006))
    )


def close_payload(code: int | None, reason: str = "") -> bytes:
    """Make the payload of a close frame; None stands for no code.

    Raises LocalProtocolError for a code that may not be sent, a reason without a code, with a lone
    surrogate, or of more than 123 bytes of UTF-8.
    """
    if code is None or code == CloseCode.NO_STATUS:
        if reason:
            raise LocalProtocolError("a close reason needs a close code")
        return b""
    if not is_sendable(code):
        raise LocalProtocolError(
            f"close code {code!r} may not be sent; use 1000, 1001 to 1014 (not 1004 to 1006), "
            "or 3000 to 4999"
        )
    try:
        encoded = reason.encode()
    except UnicodeEncodeError:
        raise LocalProtocolError("a reason with a lone surrogate is not Unicode") from None
    if len(encoded) > MAX_REASON_BYTES:
        raise LocalProtocolError(
            f"a close reason has at most {MAX_REASON_BYTES} bytes of UTF-8, this one {len(encoded)}"
        )
    return code.to_bytes(2, "big") + encoded


def parse_close(payload: bytes) -> tuple[int | None, str]:
    """Read a close frame's payload into its code (None where there is none) and reason.

    Raises RemoteProtocolError with 1002 or 1007 where the payload breaks RFC 6455.
    """
    if not payload:
        return None, ""
    if len(payload) < 2 or len(payload) > 2 + MAX_REASON_BYTES:
        raise RemoteProtocolError(400, CloseCode.PROTOCOL_ERROR, "close frame of a wrong length")
    code = int.from_bytes(payload[:2], "big")
    if not is_sendable(code):
        raise RemoteProtocolError(400, CloseCode.PROTOCOL_ERROR, "close code that is never sent")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        text = "close reason is not UTF-8"
        raise RemoteProtocolError(400, CloseCode.INVALID_DATA, text) from None
