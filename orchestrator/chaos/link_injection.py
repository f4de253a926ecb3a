"""Faults on links, in the devnet's link proxy. Whether one bit is counted there: messages or connections that it met."""

from typing import Any

from orchestrator.chaos.injection import Begun
from orchestrator.chaos.plan import PlannedFault
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.links.faults import Direction, LinkFault, LinkFaultKind
from orchestrator.runtimes.faults import Bite, Healing


def link_faults(fault: PlannedFault) -> tuple[LinkFault, ...]:
    """One fault of the proxy for each link. Pure."""
    kind = LinkFaultKind(fault.parameters["mode"] if fault.kind == "partition" else fault.kind)
    return tuple(
        LinkFault(
            name=f"{fault.name} {source}->{destination}",
            source=source,
            target=destination,
            kind=kind,
            seed=fault.seed,
            **_details(fault),
        )
        for source, destination in fault.links
    )


class LinkInjection:
    """One kind of fault on some links.

    Args:
        net: launched for chaos, so that it has a proxy.
        fault: of a kind that strikes links.
    """

    def __init__(self, net: Devnet, fault: PlannedFault) -> None:
        self._net = net
        self._faults = link_faults(fault)
        self._applied: list[str] = []

    async def inject(self, begun: Begun) -> None:
        """On all links, one after the other within milliseconds."""
        begun()
        for fault in self._faults:
            self._applied.append(fault.name)
            await self._links.apply(fault)

    async def bite(self) -> Bite:
        """How much it has met so far."""
        met = {name: await self._links.touched(name) for name in self._applied}
        quiet = [name.rpartition(" ")[2] for name, count in met.items() if not count]
        said = f"{sum(met.values())} met on {len(met) - len(quiet)} of {len(self._faults)} links"
        return Bite(sum(met.values()) > 0, f"{said}; none on {', '.join(quiet)}" if quiet else said)

    async def heal(self) -> Healing:
        """Take it from all links."""
        for name in self._applied:
            await self._links.heal(name)
        return Healing(True, f"{len(self._applied)} links are as before")

    @property
    def _links(self) -> Any:
        if self._net.links is None:
            raise RollnetError("this devnet has no link proxy", "launch it with chaos=True")
        return self._net.links


def _details(fault: PlannedFault) -> dict[str, Any]:
    said = fault.parameters
    match fault.kind:
        case "delay":
            return {"latency_s": said["latency"], "jitter_s": said["jitter"], "direction": Direction.BOTH}
        case "throttle":
            return {"bytes_per_s": float(said["rate"]), "direction": Direction.BOTH}
        case "drop" | "duplicate" | "reorder":
            lost = {"request": Direction.REQUEST, "answer": Direction.RESPONSE}
            return {
                "probability": said["probability"],
                "match": said.get("match", "*"),
                "direction": lost[said.get("lost", "request")],
            }
    return {}
