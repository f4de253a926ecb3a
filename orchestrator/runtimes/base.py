"""The runtime seam: what every way of running nodes has in common.

A runtime is given all specs once (``prepare``), so that nodes may name one another in circles (the sequencer calls the
rollups, the rollups call the sequencer) before any of them runs. After that each node is started, ended, frozen and
brought back by name. Two views of an address are kept apart, because on Docker they differ: ``endpoint`` is the
address *from this host*, always asked and never kept by callers, since a runtime may hand out another one after a
lifecycle event; ``${url:node:port}`` in a command is the address *from another node*, which never changes.

Placeholders in commands and environments, filled in by the runtime:

=====================  ==================================================================
``${host}``            the address on which the node listens
``${port:NAME}``       the port on which the node listens for its endpoint NAME
``${url:NODE:NAME}``   the address of another node's endpoint, as this node reaches it
``${data}``            the node's own data directory, kept over restarts
``${run}``             the run directory; nodes write only to its journal folder
``${python}``          the interpreter that has our packages
=====================  ==================================================================
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Protocol

from orchestrator.runtimes.errors import UnsupportedError
from orchestrator.runtimes.faults import Bite, Fault, Healing


class Capability(StrEnum):
    """What a runtime can do; a fault that needs more is refused when it is loaded, not when it is due."""

    KILL = "kill"
    STOP = "stop"
    PAUSE = "pause"
    """Freeze a node and all its children, and thaw them."""
    RESTART = "restart"
    LOGS = "logs"
    STABLE_ENDPOINTS = "stable-endpoints"
    """``endpoint`` keeps its answer over restarts."""
    EXEC = "exec"
    LIMITS = "limits"
    """Holds each node to its limits of memory, processor time and processes."""
    UNPLUG = "unplug"  # this and those below are kinds of faults, see ``runtimes.faults``
    BLACKHOLE = "blackhole"
    RESET = "reset"
    THROTTLE = "throttle"
    PACKET_LOSS = "packet-loss"
    OUT_OF_MEMORY = "out-of-memory"
    DISK_FULL = "disk-full"


class NodeState(StrEnum):
    """Where a node is in its life."""

    PLANNED = "planned"
    """Never started."""
    STARTING = "starting"
    """Runs; has not answered its readiness request yet."""
    READY = "ready"
    """Runs, and has answered its readiness request since it was started."""
    RUNNING = "running"
    """Runs; has no readiness request, so nothing more is known."""
    PAUSED = "paused"
    STOPPED = "stopped"
    """Ended because it was asked to (politely, or by force once the grace was over)."""
    KILLED = "killed"
    """Ended by force because that was asked."""
    EXITED = "exited"
    """Ended although nobody asked."""


ALIVE = frozenset({NodeState.STARTING, NodeState.READY, NodeState.RUNNING, NodeState.PAUSED})
"""States of a node that exists in the system, frozen or not."""


def any_result(answer: Any) -> bool:
    """Accept every answer that is no error."""
    del answer
    return True


@dataclass(frozen=True, slots=True)
class JsonRpcRequest:
    """Ready means: a JSON-RPC call over HTTP returns a result that is accepted."""

    endpoint: str
    """Name of one of the node's ports."""
    method: str
    params: tuple[Any, ...] = ()
    accept: Callable[[Any], bool] = any_result
    """Judges the ``result``; a judge that raises has not accepted."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """Ready means: a GET is answered with a 2xx status and a body that is accepted."""

    endpoint: str
    """Name of one of the node's ports."""
    path: str = "/"
    accept: Callable[[bytes], bool] = any_result
    """Judges the body; a judge that raises has not accepted."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a node may use of its machine at most; ``None`` is no limit. Runtimes without :attr:`Capability.LIMITS` don't hold them."""

    memory_bytes: int | None = None
    """Without swap; beyond it the kernel kills the node."""
    cpus: float | None = None
    """Processor seconds per second."""
    pids: int | None = None
    """Processes and threads at once."""

    def __bool__(self) -> bool:
        return any(limit is not None for limit in (self.memory_bytes, self.cpus, self.pids))


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One node, as every runtime needs to know it."""

    name: str
    """Unique in its devnet; letters, digits, ``-`` and ``_``."""
    role: str
    """``l1``, ``sequencer``, ``rollup`` or ``maker``."""
    command: tuple[str, ...]
    """Program and arguments, with placeholders."""
    ports: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Endpoint name to URL scheme, such as ``{"http": "http"}``."""
    private_ports: frozenset[str] = frozenset()
    """Endpoints for the node itself, or for other nodes; a runtime need not let anybody outside of the devnet reach them."""
    env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Added to the environment, with placeholders."""
    depends_on: tuple[str, ...] = ()
    """Nodes that must be ready before this one is started."""
    readiness: JsonRpcRequest | HttpRequest | None = None
    """What the node must answer to be ready; without it a started node counts as running."""
    ready_timeout_s: float = 30.0
    """Longest time from start to ready, seconds."""
    stop_grace_s: float = 5.0
    """Time between a polite stop and a forced one, seconds."""
    log_cap_bytes: int = 16 * 1024 * 1024
    """Most bytes of log kept, the newest; at least 4096."""
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """What a runtime knows about one node; plain data, so that it travels as JSON."""

    name: str
    role: str
    state: NodeState
    boot: int
    """How often the node was started, from 1; 0 before the first start."""
    since: float
    """Unix time of the last change of state, seconds."""
    pid: int | None = None
    """Process id on this host, for debuggers; ``None`` when not running or when the runtime has none."""
    container: str | None = None
    """Name of its container, for ``docker`` commands; ``None`` where it is none."""
    exit_code: int | None = None
    """Of the last life, when it ended by itself."""
    signal: str | None = None
    """Name of the signal that ended the last life, such as ``SIGKILL``."""
    expected: bool = True
    """``False`` when the node ended although nobody asked for it."""
    endpoints: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Endpoint name to address from this host, as of now."""
    last_lines: tuple[str, ...] = ()
    """The end of the log, for a node that ended unexpectedly."""
    confirmed: str | None = None
    """Who else has seen what was last done to it: the kernel's word, or the engine's events. ``None``: nobody, so it did not bite."""


