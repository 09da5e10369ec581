"""What is installed: the wheel is built from the source distribution, as an index would have it."""

import json
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parent.parent

# One worker builds once.
pytestmark = pytest.mark.xdist_group("wheel")


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dist")
    result = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", directory, ROOT],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=110,
    )
    assert result.returncode == 0, result.stdout
    return directory


@pytest.fixture(scope="module")
def wheel_names(distributions: Path) -> set[str]:
    [wheel] = distributions.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def sdist_names(distributions: Path) -> set[str]:
    [sdist] = distributions.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        paths = (PurePosixPath(name) for name in archive.getnames())
        return {str(PurePosixPath(*path.parts[1:])) for path in paths}


def test_wheel_has_two_import_packages(wheel_names: set[str]) -> None:
    assert {PurePosixPath(name).parts[0] for name in wheel_names} == {
        "emulation",
        "emulation_server",
        f"websocket_emulation-{version('websocket-emulation')}.dist-info",
    }


def test_wheel_has_the_shim_and_the_types(wheel_names: set[str]) -> None:
    assert {
        "emulation/static/emulation.js",
        "emulation/static/emulation.js.map",
        "emulation/py.typed",
        "emulation_server/py.typed",
    } <= wheel_names


def test_wheel_has_every_module(wheel_names: set[str]) -> None:
    packages = [(ROOT, ROOT / "emulation"), (ROOT / "server", ROOT / "server/emulation_server")]
    modules = {
        path.relative_to(root).as_posix() for root, top in packages for path in top.rglob("*.py")
    }
    assert modules == {name for name in wheel_names if name.endswith(".py")}


def test_wheel_has_the_doctors_page(wheel_names: set[str]) -> None:
    static = ROOT / "server/emulation_server/doctor/static"
    files = {path.relative_to(ROOT / "server").as_posix() for path in static.iterdir()}
    assert "emulation_server/doctor/static/index.html" in files
    assert files <= wheel_names


def test_sdist_can_build_the_shim_and_run_the_tests(sdist_names: set[str]) -> None:
    assert {
        "LICENSE",
        "Makefile",
        "client_js/package-lock.json",
        "client_js/src/index.js",
        "tests/conftest.py",
    } <= sdist_names
    assert not [name for name in sdist_names if "node_modules" in name]


def test_wheel_and_shim_have_one_version() -> None:
    package = json.loads((ROOT / "client_js/package.json").read_text())
    lock = json.loads((ROOT / "client_js/package-lock.json").read_text())
    assert package["version"] == lock["version"] == version("websocket-emulation")
