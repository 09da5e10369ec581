"""A GraphQL server with subscriptions, by Strawberry, and a page with the client of graphql-ws."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import strawberry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from strawberry.asgi import GraphQL

from tests.apps.recorder import Recorder

BROWSER = Path(__file__).parents[1] / "browser"


@strawberry.type
class Query:
    @strawberry.field
    def greeting(self) -> str:
        return "hello"


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self, target: int) -> AsyncGenerator[int, None]:
        for number in range(1, target + 1):
            yield number
            await asyncio.sleep(0)

    @strawberry.subscription
    async def forever(self) -> AsyncGenerator[str, None]:
        while True:
            yield "again 😀"
            await asyncio.sleep(0.01)


async def page(request: Request) -> HTMLResponse:
    return HTMLResponse((BROWSER / "graphql.html").read_text())


graphql = GraphQL[None, None](strawberry.Schema(Query, subscription=Subscription))

app = Starlette(
    routes=[
        Route("/", page),
        Route("/graphql", graphql),
        WebSocketRoute("/graphql", graphql),
        Mount("/graphql-ws", StaticFiles(directory=BROWSER / "node_modules/graphql-ws/dist")),
    ]
)
app.add_middleware(Recorder)
