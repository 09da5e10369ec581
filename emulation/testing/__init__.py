"""A client that speaks WebSocket over every transport, for the tests of an application.

It needs the extra: `pip install websocket-emulation[testing]`. See docs/testing.md.
"""

from __future__ import annotations

import ssl as tls
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from emulation.config import TRANSPORTS

try:
    from emulation.testing.exceptions import Closed, Refused
    from emulation.testing.http import Headers
    from emulation.testing.native import NATIVE, open_native
    from emulation.testing.serving import serve
    from emulation.testing.shared import Carrier
    from emulation.testing.socket import WebSocket
except ModuleNotFoundError as error:
    if (error.name or "").startswith("emulation"):
        raise
    raise ModuleNotFoundError(
        f"emulation.testing needs packages that are not installed ({error.name}). "
        "Install them:  pip install 'websocket-emulation[testing]'",
        name=error.name,
    ) from error

__all__ = [
    "NATIVE",
    "TRANSPORTS",
    "Carrier",
    "Closed",
    "Refused",
    "WebSocket",
    "carrier",
    "connect",
    "serve",
]


@asynccontextmanager
async def connect(
    url: str,
    *,
    transport: str,
    subprotocols: Sequence[str] = (),
    headers: Headers = (),
    origin: str | None = None,
    app: Any = None,
    ssl: tls.SSLContext | None = None,
    json: bool = False,
    resume: float | None = None,
) -> AsyncIterator[WebSocket]:
    """Open a WebSocket at `url` over one of TRANSPORTS, or over "native", a plain one.

    With `app`, an ASGI application, `url` is a path, and the application runs on a server of its
    own for the time of the block. `headers` go with every request. The origin is that of a page
    from `url`, unless it is given; "" sends none. `json` makes uploads and polls use the form that
    engines without bytes use. `resume` replaces the server's seconds for which a connection that
    was lost is tried again.

    The socket is closed at the end of the block; a block that raises leaves it as a page does that
    is navigated away. Raises Refused when the application refuses, Closed when the server cannot be
    reached.
    """
    async with AsyncExitStack() as stack:
        if app is not None:
            url = await stack.enter_async_context(serve(app)) + url
        if transport == NATIVE:
            socket = await open_native(
                url, subprotocols=subprotocols, headers=headers, origin=origin, ssl=ssl
            )
            stack.push_async_callback(socket.close)
            yield socket
            return
        opening = carrier(
            url,
            transport=transport,
            headers=headers,
            origin=origin,
            ssl=ssl,
            json=json,
            resume=resume,
        )
        page = await stack.enter_async_context(opening)
        yield await stack.enter_async_context(page.connect(subprotocols=subprotocols))


@asynccontextmanager
async def carrier(
    url: str,
    *,
    transport: str,
    headers: Headers = (),
    origin: str | None = None,
    app: Any = None,
    ssl: tls.SSLContext | None = None,
    json: bool = False,
    resume: float | None = None,
) -> AsyncIterator[Carrier]:
    """Begin a page whose sockets share one carrier; the arguments are those of `connect`.

    Nothing is sent before its first `connect`.
    """
    async with AsyncExitStack() as stack:
        if app is not None:
            url = await stack.enter_async_context(serve(app)) + url
        page = Carrier(
            url,
            transport=transport,
            headers=headers,
            origin=origin,
            ssl=ssl,
            json=json,
            resume=resume,
        )
        stack.push_async_callback(page.close)
        yield page
