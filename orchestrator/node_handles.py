"""The life of a devnet's nodes as its users hold it: kill, pause and bring back one node, whoever runs it."""

from dataclasses import dataclass
from typing import Protocol

from bridge.wire.journal import Journal
from orchestrator.runtimes.base import NodeStatus, Runtime


class Nodes(Protocol):
    """The lifecycle of a devnet's nodes, wherever they run."""

    async def operate(self, operation: str, node: str) -> NodeStatus:
        """Do one of ``start stop kill pause resume restart``."""

    async def logs(self, node: str, lines: int = 50) -> tuple[str, ...]:
        """The last lines of a node's log."""


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


@dataclass(frozen=True)
class NodeHandle:
    """One node's lifecycle; every operation is noted in the journal, so that reports can show it."""

    name: str
    nodes: Nodes
    journal: Journal

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

    async def _operate(self, operation: str) -> NodeStatus:
        status = await self.nodes.operate(operation, self.name)
        self.journal.emit(f"fault.{operation}", node=self.name, state=status.state.value, boot=status.boot)
        return status
