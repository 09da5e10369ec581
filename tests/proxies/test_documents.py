"""docs/deploying.md shows the files that the other tests run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.servers import ROOT

DEPLOYED = ROOT / "deploy" / "proxies"
FILES = sorted(path for path in DEPLOYED.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_file_is_shown(path: Path) -> None:
    document = (ROOT / "docs" / "deploying.md").read_text()
    if path.stem.endswith("-tls"):
        # It differs in a few lines from the one without, which is shown.
        assert f"(../deploy/proxies/{path.name})" in document
    else:
        assert f"\n{path.read_text()}```" in document
