"""Close codes and reasons: what may be sent, and what is understood."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulation.exceptions import LocalProtocolError, RemoteProtocolError
from emulation.protocol.close import (
    MAX_REASON_BYTES,
    CloseCode,
    close_payload,
    is_sendable,
    parse_close,
)
from tests.protocol.vectors import cases

SENDABLE = {1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)}


def test_exactly_these_codes_may_be_sent() -> None:
    assert {code for code in range(-1, 0x10001) if is_sendable(code)} == SENDABLE


@pytest.mark.parametrize("case", cases("close", error=None))
def test_a_close_is_made_and_read_exactly(case: Any) -> None:
    payload = bytes.fromhex(case["payload"])
    assert parse_close(payload) == (case["code"], case["reason"])
    assert close_payload(case["code"], case["reason"]) == payload


@pytest.mark.parametrize("case", cases("close", code=None, reason=None))
def test_a_close_that_breaks_the_rules_has_its_code(case: Any) -> None:
    with pytest.raises(RemoteProtocolError) as info:
        parse_close(bytes.fromhex(case["payload"]))
    assert (info.value.status, info.value.close_code) == (400, case["error"])


def test_no_status_stands_for_no_code() -> None:
    assert close_payload(CloseCode.NO_STATUS) == close_payload(None) == b""
    assert parse_close(b"") == (None, "")


@pytest.mark.parametrize("code", [-1, 0, 999, 1004, 1006, 1015, 1016, 2999, 5000, 65536, 10**9])
def test_a_code_that_may_not_be_sent_is_the_applications_fault(code: int) -> None:
    with pytest.raises(LocalProtocolError, match=f"code {code} may not be sent; use 1000"):
        close_payload(code)


@pytest.mark.parametrize(
    ("code", "reason", "message"),
    [
        (None, "why", "needs a close code"),
        (1005, "why", "needs a close code"),
        (1000, "r" * (MAX_REASON_BYTES + 1), "at most 123 bytes of UTF-8, this one 124"),
        (1000, "é" * 62, "this one 124"),
        (1000, "\ud800", "lone surrogate"),
    ],
)
def test_a_reason_that_may_not_be_sent_is_the_applications_fault(
    code: int | None, reason: str, message: str
) -> None:
    with pytest.raises(LocalProtocolError, match=message):
        close_payload(code, reason)


@given(st.sampled_from(sorted(SENDABLE)), st.text(max_size=30))
def test_what_is_sent_is_understood(code: int, reason: str) -> None:
    assert parse_close(close_payload(code, reason)) == (code, reason)


@given(st.binary(max_size=130))
def test_any_payload_is_a_close_or_a_fault_of_the_peer(payload: bytes) -> None:
    try:
        code, reason = parse_close(payload)
    except RemoteProtocolError as error:
        assert (error.status, error.close_code in (1002, 1007)) == (400, True)
    else:
        assert close_payload(code, reason) == payload