ExitListener = Callable[[NodeStatus], None]
"""Told once for each end of a node, asked for or not; must not block. Every runtime takes one when it is made."""


class Runtime(Protocol):
    """Runs nodes. All methods raise :class:`UnknownNodeError` for a name that was not prepared.

    Calls on different nodes run side by side. Calls on one node take effect one after the other, and a ``kill`` hurries
    whatever is under way on its node instead of waiting for it.
    """

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What this runtime can do."""
        ...

    async def prepare(self, specs: Sequence[NodeSpec]) -> None:
        """Learn all nodes, give them addresses, start nothing. Called once.

        Raises:
            PlanError: the specs contradict themselves.
        """
        ...

    async def start(self, name: str) -> None:
        """Start a node that does not run, and wait until it is ready.

        Raises:
            NodeStateError: it runs already.
            NodeExitedError: it ended before it was ready; reported at once.
            NodeNotReadyError: it has not answered in time; it is left running, to be looked at.
        """
        ...

    async def stop(self, name: str) -> None:
        """End a node politely, by force after its grace; a paused node is thawed to hear it. No-op when it is down."""
        ...

    async def kill(self, name: str) -> None:
        """End a node and all its children at once, and wait until they are gone. No-op when it is down."""
        ...

    async def pause(self, name: str) -> None:
        """Freeze a node and all its children; on return none of them runs. No-op when it is paused.

        Raises:
            NodeStateError: it does not run.
        """
        ...

    async def resume(self, name: str) -> None:
        """Thaw a node. No-op when it is not paused.

        Raises:
            NodeStateError: it does not run.
        """
        ...

    async def restart(self, name: str) -> None:
        """Stop a node if it runs, start it, and wait until it is ready; errors as :meth:`start`."""
        ...

    def endpoint(self, name: str, port: str) -> str:
        """Address of an endpoint from this host. Ask again after every lifecycle event.

        Raises:
            PlanError: the node has no such endpoint.
        """
        ...

    def logs(self, name: str, lines: int = 50) -> tuple[str, ...]:
        """The last lines of a node's output over all its lives, oldest first."""
        ...

    def status(self) -> tuple[NodeStatus, ...]:
        """All nodes, in the order in which they were prepared."""
        ...

    async def inject(self, fault: Fault, for_s: float | None = None) -> Bite:
        """Do something to a node on purpose, and see whether it took effect; finishes also while being cancelled.

        It is in force from now on, whether it bit or not: applied again whenever the node or its peer comes back, before that is told
        ready. Injecting what is in force looks at it once more. ``OutOfMemory`` alone is over when it has struck.

        Args:
            fault: what.
            for_s: heal it after so many seconds, counted from the answer, though nobody asks any more; by default it stays.

        Raises:
            BadFaultError: that is no time.
            UnsupportedError: the runtime has no such capability.
            FaultInForceError: another one is in force in the same place, such as another rate.
            NodeStateError: the node can't be got at, because it is frozen or, for ``OutOfMemory``, down.
            FaultFailedError: it could not be applied, and is not in force.
        """
        ...

    async def heal(self, fault: Fault) -> Healing:
        """Undo a fault, and see whether it is gone; finishes also while being cancelled. Fine twice, and on a node that is down.

        Raises:
            DevnetError: as :meth:`inject`; what was in force still is.
        """
        ...

    def faults(self) -> tuple[Fault, ...]:
        """Those in force, the oldest first. Closing needs no healing."""
        ...

    async def close(self) -> None:
        """End everything and give everything back. Safe to call twice, at once, and while being cancelled."""
        ...


def require(runtime: Runtime, *needed: Capability) -> None:
    """Refuse early what a runtime can't do.

    Raises:
        UnsupportedError: naming all that is missing.
    """
    missing = sorted(set(needed) - runtime.capabilities)
    if missing:
        raise UnsupportedError(
            f"{type(runtime).__name__} can't do: {', '.join(missing)}",
            f"it can do: {', '.join(sorted(runtime.capabilities))}",
        )
