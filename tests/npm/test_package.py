"""The package for npm: what is in it, and that Node and bundlers can use it."""

from __future__ import annotations

import json
import shutil
import tarfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anyio
import pytest
from playwright.async_api import Browser

from tests.support import package
from tests.support.browser import new_page
from tests.support.package import CLIENT, NAME, run
from tests.support.servers import ROOT, Servers

# One worker packs once.
pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("npm")]

HERE = Path(__file__).parent
EMULATED = "tests.apps.emulated.starlette_app:app"
TIMEOUT = 60
FILES = {
    "LICENSE",
    "README.md",
    "package.json",
    *(f"dist/{name}" for name in ("emulation.js", "emulation.js.map", "emulation.d.ts")),
    *(f"dist/{name}" for name in ("index.js", "index.js.map", "index.d.ts")),
    *(f"dist/{name}" for name in ("index.cjs", "index.cjs.map", "index.d.cts")),
}
ECHOED = {
    "events": ["hello 😀", [0, 127, 128, 255], [*b"blob"]],
    "close": {"code": 4000, "reason": "done", "wasClean": True},
    "protocol": "chat.v2",
}
COMPILER = {
    "strict": True,
    "noEmit": True,
    "target": "es2020",
    "skipDefaultLibCheck": True,
    "types": [],
}


def test_package_has_what_is_used_and_no_more(archive: Path) -> None:
    with tarfile.open(archive) as tar:
        assert {name.removeprefix("package/") for name in tar.getnames()} == FILES


def test_package_names_files_that_are_there(installed: Path) -> None:
    folder = installed / "node_modules" / NAME
    manifest = json.loads((folder / "package.json").read_text())
    assert not manifest.get("private")
    assert not manifest.get("dependencies")
    entries = [manifest[name] for name in ("main", "module", "types", "unpkg", "jsdelivr")]
    for target in (*entries, *paths(manifest["exports"]), *manifest["sideEffects"]):
        assert (folder / target).is_file(), target


def paths(exports: Any) -> list[str]:
    if isinstance(exports, str):
        return [exports]
    return [path for value in exports.values() for path in paths(value)]


def test_script_of_the_package_is_the_one_that_the_server_serves(installed: Path) -> None:
    script = installed / "node_modules" / NAME / "dist" / "emulation.js"
    assert script.read_bytes() == (ROOT / "emulation" / "static" / "emulation.js").read_bytes()


def test_source_maps_have_the_sources(installed: Path) -> None:
    for name in ("emulation.js", "index.js", "index.cjs"):
        file = installed / "node_modules" / NAME / "dist" / name
        assert file.read_text().endswith(f"//# sourceMappingURL={name}.map\n")
        source_map = json.loads(Path(f"{file}.map").read_text())
        assert "src/websocket.js" in source_map["sources"]
        assert all(source_map["sourcesContent"])


def test_licence_is_that_of_the_project() -> None:
    assert (CLIENT / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


@pytest.mark.parametrize("transport", ["stream", "poll"])
@pytest.mark.parametrize("kind", ["mjs", "cjs"])
def test_node_imports_and_requires_it(
    servers: Servers, installed: Path, kind: str, transport: str
) -> None:
    for name in ("echo.mjs", f"consumer.{kind}"):
        shutil.copy(HERE / name, installed)
    url = servers.get(EMULATED).url.replace("http", "ws") + "/echo"
    # It ends by itself: nothing of ours keeps Node from it.
    printed = json.loads(run(["node", f"consumer.{kind}", url, transport], installed, TIMEOUT))
    assert printed["version"] == version("websocket-emulation")
    assert printed["own"] == "/WebSocket"
    for result in printed["results"]:
        assert result == {**ECHOED, "transport": transport}


@pytest.mark.browser
@pytest.mark.parametrize("bundler", ["esbuild", "vite"])
async def test_bundlers_bundle_it(
    servers: Servers, browser: Browser, installed: Path, bundler: str
) -> None:
    for name in ("echo.mjs", "bundled.mjs"):
        shutil.copy(HERE / name, installed)
    output = installed / f"{bundler}.js"
    run(["node", HERE / "bundle.mjs", bundler, "bundled.mjs", output], installed)
    with anyio.fail_after(TIMEOUT):
        async with new_page(browser) as page:
            # The page has the class by its bundle alone.
            await page.route("**/emulation.js", lambda route: route.fulfill(body=""))
            await page.goto(servers.get(EMULATED).url)
            await page.add_script_tag(path=output, type="module")
            # The tag does not wait for a module that is written into it.
            await page.wait_for_function("self.result", timeout=TIMEOUT * 1000)
            result = await page.evaluate("self.result")
    assert result == {**ECHOED, "transport": "websocket", "isUntouched": True}


@pytest.mark.parametrize("bundler", ["esbuild", "vite"])
def test_bundlers_leave_out_what_is_not_used(installed: Path, bundler: str) -> None:
    sizes = {}
    for name, source in {
        "module": f"import {{ WebSocket }} from '{NAME}'; self.used = true;",
        "script": f"import '{NAME}/emulation.js'; self.used = true;",
    }.items():
        (installed / f"{name}.js").write_text(source)
        output = installed / f"{bundler}-{name}.js"
        run(["node", HERE / "bundle.mjs", bundler, f"{name}.js", output], installed)
        sizes[name] = output.stat().st_size
    assert sizes["module"] < 100 < 10_000 < sizes["script"]


@pytest.mark.parametrize(
    ("options", "files"),
    [
        ({"module": "node16"}, ["module.mts", "required.cts"]),
        pytest.param(
            {"module": "esnext", "moduleResolution": "bundler"},
            ["module.mts"],
            marks=pytest.mark.full,
        ),
        # What the libraries' own declarations need is not ours to answer for.
        ({"module": "node16", "skipLibCheck": True, "lib": ["esnext"]}, ["libraries.mts"]),
    ],
    ids=["node16", "bundler", "libraries"],
)
def test_types_are_those_of_the_platform(
    installed: Path, tmp_path: Path, options: dict[str, Any], files: list[str]
) -> None:
    for name in files:
        shutil.copy(HERE / "types" / name, tmp_path)
    (tmp_path / "node_modules").symlink_to(installed / "node_modules")
    configuration = {"compilerOptions": {**COMPILER, **options}, "files": files}
    (tmp_path / "tsconfig.json").write_text(json.dumps(configuration))
    run([package.CLIENT / "node_modules" / ".bin" / "tsc", "-p", tmp_path], tmp_path)
