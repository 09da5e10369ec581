"""Every snippet of the README does what it says, and every link leads somewhere."""

from __future__ import annotations

import importlib.metadata
import re
import shlex
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, expect

from tests.examples.commands import running
from tests.support.browser import new_page
from tests.support.servers import ROOT

README = ROOT / "README.md"
DOCUMENTS = [README, *sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("examples/*/*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
DRAWINGS = {"mermaid"}


def snippets(language: str) -> list[str]:
    return [text for found, text in FENCE.findall(README.read_text()) if found == language]


def commands() -> list[list[str]]:
    return [shlex.split(line) for text in snippets("sh") for line in text.splitlines()]


def test_no_snippet_is_left_out() -> None:
    languages = {language for language, _ in FENCE.findall(README.read_text())}
    assert languages == {"python", "html", "sh"} | DRAWINGS
    assert {program for program, *_ in commands()} == {"pip", "uvicorn", "make"}


@pytest.mark.integration
@pytest.mark.browser
@pytest.mark.parametrize("missing", [[], ["WebSocket"], ["WebSocket", "fetch", "EventSource"]])
async def test_quick_start(browser: Browser, tmp_path: Path, missing: list[str]) -> None:
    (tmp_path / "main.py").write_text(snippets("python")[0])
    (tmp_path / "page.html").write_text(snippets("html")[0])
    (serve,) = [command for command in commands() if command[0] == "uvicorn"]
    with running([*serve, "--port", "0"], directory=tmp_path) as server:
        async with new_page(browser, missing=missing) as page:
            await page.goto(server.url)
            await expect(page.locator("p")).to_have_text("Hello", timeout=20_000)
        await module("client", snippets("python")[-1]).check(server.url)


@pytest.mark.parametrize("source", snippets("python"))
def test_python_runs(source: str) -> None:
    assert vars(module("snippet", source)).keys() & {"app", "check"}


async def test_foreign_page_is_allowed_as_the_snippet_says() -> None:
    (source,) = [text for text in snippets("python") if "origins=" in text]
    app = module("main", source).app
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        url = "/chat?emulation=send.AAAAAAAAAAAAAAAAAAAAAA"
        for origin, status in [("https://www.example.com", 204), ("https://example.org", 403)]:
            answer = await client.options(url, headers={"Origin": origin})
            assert answer.status_code == status, answer.text


def test_what_is_installed_exists() -> None:
    (install,) = [command for command in commands() if command[0] == "pip"]
    assert install[1:3] == ["install", "websocket-emulation"]
    for requirement in install[2:]:
        assert importlib.metadata.version(requirement.split("[")[0])


@pytest.mark.parametrize("command", [command for command in commands() if command[0] == "make"])
def test_make_has_the_target(command: list[str]) -> None:
    subprocess.run([*command, "--dry-run"], cwd=ROOT, check=True, capture_output=True, timeout=30)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    lost = []
    for path, anchor in LINK.findall(FENCE.sub("", document.read_text())):
        target = document.parent / path if path else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(f"{path}#{anchor}")
    assert not lost


def anchors(document: Path) -> set[str]:
    """Return what GitHub calls the headings of a document."""
    headings = HEADING.findall(FENCE.sub("", document.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def module(name: str, source: str) -> Any:
    """Run a snippet as a module."""
    made = ModuleType(name)
    exec(compile(source, str(README), "exec"), vars(made))
    return made
