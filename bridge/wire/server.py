"""The HTTP side of every Python node: JSON-RPC listeners on loopback and a life that ends cleanly on SIGTERM."""

import asyncio
import contextlib
import hmac
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import MappingProxyType

from aiohttp import web

from bridge.wire.configuration import LISTEN_ADDRESS
from bridge.wire.jsonrpc import MAX_BODY_BYTES, Handler, answer

HOST = LISTEN_ADDRESS
"""Nodes listen on loopback and nowhere else unless their environment says so."""


@contextlib.asynccontextmanager
async def serve(
    handler: Handler,
    port: int,
    *,
    host: str = HOST,
    token: str | None = None,
    guests: Mapping[str, Handler] = MappingProxyType({}),
    websocket: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None,
) -> AsyncIterator[None]:
    """Serve JSON-RPC on ``POST /`` (and WebSocket on ``GET /`` if given) until the context ends.

    Args:
        handler: answers one call.
        port: TCP port; the socket is bound with SO_REUSEADDR so that a reserved port can be taken.
        host: address to bind.
        token: bearer token that callers must show, or None for a public listener.
        guests: who answers those that show another token, by that token: they may ask nothing else.
        websocket: handler of upgrade requests.

    Raises:
        OSError: the port is taken.
    """

    async def post(request: web.Request) -> web.StreamResponse:
        answerer = handler if token is None else _admitted(request, {token: handler, **guests})
        if answerer is None:
            return web.Response(status=401, text="bearer token missing or wrong")
        return web.Response(
            body=await answer(await request.read(), answerer), content_type="application/json"
        )

    async def get(request: web.Request) -> web.StreamResponse:
        if websocket is not None and request.headers.get("upgrade", "").lower() == "websocket":
            return await websocket(request)
        return web.Response(status=405, text="JSON-RPC: send POST")

    async def options(_: web.Request) -> web.StreamResponse:
        return web.Response(status=204)

    async def allow_browsers(_: web.Request, response: web.StreamResponse) -> None:
        response.headers["access-control-allow-origin"] = "*"
        response.headers["access-control-allow-headers"] = "content-type"

    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_post("/", post)
    app.router.add_get("/", get)
    app.router.add_options("/", options)
    if token is None:
        app.on_response_prepare.append(allow_browsers)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.setblocking(False)
        await web.SockSite(runner, listener, backlog=1024).start()
        yield
    finally:
        await runner.cleanup()
        listener.close()


def _admitted(request: web.Request, handlers: Mapping[str, Handler]) -> Handler | None:
    """Who answers the token that a request shows; every token is compared, in the same time."""
    shown = request.headers.get("authorization", "").encode(errors="surrogateescape")
    found = [
        handler
        for token, handler in handlers.items()
        if hmac.compare_digest(shown, f"Bearer {token}".encode())
    ]
    return found[0] if found else None


async def run_until_signalled() -> None:
    """Wait for SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
