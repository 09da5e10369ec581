"""Fuzz one target for a while, guided by coverage: `python -m tests.fuzz TARGET --seconds 600`.

Needs atheris (`pip install atheris`). What reaches new code is kept in the target's corpus, and an
input that breaks it is written to the current folder.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
from pathlib import Path

import atheris

from tests.fuzz import corpus

with atheris.instrument_imports(include=["emulation"]):
    from tests.fuzz.targets import TARGETS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(corpus.read(options.target)):
            Path(folder, str(number)).write_bytes(data)
        # In a process of its own: the fuzzer ends it.
        fuzzer = multiprocessing.get_context("fork").Process(
            target=fuzz, args=(options.target, options.seconds, folder)
        )
        fuzzer.start()
        fuzzer.join()
        corpus.write(options.target, (path.read_bytes() for path in Path(folder).iterdir()))
    return fuzzer.exitcode or 0


def fuzz(target: str, seconds: int, folder: str) -> None:
    """Fuzz until the time is up or something breaks, and end the process."""
    limits = [f"-max_total_time={seconds}", "-max_len=1024", "-timeout=20"]
    atheris.Setup([sys.argv[0], *limits, folder], TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
