"""Faults of a node's machine, done by the runtime: its network, its disk, its memory."""

from collections.abc import Sequence

from orchestrator.chaos.injection import Begun, all_healed, all_of
from orchestrator.chaos.lives import bring_back
from orchestrator.chaos.plan import PlannedFault
from orchestrator.devnet import Devnet
from orchestrator.runtimes.base import ALIVE
from orchestrator.runtimes.faults import Bite, DiskFull, Fault, Healing, OutOfMemory, PacketLoss, Unplug


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

    async def inject(self, begun: Begun) -> None:
        """One node after the other."""
        begun()
        for fault in self._faults:
            self._bites[fault.node] = await self._net.node(fault.node).inject(fault)

    async def bite(self) -> Bite:
        """What the runtime saw of each; injecting what is in force is how one looks once more."""
        for fault in self._faults:
            seen = self._bites.get(fault.node)
            if seen is not None and not seen.bit:
                self._bites[fault.node] = await self._net.node(fault.node).inject(fault)
        return all_of(
            [self._bites.get(fault.node, Bite(False, f"{fault.node}: not done")) for fault in self._faults]
        )

    async def heal(self) -> Healing:
        """Undo each, and bring back who did not survive it; after a full disk each node is restarted, as its operator would."""
        healed = []
        for fault in self._faults:
            node = self._net.node(fault.node)
            if not isinstance(fault, OutOfMemory):
                healed.append(await node.heal(fault))
            if isinstance(fault, DiskFull):
                status = await node.restart()  # one that could not write may still be about to end
                healed.append(
                    Healing(status.state in ALIVE, f"{fault.node} is {status.state} in life {status.boot}")
                )
            else:
                healed.append(await bring_back(self._net, fault.node))
        return all_healed(healed)
