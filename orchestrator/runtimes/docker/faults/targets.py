"""Nodes as faults see them: containers with an address on the fabric, or without."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.runtimes.docker.engine import Engine
from orchestrator.runtimes.docker.faults.network import Peer
from orchestrator.runtimes.docker.life import ContainerLife
from orchestrator.runtimes.docker.place import ContainerPlace

NO_PORT = 1
"""Of a node that listens nowhere: nobody does on this one, and whoever is reached there says so."""


@dataclass(frozen=True, slots=True)
class Target:
    """One node."""

    name: str
    place: ContainerPlace
    port: int
    """The first on which it listens."""

    @property
    def life(self) -> ContainerLife | None:
        """The one that it lives, frozen or not."""
        life = self.place.life
        return None if life is None or life.over else life


@dataclass(frozen=True, slots=True)
class Targets:
    """All nodes of one run."""

    engine: Engine
    fabric: str
    """Name of the network of nodes."""
    by_name: Mapping[str, Target]

    async def addresses(self) -> dict[str, str]:
        """Address on the fabric of each node that runs and is on it, as of now."""
        found = {}
        for name, target in self.by_name.items():
            if target.life is not None and (address := await self.address(name)):
                found[name] = address
        return found

    async def address(self, name: str) -> str | None:
        """One node's address on the fabric; ``None`` where it has none."""
        seen = await self.engine.inspect_container(self.by_name[name].place.container)
        network = seen["NetworkSettings"]["Networks"].get(self.fabric)
        return (network or {}).get("IPAddress") or None

    async def ending(self, target: Target, life: ContainerLife) -> bool:
        """Whether a life is over, or on its way out, which the engine may know before we do: then what failed failed for that."""
        if target.life is not life or life.asked is not None:
            return True
        state = (await self.engine.inspect_container(target.place.container))["State"]
        return not state["Running"] or target.life is not life

    def peers(self, addresses: Mapping[str, str], names: Sequence[str]) -> list[Peer]:
        """Those of these nodes that have an address."""
        return [Peer(name, addresses[name], self.by_name[name].port) for name in names if name in addresses]
