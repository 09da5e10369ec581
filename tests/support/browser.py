"""Headless Chromium, and pages from which parts of the platform were taken away."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from playwright.async_api import Browser, Page, async_playwright

EXECUTABLES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
CLOSING = 20
"""Seconds that Chromium may take to close a page."""
IS_NATIVE = "!(self.WebSocketEmulation || {}).install"
"""Whether a page has the engine's own class; settings may be there without the script."""


@asynccontextmanager
async def chromium(*arguments: str, without: Sequence[str] = ()) -> AsyncIterator[Browser]:
    """Run the machine's own Chromium, headless, with more command-line arguments.

    `without` names those that Playwright would give it.
    """
    executable = next(filter(None, map(shutil.which, EXECUTABLES)), None)
    assert executable, f"None of {', '.join(EXECUTABLES)} is installed."
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=executable,
            args=[*ARGUMENTS, *arguments],
            ignore_default_args=list(without),
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def new_page(
    browser: Browser,
    *,
    missing: Sequence[str] = (),
    transports: Sequence[str] | None = None,
    script: Path | None = None,
    **options: Any,
) -> AsyncIterator[Page]:
    """Yield a page in a profile of its own, where all documents lack the globals in `missing`.

    `transports` are those that the shim may use, None for its own choice; `script` runs before the
    document's own scripts; `options` are those of the profile. What the page complains of is
    printed.
    """
    context = await browser.new_context(**options)
    try:
        page = await context.new_page()
        page.on("console", lambda message: print(f"console.{message.type}: {message.text}"))
        page.on("pageerror", lambda error: print(f"uncaught in page: {error}"))
        page.on("requestfailed", lambda request: print(f"{request.failure}: {request.url}"))
        await context.add_init_script("".join(f"delete self.{name};" for name in missing))
        if transports is not None:
            settings = json.dumps({"transports": list(transports)})
            await context.add_init_script(f"self.WebSocketEmulation = {settings};")
        if script is not None:
            await context.add_init_script(path=script)
        yield page
    finally:
        # Now and then Chromium does not answer for a page that has just navigated, and Playwright
        # waits for ever. Such a page ends with its browser.
        with anyio.move_on_after(CLOSING, shield=True) as closing:
            await context.close()
        if closing.cancelled_caught:
            print(f"Chromium did not close its page within {CLOSING} s.")
