"""The wire examples that both languages read (tests/vectors/README.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

_DIRECTORY = Path(__file__).parent.parent / "vectors"


def cases(name: str, **members: object) -> list[Any]:
    """Return the cases of one file, those whose members have these values, as parameters."""
    text = (_DIRECTORY / f"{name}.json").read_text(encoding="ascii")
    chosen = [
        pytest.param(case, id=case["name"])
        for case in json.loads(text)["cases"]
        if members.items() <= case.items()
    ]
    assert chosen, f"{name}.json has no case with {members}"
    return chosen
