"""Faults on links, in the devnet's link proxy. Whether one bit is counted there: messages or connections that it met.

A *partition* bit if in each direction that was asked for it met something on at least one link. Not on every link: many are quiet, and nobody
can be kept from a call that he does not make. Not on any one link: cut in one direction alone, it is another fault than the one that the file
names. All other kinds strike messages, and bit if they met one.
"""

from collections.abc import Mapping
from typing import Any

from orchestrator.chaos.injection import Begun, all_tried
from orchestrator.chaos.plan import Link, PlannedFault
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.links.errors import NoSuchLinkFault
from orchestrator.links.faults import Direction, LinkFault, LinkFaultKind
from orchestrator.runtimes.faults import Bite, Healing


def link_faults(fault: PlannedFault) -> tuple[LinkFault, ...]:
    """One fault of the proxy for each link. Pure."""
    kind = LinkFaultKind(fault.parameters["mode"] if fault.kind == "partition" else fault.kind)
    return tuple(
        LinkFault(
            name=name_on(fault, (source, destination)),
            source=source,
            target=destination,
            kind=kind,
            seed=fault.seed,
            **_details(fault),
        )
        for source, destination in fault.links
    )


def name_on(fault: PlannedFault, link: Link) -> str:
    """How the proxy calls a fault on one of its links."""
    return f"{fault.name} {'->'.join(link)}"


def judged(fault: PlannedFault, met: Mapping[str, int]) -> Bite:
    """Whether a fault bit, from how much each of its links met, by the proxy's names. Pure."""
    quiet = [name.rpartition(" ")[2] for name, count in met.items() if not count]
    said = f"{sum(met.values())} met on {len(met) - len(quiet)} of {len(fault.links)} links"
    said = f"{said}; none on {', '.join(quiet)}" if quiet else said
    if fault.kind != "partition":
        return Bite(sum(met.values()) > 0, said)
    unmet = [way for way in fault.ways if not any(met.get(name_on(fault, link)) for link in way)]
    for way in unmet:
        said += f"; nobody called in the direction {', '.join('->'.join(link) for link in way)}"
    return Bite(bool(fault.ways) and not unmet, said)


class LinkInjection:
    """One kind of fault on some links.

    Args:
        net: launched for chaos, so that it has a proxy.
        fault: of a kind that strikes links.
    """

    def __init__(self, net: Devnet, fault: PlannedFault) -> None:
        self._net, self._fault = net, fault
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
        return judged(self._fault, {name: await self._links.touched(name) for name in self._applied})

    async def heal(self) -> Healing:
        """Take it from all links."""
        healing = await all_tried((name, self._taken(name)) for name in self._applied)
        return Healing(True, f"{len(self._applied)} links are as before") if healing.healed else healing

    async def _taken(self, name: str) -> Healing:
        try:
            await self._links.heal(name)
        except NoSuchLinkFault:  # the proxy refused it, or has begun another life
            return Healing(True, f"{name} is not there")
        return Healing(True, f"{name} is gone")

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
