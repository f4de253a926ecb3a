"""The proxy's control endpoint: JSON-RPC with a bearer token, and a readiness page without.

=====================  =================================================================
``links_apply``        fault → names of its links
``links_heal``         name → how often it mattered
``links_healAll``      → the same by name
``links_touched``      name → how often it has mattered so far
``links_status``       → open connections by link, faults by name
=====================  =================================================================

Refusals carry the class of the error and what to do next, so that the client raises the same.
"""

import contextlib
import hmac
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
from aiohttp import web

from bridge.wire.configuration import LISTEN_ADDRESS
from bridge.wire.errors import INVALID_PARAMS, RpcError
from bridge.wire.jsonrpc import Handler, answer, dispatcher
from orchestrator.links.errors import LinkError
from orchestrator.links.faults import parse_fault
from orchestrator.links.proxy import Proxy

READY_PATH = "/status"


@contextlib.asynccontextmanager
async def serve_control(
    proxy: Proxy, port: int, token: str, host: str = LISTEN_ADDRESS
) -> AsyncIterator[None]:
    """Listen until the block is left.

    Args:
        proxy: what is controlled.
        port: TCP port.
        token: bearer token that callers must show.
        host: where to listen.

    Raises:
        OSError: the port is taken.
    """
    handler = _handler(proxy)
    expected = f"Bearer {token}".encode()

    async def post(request: web.Request) -> web.Response:
        shown = request.headers.get("authorization", "").encode(errors="surrogateescape")
        if not hmac.compare_digest(shown, expected):
            return web.Response(status=401, text="bearer token missing or wrong")
        return web.Response(body=await answer(await request.read(), handler), content_type="application/json")

    async def ready(_: web.Request) -> web.Response:
        body = orjson.dumps({"ready": True, "links": len(proxy.names)})
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_post("/", post)
    app.router.add_get(READY_PATH, ready)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, reuse_address=True).start()
        yield
    finally:
        await runner.cleanup()


def _handler(proxy: Proxy) -> Handler:
    methods: dict[str, Callable[..., Any]] = {
        "links_apply": lambda fault: proxy.apply(parse_fault(fault)),
        "links_heal": proxy.heal,
        "links_healAll": proxy.heal_all,
        "links_touched": proxy.touched,
        "links_status": proxy.status,
    }

    def answering(method: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*params: Any) -> Any:
            try:
                return method(*params)
            except LinkError as exc:
                kind = {"kind": type(exc).__name__, "hint": exc.hint}
                raise RpcError(INVALID_PARAMS, exc.message, kind) from exc
            except TypeError as exc:  # too many, or too few
                raise RpcError(INVALID_PARAMS, str(exc)) from exc

        return call

    return dispatcher({name: answering(method) for name, method in methods.items()})
