"""An application with the doctor, and a page that watches the doctor's in a frame.

Old engines cannot be asked what they show: the page that they open reports it.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute

from emulation import WebSocketEmulation
from emulation_server.doctor import Doctor
from tests.apps.starlette_app import echo

__all__ = ["app", "bare"]

WATCH = """<!doctype html>
<html><head><link rel="icon" href="data:,"></head><body>
<iframe id="frame" width="800" height="600" src="/.websocket-emulation/doctor/?silence=4"></iframe>
<script>
var waiting = setInterval(function () {
  var page = document.getElementById('frame').contentWindow;
  var state = page.document.documentElement && page.document.documentElement.getAttribute('data-state');
  if (!state || state === 'running') return;
  clearInterval(waiting);
  var link = page.document.getElementById('link').value;
  var result = page.doctor.unpack(link.replace(/.*#/, ''));
  page.document.getElementById('save-text').onclick();
  var xhr = new XMLHttpRequest();
  xhr.open('POST', '/results/' + location.search.slice(1), true);
  xhr.setRequestHeader('Content-Type', 'application/json');
  xhr.send(JSON.stringify({
    state: state,
    verdict: page.doctor.verdict(result),
    report: page.doctor.report(result),
    steps: page.document.getElementById('steps').children.length,
    charts: page.document.querySelectorAll('svg').length,
    saved: page.document.getElementById('report').value
  }));
}, 200);
</script></body></html>
"""  # noqa: E501 (a line of the page's)

results: dict[str, Any] = {}


async def watch(request: Request) -> Response:
    return HTMLResponse(WATCH)


async def result(request: Request) -> Response:
    name = request.path_params["name"]
    if request.method == "POST":
        results[name] = json.loads(await request.body())
    return JSONResponse(results.get(name))


async def index(request: Request) -> Response:
    return PlainTextResponse("the application's own\n")


bare = Starlette(
    routes=[
        Route("/", index),
        Route("/watch", watch),
        Route("/results/{name}", result, methods=["GET", "POST"]),
        WebSocketRoute("/echo", echo),
    ]
)
app = Doctor(WebSocketEmulation(bare))
