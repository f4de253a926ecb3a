"""Ends and pauses of nodes: kill, stop, restart, pause."""

import asyncio
from collections.abc import Sequence

from orchestrator.chaos.injection import Begun, all_of, all_tried
from orchestrator.devnet import Devnet
from orchestrator.runtimes.base import ALIVE, NodeState, NodeStatus
from orchestrator.runtimes.faults import Bite, Healing

_AFTERWARDS = {
    "kill": frozenset({NodeState.KILLED}),
    "stop": frozenset({NodeState.STOPPED}),
    "pause": frozenset({NodeState.PAUSED}),
    "restart": ALIVE - {NodeState.PAUSED},
}
"""State in which the operation leaves a node."""


class LifeInjection:
    """One operation on the lives of some nodes, undone by bringing them back.

    Args:
        net: whose nodes.
        operation: ``kill``, ``stop``, ``restart`` or ``pause``.
        nodes: by name; all at once.
    """

    def __init__(self, net: Devnet, operation: str, nodes: Sequence[str]) -> None:
        self._net, self._operation, self._nodes = net, operation, nodes
        self._seen: dict[str, NodeStatus] = {}

    async def inject(self, begun: Begun) -> None:
        """All nodes at once."""
        begun()
        async with asyncio.TaskGroup() as tasks:
            for node in self._nodes:
                tasks.create_task(self._operate(node))

    async def bite(self) -> Bite:
        """What the runtime saw of each, with who confirms it."""
        return all_of([self._judged(node) for node in self._nodes])

    async def heal(self) -> Healing:
        """Bring back what is down, thaw what is frozen."""
        return await all_tried((node, bring_back(self._net, node)) for node in self._nodes)

    async def _operate(self, node: str) -> None:
        self._seen[node] = await getattr(self._net.node(node), self._operation)()

    def _judged(self, node: str) -> Bite:
        status = self._seen.get(node)
        if status is None:
            return Bite(False, f"{node}: {self._operation} was not done")
        bit = status.state in _AFTERWARDS[self._operation] and status.confirmed is not None
        seen = status.confirmed or "confirmed by nobody"
        return Bite(bit, f"{node} is {status.state} in life {status.boot}: {seen}")


async def bring_back(net: Devnet, node: str) -> Healing:
    """A node runs and answers, whatever was done to its life; it is left alone if it does so already."""
    handle = net.node(node)
    status = await handle.status()
    if status.state is NodeState.PAUSED:
        status = await handle.resume()
    if status.state not in ALIVE:
        status = await handle.restart()
    return Healing(status.state in ALIVE, f"{node} is {status.state} in life {status.boot}")
