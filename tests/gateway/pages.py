"""The pages that connect through a gateway on another port, and the results that they post.

Where the gateway is, and what stands behind it, is in a page's path: /127.0.0.1:8000/go/page.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route

HERE = Path(__file__).parent

results: dict[str, list[Any]] = {}


async def page(request: Request) -> HTMLResponse:
    # Whose origin it becomes is for those who open it to say.
    html = (HERE / "page.html").read_text()
    return HTMLResponse(html.replace("{pages}", str(request.base_url)))


async def scenario(request: Request) -> FileResponse:
    return FileResponse(HERE.parent / "engines" / "scenario.js", media_type="text/javascript")


async def protocols(request: Request) -> FileResponse:
    return FileResponse(HERE / "protocols.js", media_type="text/javascript")


async def take_result(request: Request) -> Response:
    results.setdefault(request.path_params["token"], []).append(json.loads(await request.body()))
    return Response(status_code=204)


async def tell_results(request: Request) -> JSONResponse:
    return JSONResponse(results.get(request.path_params["token"], []))


app = Starlette(
    routes=[
        Route("/scenario.js", scenario),
        Route("/protocols.js", protocols),
        Route("/{gateway}/{kind}/page", page),
        Route("/{gateway}/{kind}/results/{token}", take_result, methods=["POST"]),
        Route("/{gateway}/{kind}/results/{token}", tell_results),
    ],
)
