"""Each example starts with its one command and answers where WebSockets do not work."""

from __future__ import annotations

import json
import socket

import httpx
import pytest
from playwright.async_api import Browser, Page, expect

from emulation.testing import connect
from tests.examples.commands import running
from tests.support.browser import new_page

# Where the endpoint is, what is said there and what comes back.
EXAMPLES = {
    "starlette_echo": ("/echo", "Hello", "Hello"),
    "fastapi_chat": ("/chat/Ada", "Hello", "Ada: Hello"),
    "django_channels": ("/count", "one", "1"),
}
# The verb by which the server knows the downstream of each transport.
VERBS = {
    "websocket": "ws",
    "stream": "stream",
    "sse": "sse",
    "xhr-stream": "stream",
    "poll": "poll",
}
PANELS = [*VERBS, "automatic"]

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("name", EXAMPLES)
async def test_example_answers_over_poll(name: str) -> None:
    path, said, answer = EXAMPLES[name]
    with running([f"examples.{name}", "--port", "0"]) as example:
        async with httpx.AsyncClient(base_url=example.url, trust_env=False) as client:
            page = await client.get("/")
            script = await client.get("/emulation.js")
        assert '<script src="/emulation.js">' in page.text
        assert script.headers["Content-Type"].startswith("text/javascript")
        async with connect(f"{example.url}{path}", transport="poll") as websocket:
            await websocket.send(said)
            assert await websocket.receive(timeout=10) == answer
        assert example.interrupt() == 0, example.log()
        assert "Traceback" not in example.log()


def test_example_takes_the_next_port_and_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        taken = holder.getsockname()[1]
        with running(["examples.starlette_echo", "--port", str(taken)]) as example:
            assert f"Port {taken} is taken" in example.log()
            assert example.url != f"http://127.0.0.1:{taken}"


@pytest.mark.parametrize("transport", VERBS)
async def test_demo_cuts_connections_and_no_message_is_lost(transport: str) -> None:
    with running(["examples.demo", "--port", "0"]) as demo:
        async with (
            httpx.AsyncClient(base_url=demo.url, trust_env=False) as client,
            connect(f"{demo.url}/live/Ada", transport=transport) as websocket,
        ):
            cut = 0
            for number in range(1, 101):
                await websocket.send(json.dumps({"type": "order", "number": number}))
                message = json.loads(await websocket.receive(timeout=10))
                assert message["number"] == number
                if number % 25 == 0:
                    cut += (await client.post("/network/Ada/cut")).json()["cut"]
            assert cut >= 3
            while message.get("order") != 100:
                message = json.loads(await websocket.receive(timeout=10))
            assert [message[what] for what in ("received", "lost", "duplicated")] == [100, 0, 0]
        assert demo.interrupt() == 0
        assert "Traceback" not in demo.log()


@pytest.mark.browser
async def test_demo_loses_nothing_when_every_transport_is_cut(browser: Browser) -> None:
    with running(["examples.demo", "--port", "0"]) as demo:
        async with new_page(browser) as page:
            await page.goto(demo.url)
            for transport in PANELS:
                await expect_messages(page, transport, more_than=20)
            await page.get_by_role("button", name="Cut all").click()
            for transport in PANELS:
                panel = page.locator(f"#panel-{transport}")
                await expect(panel.locator(".events")).to_contain_text("connection", timeout=10_000)
                received = int(await panel.locator(".down .received").inner_text())
                await expect_messages(page, transport, more_than=received + 40)
                await expect(panel).to_have_attribute("data-state", "open")
            for counter in ("lost", "duplicated", "reordered"):
                await expect(page.locator(f"#{counter}")).to_have_text("0")
            await page.locator("#words").fill("Hello")
            await page.get_by_role("button", name="Send").click()
            await expect(page.locator(".heard .has-arrived")).to_have_count(6, timeout=10_000)
            requests = await seen_by_the_server(page)
            for transport, verb in VERBS.items():
                assert requests[transport].keys() & {"native", *VERBS.values()} == {verb}, requests
            automatic = page.locator("#panel-automatic")
            await automatic.locator("select").first.select_option("refuse")
            await expect(automatic.locator(".state")).to_have_text("over stream", timeout=10_000)
            assert demo.interrupt() == 0
            for transport in PANELS:
                panel = page.locator(f"#panel-{transport}")
                await expect(panel.locator(".state")).to_have_text("closed, 1012", timeout=10_000)
                await expect(panel.locator(".up .lost")).to_have_text("0")
        assert "Traceback" not in demo.log()


async def expect_messages(page: Page, transport: str, *, more_than: int) -> None:
    """Wait until the panel of a transport has received more than so many messages."""
    await page.wait_for_function(
        """([selector, count]) =>
            Number(document.querySelector(selector).textContent.replaceAll(",", "")) > count""",
        arg=[f"#panel-{transport} .down .received", more_than],
        timeout=20_000,
    )


async def seen_by_the_server(page: Page) -> dict[str, dict[str, int]]:
    """Return by transport how often the server has seen each verb."""
    members = await page.evaluate(
        "Array.from(document.querySelectorAll('iframe'),"
        " (frame) => new URL(frame.src).searchParams.get('member'))"
    )
    query = "&".join(f"member={member}" for member in members)
    links = json.loads(await page.evaluate(f"fetch('/network/?{query}').then((r) => r.text())"))
    return {member.split(".")[0]: link["requests"] for member, link in links.items()}
