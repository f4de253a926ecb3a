"""The maker's own endpoint, on loopback: ``GET /status`` and ``POST /spot``."""

import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
from aiohttp import web

from bridge.wire.server import HOST
from orchestrator.market.errors import UnitError


@contextlib.asynccontextmanager
async def serve_status(
    status: Callable[[], dict[str, Any]], move_spot: Callable[[float], None], port: int
) -> AsyncIterator[int]:
    """Serve until the context ends; yields the port.

    ``GET /status`` answers 200 once every rollup is quoted and 503 before, with the same JSON; so readiness is the status
    code. ``POST /spot`` takes ``{"spot": USD}``.

    Args:
        status: the answer of ``/status``; its ``ready`` decides the code.
        move_spot: called by ``/spot``; raises ``UnitError`` for what is no price.
        port: to listen on; 0 lets the system choose.

    Raises:
        OSError: the port is taken.
    """

    async def get_status(_: web.Request) -> web.Response:
        answer = status()
        return _json(answer, 200 if answer["ready"] else 503)

    async def post_spot(request: web.Request) -> web.Response:
        try:
            spot = orjson.loads(await request.read())["spot"]
            if isinstance(spot, bool) or not isinstance(spot, int | float) or spot <= 0:
                raise UnitError(f"spot {spot!r} is no positive number", "send a price in USD")
            move_spot(float(spot))
        except (orjson.JSONDecodeError, TypeError, KeyError):
            return _json({"error": 'send {"spot": USD}'}, 400)
        except UnitError as exc:
            return _json({"error": str(exc)}, 400)
        return _json(status(), 200)

    app = web.Application()
    app.router.add_get("/status", get_status)
    app.router.add_post("/spot", post_spot)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the runtime keeps the port reserved
        listener.bind((HOST, port))
        listener.setblocking(False)
        await web.SockSite(runner, listener).start()
        yield int(listener.getsockname()[1])
    finally:
        await runner.cleanup()
        listener.close()


def _json(answer: dict[str, Any], status: int) -> web.Response:
    return web.Response(body=orjson.dumps(answer), status=status, content_type="application/json")
