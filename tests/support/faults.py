"""Put a laboratory of intermediaries between the clients and the server of a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import pytest

from emulation_server.lab import LabThread

LabBefore: TypeAlias = Callable[..., LabThread]

SEND = r"emulation=send\."

# What may happen to a transport in the middle of a session: the mode and its options.
CUTS: dict[str, tuple[str, dict[str, Any]]] = {
    "connection dropped": ("drop", {"until": 8_000, "probability": 0.3}),
    "connection dropped in an upload": ("drop", {"direction": "up", "until": 2_000, "every": 3}),
    "answer truncated": ("truncate", {"until": 8_000, "probability": 0.3}),
    "upload truncated": ("truncate", {"direction": "up", "until": 2_000, "every": 3}),
    "answer never finished": ("stall", {"until": 8_000, "every": 10}),
    "POST delivered twice": ("duplicate", {}),
    "POST delivered twice, first answer": ("duplicate", {"answer": "first", "only": SEND}),
    "answer lost": ("lose-answer", {"only": SEND, "every": 3}),
    "answers swapped": ("swap", {"every": 5}),
    "bodies cut after 256 KiB": ("cut-bodies", {}),
    "tunnel reset": ("cut-tunnel", {"after": 2_000, "until": 20_000}),
    "slow and uneven": ("jitter", {"jitter": 0.05}),
}


@pytest.fixture
def lab_before() -> Iterator[LabBefore]:
    """Return a function that puts a laboratory in front of a base URL until the test ends.

    It takes the URL, a mode and the mode's options, and returns a `LabThread`. A test that fails
    shows what became of each request.
    """
    labs: list[LabThread] = []
    with ExitStack() as stack:

        def start(base_url: str, mode: str = "plain", **options: Any) -> LabThread:
            to = urlsplit(base_url)
            assert to.hostname is not None and to.port is not None, base_url
            lab = stack.enter_context(LabThread((to.hostname, to.port), mode, **options))
            labs.append(lab)
            return lab

        yield start
        for lab in labs:
            print(f"requests through the laboratory at {lab.url}:", *lab.log, sep="\n")
