"""A node's place on an engine: its container, with folders of this host in it and ports of this host before it."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import orjson

from orchestrator.runtimes import ordering
from orchestrator.runtimes.base import HttpRequest, JsonRpcRequest, NodeSpec
from orchestrator.runtimes.docker.engine import Engine
from orchestrator.runtimes.docker.gate import in_url
from orchestrator.runtimes.docker.life import ContainerLife
from orchestrator.runtimes.logfile import CappedLog
from orchestrator.runtimes.ports import LOOPBACK

DATA_FOLDER = "/rollnet/data"
"""``${data}`` inside a container."""
RUN_FOLDER = "/rollnet/run"
"""``${run}`` inside a container."""
PYTHON = "python3"
"""``${python}`` inside a container."""
HEALTH_PROGRAM = "/opt/rollnet/health.py"
_FIRST_PORT = 8545
"""Inside, a node's ports count from here in the order of its spec: each container has an address of its own."""
_EVERYWHERE = "0.0.0.0"

Planned = TypeVar("Planned")


class ContainerPlace:
    """Fulfils ``Place``.

    Args:
        engine: runs it.
        spec: the node.
        container: the id of its container.
        published: port by endpoint name.
        container_name: its name.
        host: under which this one reaches published ports.
    """

    def __init__(
        self,
        engine: Engine,
        spec: NodeSpec,
        container: str,
        published: Mapping[str, int],
        container_name: str,
        host: str = LOOPBACK,
    ) -> None:
        self._engine, self._spec = engine, spec
        self.container_name = container_name
        self.container = container
        self._published, self._host = dict(published), host
        self.life: ContainerLife | None = None
        """The last one."""
        self.on_return: Callable[[], None] = lambda: None
        """Called when somebody else has started the container."""
        self._found = False

    def address(self, port: str) -> str | None:
        """See ``Place``."""
        if port not in self._published:
            return None
        return f"{self._spec.ports[port]}://{in_url(self._host)}:{self._published[port]}"

    def begin(self, log: CappedLog, on_end: Callable[[], None]) -> ContainerLife:
        """Start the container, or take note that it runs; see ``Place``."""
        found, self._found = self._found, False
        self.life = ContainerLife(
            self._engine, self._spec.name, self.container, log, on_end, self._returned, found=found
        )
        return self.life

    def _returned(self) -> None:
        self._found = True
        self.on_return()


def inner_ports(spec: NodeSpec) -> dict[str, int]:
    """Port inside the container by endpoint name."""
    return {name: _FIRST_PORT + index for index, name in enumerate(spec.ports)}


def public_ports(spec: NodeSpec) -> list[str]:
    """Endpoints that this host reaches."""
    return [name for name in spec.ports if name not in spec.private_ports]


def filled(
    spec: NodeSpec,
    specs: Mapping[str, NodeSpec],
    plan: Callable[[list[str], dict[str, str]], Planned],
    host: Callable[[str], str] = str,
) -> Planned:
    """The container of a node, with the placeholders of its command and environment filled in.

    Args:
        spec: the node.
        specs: all nodes by name.
        plan: makes the plan from a command and an environment.
        host: what a node is called on the fabric, given its name.
    """

    def placeholder(words: tuple[str, ...]) -> str:
        match words:
            case ("host",):
                return _EVERYWHERE
            case ("data",):
                return DATA_FOLDER
            case ("run",):
                return RUN_FOLDER
            case ("python",):
                return PYTHON
            case ("port", port):
                return str(inner_ports(spec)[port])
            case _:
                other = specs[words[1]]
                return f"{other.ports[words[2]]}://{host(other.name)}:{inner_ports(other)[words[2]]}"

    command = [ordering.fill(word, placeholder) for word in spec.command]
    return plan(command, {key: ordering.fill(value, placeholder) for key, value in spec.env.items()})


def health_command(spec: NodeSpec) -> tuple[str, ...]:
    """What the engine runs now and then to see whether a node answers; empty if nothing is known to ask."""
    asked: tuple[str, ...]
    match spec.readiness:
        case JsonRpcRequest(endpoint=endpoint, method=method, params=params):
            call = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).decode()
            asked = ("/", call)
        case HttpRequest(endpoint=endpoint, path=path):
            asked = (path,)
        case None:
            return ()
    port = inner_ports(spec)[endpoint]
    return (PYTHON, "-I", "-S", HEALTH_PROGRAM, f"http://{LOOPBACK}:{port}", *asked)
