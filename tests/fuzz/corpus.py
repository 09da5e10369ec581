"""The inputs that are kept: a file for each target, an input a line, in base64."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from pathlib import Path

__all__ = ["read", "write"]

_FOLDER = Path(__file__).parent / "corpus"


def read(target: str) -> list[bytes]:
    """Return the inputs of a target, none where nothing is kept."""
    path = _FOLDER / f"{target}.txt"
    return [base64.b64decode(line) for line in path.read_text().split()] if path.exists() else []


def write(target: str, inputs: Iterable[bytes]) -> None:
    """Keep these inputs of a target and no others, the shortest first."""
    kept = sorted(set(inputs), key=lambda data: (len(data), data))
    lines = [base64.b64encode(data).decode() + "\n" for data in kept]
    (_FOLDER / f"{target}.txt").write_text("".join(lines))
