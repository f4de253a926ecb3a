"""Faults of a node's machine, done by the runtime: its network, its disk, its memory."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from orchestrator.chaos.injection import Begun, all_healed, all_of, all_tried
from orchestrator.chaos.lives import bring_back
from orchestrator.chaos.plan import PlannedFault
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.runtimes.base import ALIVE
from orchestrator.runtimes.disk_full import complaints
from orchestrator.runtimes.faults import Bite, DiskFull, Fault, Healing, OutOfMemory, PacketLoss, Unplug

LOG_LINES = 1_000
"""Of a node's log, in which failed writes are looked for."""


def machine_faults(fault: PlannedFault) -> tuple[Fault, ...]:
    """One fault of the runtime for each node. Pure."""
    said = fault.parameters
    match fault.kind:
        case "packet_loss":
            return tuple(PacketLoss(node, said["percent"] / 100) for node in fault.targets)
        case "disk_full":
            return tuple(DiskFull(node, said["spare"]) for node in fault.targets)
        case "out_of_memory":
            return tuple(OutOfMemory(node) for node in fault.targets)
        case _:
            return tuple(Unplug(node) for node in fault.targets)


class MachineInjection:
    """One kind of fault on the machines of some nodes.

    Args:
        net: whose nodes.
        faults: one for each.
    """

    def __init__(self, net: Devnet, faults: Sequence[Fault]) -> None:
        self._net, self._faults = net, faults
        self._bites: dict[str, Bite] = {}
        self._complaints: dict[str, int] = {}
        """Of each node whose disk is full: how many it had in its log before."""

    async def inject(self, begun: Begun) -> None:
        """All nodes at once; what can't be done to one of them spares no other."""
        begun()
        await self._each(self._strike)

    async def bite(self) -> Bite:
        """What the runtime saw of each; injecting what is in force is how one looks once more, but not at what was over at once."""
        await self._each(self._look_again)
        return all_of([await self._judged(fault) for fault in self._faults])

    async def heal(self) -> Healing:
        """Undo each, whatever becomes of the others."""
        return await all_tried((fault.node, heal_machine(self._net, fault)) for fault in self._faults)

    async def _each(self, act: Callable[[Fault], Coroutine[Any, Any, None]]) -> None:
        async with asyncio.TaskGroup() as tasks:
            for fault in self._faults:
                tasks.create_task(act(fault))

    async def _strike(self, fault: Fault) -> None:
        node = self._net.node(fault.node)
        try:
            if isinstance(fault, DiskFull) and fault.node not in self._complaints:
                self._complaints[fault.node] = complaints(await node.logs(LOG_LINES))
            seen = await node.inject(fault)
        except RollnetError as exc:
            seen = Bite(False, exc.message)
        self._bites[fault.node] = Bite(seen.bit, f"{fault.node}: {seen.evidence}")

    async def _look_again(self, fault: Fault) -> None:
        seen = self._bites.get(fault.node)
        if seen is not None and not seen.bit and not isinstance(fault, OutOfMemory):
            await self._strike(fault)

    async def _judged(self, fault: Fault) -> Bite:
        """The runtime's word, and the node's own on a full disk: one with room to spare is full only once a write has failed."""
        seen = self._bites.get(fault.node, Bite(False, f"{fault.node}: not done"))
        if not (seen.bit and isinstance(fault, DiskFull)):
            return seen
        failed = complaints(await self._net.node(fault.node).logs(LOG_LINES)) > self._complaints[fault.node]
        words = "a write of its has failed" if failed else "no write of its has failed"
        return Bite(failed or not fault.spare_bytes, f"{seen.evidence}; {words}")


async def heal_machine(net: Devnet, fault: Fault) -> Healing:
    """Undo one fault of a node's machine, and bring the node back if it did not survive.

    After a full disk the node is restarted, as its operator would: one that could not write may still be about to end.

    Args:
        net: whose node.
        fault: in force or not.
    """
    node = net.node(fault.node)
    if isinstance(fault, OutOfMemory):
        return await bring_back(net, fault.node)
    lifted = await node.heal(fault)
    if isinstance(fault, DiskFull):
        status = await node.restart()
        back = Healing(status.state in ALIVE, f"{fault.node} is {status.state} in life {status.boot}")
    else:
        back = await bring_back(net, fault.node)
    return all_healed([lifted, back])
