"""Fuzz one target for a while, guided by coverage: `python -m tests.fuzz TARGET --seconds 600`.

Needs atheris (`pip install atheris`). What reaches new code is kept in the target's corpus, and an
input that breaks it is written to the current folder.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["emulation"]):
    from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args()
    corpus = CORPUS / options.target
    corpus.mkdir(parents=True, exist_ok=True)
    limits = [f"-max_total_time={options.seconds}", "-max_len=4096", "-timeout=20"]
    atheris.Setup([sys.argv[0], *limits, str(corpus)], TARGETS[options.target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
