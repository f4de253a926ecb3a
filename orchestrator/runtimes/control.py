"""The control server of a running devnet, and the client for it.

::

    GET  /status                 {"devnet": …, "nodes": [NodeStatus, …]}
    GET  /nodes/NAME/logs?lines=N
    POST /nodes/NAME/OPERATION   start | stop | kill | pause | resume | restart; answered when it is done
    GET  /faults                 {"possible": [kind, …], "in_force": [fault, …]}
    POST /faults                 a fault, {"kind": …, "node": …, …}, and "for_s" if it is to end by itself; answered with its Bite
    POST /faults/heal            the same; answered with its Healing
    POST /down                   answered when everything is gone

HTTP on 127.0.0.1 only, with a bearer token that stands in the registry entry, which only its owner can read. The token also
keeps web pages out, whose scripts may reach loopback but can't know it. Operations go straight to the runtime, which orders
those on one node; a client that hangs up does not interrupt its operation.
"""

import asyncio
import contextlib
import hmac
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp
import orjson
from aiohttp import web

from orchestrator.runtimes.base import Capability, NodeState, NodeStatus, Runtime, require
from orchestrator.runtimes.errors import (
    BadFaultError,
    DevnetError,
    DevnetGoneError,
    RefusedError,
    UnknownNodeError,
)
from orchestrator.runtimes.faults import (
    KINDS,
    Bite,
    DevnetFaults,
    Fault,
    Healing,
    fault_from_dict,
    fault_to_dict,
)
from orchestrator.runtimes.ports import LOOPBACK

_NEEDS: dict[str, tuple[Capability, ...]] = {
    "start": (),
    "stop": (Capability.STOP,),
    "kill": (Capability.KILL,),
    "pause": (Capability.PAUSE,),
    "resume": (Capability.PAUSE,),
    "restart": (Capability.RESTART,),
}
FOR_S = "for_s"
"""Field of a fault's document: after how many seconds it is to end."""
OPERATIONS = tuple(_NEEDS)
"""What can be done to a node."""

_CONNECT_S = 2.0
_LAST_ANSWERS_S = 5.0
_INTERNAL = "InternalError"


