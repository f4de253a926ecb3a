"""The life of a devnet's nodes as its users hold it: kill, pause and bring back one node, whoever runs it."""

from dataclasses import dataclass
from typing import Any, Protocol

from bridge.wire.journal import Journal
from orchestrator.crash_orders import crash_bite, order_crash
from orchestrator.runtimes.base import NodeStatus, Runtime
from orchestrator.runtimes.control import DevnetStatus, faults_of
from orchestrator.runtimes.errors import BadFaultError, UnknownNodeError
from orchestrator.runtimes.faults import Bite, DevnetFaults, Fault, Healing, described, fault_to_dict
from orchestrator.topology.plan import Plan


class Nodes(Protocol):
    """The lifecycle of a devnet's nodes, wherever they run."""

    async def operate(self, operation: str, node: str) -> NodeStatus:
        """Do one of ``start stop kill pause resume restart``."""

    async def logs(self, node: str, lines: int = 50) -> tuple[str, ...]:
        """The last lines of a node's log."""

    async def status(self) -> DevnetStatus:
        """All nodes, as of now."""

    async def inject(self, fault: Fault, for_s: float | None = None) -> Bite:
        """Apply a fault; see ``Runtime.inject``."""

    async def heal(self, fault: Fault) -> Healing:
        """Undo a fault; see ``Runtime.heal``."""

    async def faults(self) -> DevnetFaults:
        """What can be done to nodes, and what is being done."""


@dataclass(frozen=True)
class LocalNodes:
    """Nodes that this process runs."""

    runtime: Runtime

    async def operate(self, operation: str, node: str) -> NodeStatus:
        """Straight to the runtime."""
        await getattr(self.runtime, operation)(node)
        return next(status for status in self.runtime.status() if status.name == node)

    async def logs(self, node: str, lines: int = 50) -> tuple[str, ...]:
        """The last lines of a node's log."""
        return self.runtime.logs(node, lines)

    async def status(self) -> DevnetStatus:
        """All nodes, as of now."""
        return DevnetStatus(None, self.runtime.status())

    async def inject(self, fault: Fault, for_s: float | None = None) -> Bite:
        """Straight to the runtime."""
        return await self.runtime.inject(fault, for_s)

    async def heal(self, fault: Fault) -> Healing:
        """Straight to the runtime."""
        return await self.runtime.heal(fault)

    async def faults(self) -> DevnetFaults:
        """What can be done to nodes, and what is being done."""
        return faults_of(self.runtime)


@dataclass(frozen=True)
class NodeHandle:
    """One node's lifecycle; every operation is noted in the journal, so that reports can show it."""

    name: str
    nodes: Nodes
    journal: Journal
    plan: Plan

    async def kill(self) -> NodeStatus:
        """End it with SIGKILL, with everything in it."""
        return await self._operate("kill")

    async def stop(self) -> NodeStatus:
        """End it politely."""
        return await self._operate("stop")

    async def pause(self) -> NodeStatus:
        """Freeze it."""
        return await self._operate("pause")

    async def resume(self) -> NodeStatus:
        """Thaw it."""
        return await self._operate("resume")

    async def restart(self) -> NodeStatus:
        """Bring it back (after a kill) or stop and start it; returns when it is ready."""
        return await self._operate("restart")

    async def logs(self, lines: int = 50) -> tuple[str, ...]:
        """The last lines of its log."""
        return await self.nodes.logs(self.name, lines)

    async def inject(self, fault: Fault, for_s: float | None = None) -> Bite:
        """Do something to it on purpose, and see whether it took effect; in force until it is healed, over all its lives.

        Args:
            fault: what.
            for_s: whoever runs the devnet heals it after so many seconds, though nobody asks any more; by default it stays.

        Raises:
            BadFaultError: the fault is another node's.
            RollnetError: the runtime can't do it, or could not apply it; see ``Runtime.inject``.
        """
        self._require_mine(fault)
        bite = await self.nodes.inject(fault, for_s)
        self._note_fault(f"fault.{fault.kind}", fault, bit=bite.bit, evidence=bite.evidence)
        return bite

    async def heal(self, fault: Fault) -> Healing:
        """Undo a fault of it, and see whether it is gone; works when the node is down, and more than once.

        Raises:
            BadFaultError: the fault is another node's.
            RollnetError: it could not be undone; see ``Runtime.heal``.
        """
        self._require_mine(fault)
        healing = await self.nodes.heal(fault)
        self._note_fault("fault.heal", fault, healed=healing.healed, evidence=healing.evidence)
        return healing

    async def faults(self) -> tuple[Fault, ...]:
        """Those in force on it, the oldest first."""
        return tuple(fault for fault in (await self.nodes.faults()).in_force if fault.node == self.name)

    async def status(self) -> NodeStatus:
        """Where it is in its life.

        Raises:
            UnknownNodeError: there is no node of this name.
        """
        statuses = {status.name: status for status in (await self.nodes.status()).nodes}
        if self.name not in statuses:
            raise UnknownNodeError(self.name, statuses)
        return statuses[self.name]

    async def crash_at(self, point: str, count: int = 1) -> NodeStatus:
        """Order it to crash at the ``count``-th passage of a point from now on; see :meth:`crashed` for what came of it.

        Raises:
            RollnetError: it takes no such order: the devnet was launched without ``chaos``, or the point isn't one of its.
        """
        status = await self.status()
        await order_crash(status, self.plan, point, count)
        self.journal.emit("fault.crash_at", node=self.name, point=point, count=count, boot=status.boot)
        return status

    async def crashed(self, point: str, boot: int, within_s: float = 30.0) -> Bite:
        """Wait until it has crashed where it was ordered to, and confirm that by its exit code and its log.

        Args:
            point: as ordered.
            boot: the life that was to end, from what :meth:`crash_at` returned.
            within_s: longest wait, seconds.
        """
        return await crash_bite(point, boot, self.status, self.logs, within_s)

    async def _operate(self, operation: str) -> NodeStatus:
        status = await self.nodes.operate(operation, self.name)
        self.journal.emit(
            f"fault.{operation}",
            node=self.name,
            state=status.state.value,
            boot=status.boot,
            bit=status.confirmed is not None,
            evidence=status.confirmed or "nobody else has seen it",
        )
        return status

    def _require_mine(self, fault: Fault) -> None:
        if fault.node != self.name:
            raise BadFaultError(f"{described(fault)} is no fault of {self.name}", f"ask {fault.node} for it")

    def _note_fault(self, event: str, fault: Fault, **seen: Any) -> None:
        given = {name: value for name, value in fault_to_dict(fault).items() if name != "kind"}
        self.journal.emit(event, kind=fault.kind, **given, **seen)
