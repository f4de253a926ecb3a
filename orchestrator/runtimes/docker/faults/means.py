"""What the Docker runtime does for each kind of fault, and how it looks whether it took effect."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from orchestrator.runtimes.disk_full import bite_of as disk_bite_of
from orchestrator.runtimes.disk_full import complaints
from orchestrator.runtimes.disk_full import healing_of as disk_healing_of
from orchestrator.runtimes.docker.errors import EngineError
from orchestrator.runtimes.docker.faults import network
from orchestrator.runtimes.docker.faults.beside import SideCars
from orchestrator.runtimes.docker.faults.disk import limited
from orchestrator.runtimes.docker.faults.memory import run_out
from orchestrator.runtimes.docker.faults.network import Peer
from orchestrator.runtimes.docker.faults.targets import Targets
from orchestrator.runtimes.docker.faults.unplug import plug, unplug
from orchestrator.runtimes.docker.faults.verdicts import bite_of, healing_of
from orchestrator.runtimes.errors import FaultFailedError
from orchestrator.runtimes.faults import Bite, DiskFull, Fault, Healing, OutOfMemory, Unplug, peer_of
from orchestrator.runtimes.file_limits import Limited

_LINES = 200


class DockerMeans:
    """Fulfils ``FaultMeans``.

    Args:
        targets: all nodes.
        side_cars: runs side-cars.
        log: the last so many lines of a node's output.
    """

    def __init__(
        self, targets: Targets, side_cars: SideCars, log: Callable[[str, int], Sequence[str]]
    ) -> None:
        self._targets, self._side_cars, self._log = targets, side_cars, log
        self._limits: dict[DiskFull, int] = {}
        """Of those in force: a node that comes back gets no more room than it had."""

    async def inject(self, fault: Fault, on_node: Sequence[Fault]) -> Bite:
        """See ``FaultMeans``."""
        target = self._targets.by_name[fault.node]
        match fault:
            case Unplug():
                return await unplug(self._targets, fault)
            case OutOfMemory():
                return await run_out(self._targets, target)
            case DiskFull():
                before = complaints(self._log(fault.node, _LINES))
                seen = await self._fill(fault)
                if seen is None:
                    return Bite(False, f"{fault.node} is down; its files are full as soon as it is back")
                return await disk_bite_of(seen, lambda: self._log(fault.node, _LINES), before)
            case _:
                return await self._cut(fault, on_node)

    async def heal(self, fault: Fault, on_node: Sequence[Fault]) -> Healing:
        """See ``FaultMeans``."""
        match fault:
            case Unplug():
                return await plug(self._targets, fault)
            case OutOfMemory():
                return Healing(True, "it was over when it had struck")
            case DiskFull():
                seen = await limited(self._targets, self._targets.by_name[fault.node], "lift")
                self._limits.pop(fault, None)
                return Healing(True, f"{fault.node} is down") if seen is None else disk_healing_of(seen)
            case _:
                return await self._uncut(fault, on_node)

    async def renew(self, node: str, on_node: Sequence[Fault], *, reborn: bool) -> None:
        """See ``FaultMeans``."""
        if any(not isinstance(fault, Unplug | OutOfMemory | DiskFull) for fault in on_node):
            # also where no rule comes of it: rules against an address that somebody else has by now must go
            addresses = await self._targets.addresses()
            await self._beside(node, network.order(on_node, addresses.get(node), addresses.get))
        for fault in on_node:
            if reborn and isinstance(fault, DiskFull):
                await self._fill(fault)

    async def _fill(self, fault: DiskFull) -> Limited | None:
        limit = self._limits.get(fault)
        asked = ("stop", str(fault.spare_bytes)) if limit is None else ("hold", str(limit))
        seen = await limited(self._targets, self._targets.by_name[fault.node], *asked)
        if seen is not None:
            self._limits[fault] = seen.limit
        return seen

    async def _cut(self, fault: Fault, on_node: Sequence[Fault]) -> Bite:
        addresses = await self._targets.addresses()
        own, peers = addresses.get(fault.node), self._peers(fault, on_node, addresses)
        proven = own is not None and bool(peers)
        asked = (
            network.order_with_proof(fault, on_node, own, addresses.get, peers)
            if own is not None and peers
            else network.order(on_node, own, addresses.get)
        )
        told = await self._beside(fault.node, asked)
        if told is None:
            return Bite(False, f"{fault.node} is down; the fault is there when it comes back")
        if not proven:
            why = f"{fault.node} is off the fabric" if own is None else self._nobody(fault)
            return Bite(False, f"{why}; the fault is there when that changes")
        return bite_of(fault, asked, told, peers[0])

    async def _uncut(self, fault: Fault, on_node: Sequence[Fault]) -> Healing:
        addresses = await self._targets.addresses()
        peers = self._peers(fault, on_node, addresses)
        look = {"heard": [peers[0].address, peers[0].port]} if peers else None
        asked = network.order(on_node, addresses.get(fault.node), addresses.get, look)
        told = await self._beside(fault.node, asked)
        if told is None:
            return Healing(True, f"{fault.node} is down")
        return healing_of(fault, asked, told, peers[0] if peers else None)

    def _peers(self, fault: Fault, on_node: Sequence[Fault], addresses: Mapping[str, str]) -> list[Peer]:
        """Whom a probe may go to: the fault's peer, or all with whom the link is not cut by another fault."""
        peer = peer_of(fault)
        cut = {peer_of(other) for other in on_node}
        others = [name for name in self._targets.by_name if name != fault.node and name not in cut]
        return self._targets.peers(addresses, [peer] if peer is not None else others)

    def _nobody(self, fault: Fault) -> str:
        peer = peer_of(fault)
        return "no other node runs that could notice" if peer is None else f"{peer} is down or off the fabric"

    async def _beside(self, node: str, asked: dict[str, Any]) -> dict[str, Any] | None:
        """What a side-car tells; ``None`` if the node is down."""
        target = self._targets.by_name[node]
        life = target.life
        if life is None:
            return None
        try:
            return await self._side_cars.run(target.place.container, asked)
        except EngineError as exc:
            if await self._targets.ending(target, life):
                return None  # and its network with it
            raise FaultFailedError(f"{node}: {exc.message}", exc.hint) from exc