class ControlServer:
    """Serves one devnet while its block runs.

    Leaving the block answers those who wait for ``/down``, so leave it last: after the runtime was closed and the name
    released. ::

        async with ControlServer(runtime, describe) as control:
            ...                                  # claim the name with control.port and control.token, bring up
            await control.down_requested.wait()
            ...                                  # close the runtime, release the name

    Args:
        runtime: what to operate.
        describe: anything JSON that ``/status`` shall say about the devnet, such as its name and run directory.
    """

    def __init__(self, runtime: Runtime, describe: Callable[[], Any] = dict) -> None:
        self._runtime, self._describe = runtime, describe
        self.token = secrets.token_urlsafe(32)
        """Bearer token."""
        self.port = 0
        """On 127.0.0.1; known once the block is entered."""
        self.down_requested = asyncio.Event()
        """Set by the first ``/down``."""
        self._gone = asyncio.Event()
        app = web.Application(middlewares=[self._guarded])
        app.router.add_get("/status", self._status)
        app.router.add_get("/nodes/{name}/logs", self._logs)
        app.router.add_post("/nodes/{name}/{operation}", self._operate)
        app.router.add_get("/faults", self._faults)
        app.router.add_post("/faults", self._inject)
        app.router.add_post("/faults/heal", self._heal)
        app.router.add_post("/down", self._down)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_LAST_ANSWERS_S)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, LOOPBACK, 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._gone.set()
        await self._runner.cleanup()

    @web.middleware
    async def _guarded(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        expected = f"Bearer {self.token}".encode()
        if not hmac.compare_digest(request.headers.get("authorization", "").encode(), expected):
            return _failure(
                401, "Unauthorized", "the token is missing or wrong", "read it from the registry entry"
            )
        try:
            return await handler(request)
        except UnknownNodeError as exc:
            return _failure(404, type(exc).__name__, exc.message, exc.hint)
        except BadFaultError as exc:
            return _failure(400, type(exc).__name__, exc.message, exc.hint)
        except DevnetError as exc:
            return _failure(409, type(exc).__name__, exc.message, exc.hint)

    async def _status(self, request: web.Request) -> web.Response:
        del request
        return _success({"devnet": self._describe(), "nodes": self._runtime.status()})

    async def _logs(self, request: web.Request) -> web.Response:
        require(self._runtime, Capability.LOGS)
        lines = request.query.get("lines", "50")
        if not lines.isdecimal():
            return _failure(400, "BadRequest", f"lines is {lines!r}", "give a whole number")
        return _success(self._runtime.logs(request.match_info["name"], int(lines)))

    async def _operate(self, request: web.Request) -> web.Response:
        operation = request.match_info["operation"]
        if operation not in _NEEDS:
            return _failure(
                404, "BadRequest", f"can't {operation!r} a node", f"one of: {', '.join(OPERATIONS)}"
            )
        require(self._runtime, *_NEEDS[operation])
        name = request.match_info["name"]
        await getattr(self._runtime, operation)(name)
        return _success(next(status for status in self._runtime.status() if status.name == name))

    async def _faults(self, request: web.Request) -> web.Response:
        del request
        found = faults_of(self._runtime)
        return _success(
            {"possible": found.possible, "in_force": [fault_to_dict(fault) for fault in found.in_force]}
        )

    async def _inject(self, request: web.Request) -> web.Response:
        fault, for_s = await _fault_in(request)
        return _success(await self._runtime.inject(fault, for_s))

    async def _heal(self, request: web.Request) -> web.Response:
        fault, _ = await _fault_in(request)
        return _success(await self._runtime.heal(fault))

    async def _down(self, request: web.Request) -> web.Response:
        del request
        self.down_requested.set()
        await self._gone.wait()
        return _success(None)


def faults_of(runtime: Runtime) -> DevnetFaults:
    """What a runtime can do to its nodes, and what it is doing."""
    return DevnetFaults(tuple(kind for kind in KINDS if kind in runtime.capabilities), runtime.faults())


@dataclass(frozen=True, slots=True)
class DevnetStatus:
    """What a devnet says about itself."""

    devnet: Any
    """Whatever its supervisor describes."""
    nodes: tuple[NodeStatus, ...]


class ControlClient:
    """Talks to the control server of one devnet.

    Every method raises :class:`DevnetGoneError` when nothing answers, or the answer breaks off, and
    :class:`RefusedError` with the server's own words when it says no.

    Args:
        name: the devnet's, for error messages.
        port: of the control server.
        token: from the registry entry.
        timeout_s: longest time for one operation, seconds; restarts and ``down`` take a while.
    """

    def __init__(self, name: str, port: int, token: str, timeout_s: float = 120.0) -> None:
        self._name, self._root = name, f"http://{LOOPBACK}:{port}"
        self._headers = {"authorization": f"Bearer {token}"}
        self._timeout_s = timeout_s

    async def status(self) -> DevnetStatus:
        """The devnet and all its nodes."""
        answer = await self._call("GET", "/status")
        return DevnetStatus(answer["devnet"], tuple(_node_status(node) for node in answer["nodes"]))

    async def operate(self, operation: str, node: str) -> NodeStatus:
        """Do one of :data:`OPERATIONS` to a node and return what it is then."""
        return _node_status(
            await self._call("POST", f"/nodes/{quote(node, safe='')}/{quote(operation, safe='')}")
        )

    async def logs(self, node: str, lines: int = 50) -> tuple[str, ...]:
        """The last lines of a node's log, oldest first."""
        return tuple(await self._call("GET", f"/nodes/{quote(node, safe='')}/logs?lines={lines}"))

    async def faults(self) -> DevnetFaults:
        """What can be done to its nodes, and what is being done."""
        answer = await self._call("GET", "/faults")
        return DevnetFaults(
            tuple(answer["possible"]), tuple(fault_from_dict(fault) for fault in answer["in_force"])
        )

    async def inject(self, fault: Fault, for_s: float | None = None) -> Bite:
        """Apply a fault; see ``Runtime.inject``."""
        timed = {} if for_s is None else {FOR_S: for_s}
        return Bite(**await self._call("POST", "/faults", fault_to_dict(fault) | timed))

    async def heal(self, fault: Fault) -> Healing:
        """Undo a fault; see ``Runtime.heal``."""
        return Healing(**await self._call("POST", "/faults/heal", fault_to_dict(fault)))

    async def down(self) -> None:
        """Take the devnet down and return when it is gone; asking several times at once is fine."""
        await self._call("POST", "/down")

    async def _call(self, method: str, path: str, document: Any = None) -> Any:
        timeout = aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=_CONNECT_S)
        try:
            async with (
                aiohttp.ClientSession(headers=self._headers, timeout=timeout) as session,
                session.request(method, self._root + path, json=document) as response,
            ):
                body = await response.read()
        except TimeoutError as exc:
            raise DevnetGoneError(
                f"devnet {self._name!r} has not answered {method} {path} within {self._timeout_s:g} s",
                "its supervisor may be frozen; see its log, or end it",
            ) from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise DevnetGoneError(
                f"devnet {self._name!r} does not answer at {self._root} ({type(exc).__name__})",
                "if it has crashed, `rollnet gc` sweeps what it left",
            ) from exc
        answer: Any = {}
        with contextlib.suppress(orjson.JSONDecodeError):
            answer = orjson.loads(body)
        if "result" in answer:
            return answer["result"]
        failure = answer.get("error", {"kind": _INTERNAL, "message": f"status {response.status}", "hint": ""})
        raise RefusedError(failure["kind"], f"devnet {self._name!r}: {failure['message']}", failure["hint"])


async def _fault_in(request: web.Request) -> tuple[Fault, float | None]:
    """A fault, and after how many seconds it is to end."""
    try:
        document = orjson.loads(await request.read())
    except orjson.JSONDecodeError as exc:
        raise BadFaultError(
            "the body is no JSON", 'give a fault, such as {"kind": "unplug", "node": "alpha"}'
        ) from exc
    for_s = document.pop(FOR_S, None) if isinstance(document, dict) else None
    if for_s is not None and not isinstance(for_s, int | float):
        raise BadFaultError(f"{FOR_S} is {for_s!r}", "give seconds")
    return fault_from_dict(document), for_s


def _success(result: Any) -> web.Response:
    return web.Response(body=orjson.dumps({"result": result}), content_type="application/json")


def _failure(status: int, kind: str, message: str, hint: str) -> web.Response:
    body = orjson.dumps({"error": {"kind": kind, "message": message, "hint": hint}})
    return web.Response(status=status, body=body, content_type="application/json")


def _node_status(fields: dict[str, Any]) -> NodeStatus:
    known = {**fields, "state": NodeState(fields["state"]), "last_lines": tuple(fields["last_lines"])}
    return NodeStatus(**known)
