"""Undoing everything once more when nothing strikes any longer: faults that overlapped may have hindered each other's heals.

Each part is tried whatever became of the others, and each that fails is told. First what holds nodes (links, their machines), then the nodes
themselves, then what they have to be told (clocks, L1's beat).
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass

from orchestrator.chaos.clocks import set_right
from orchestrator.chaos.crashes import withdraw_order
from orchestrator.chaos.injection import tried
from orchestrator.chaos.l1_injection import beat
from orchestrator.chaos.lives import bring_back
from orchestrator.chaos.machine import heal_machine
from orchestrator.chaos.plan import ScenarioPlan
from orchestrator.devnet import Devnet
from orchestrator.runtimes.base import ALIVE, NodeState
from orchestrator.runtimes.faults import Fault, Healing, described
from orchestrator.topology.names import L1

UP = ALIVE - {NodeState.PAUSED}
"""States of a node that is not to be brought back."""


@dataclass(frozen=True, slots=True)
class Healed:
    """What came of it."""

    done: tuple[str, ...] = ()
    """What was still to be undone, and was."""
    lost: tuple[str, ...] = ()
    """Nodes that did not come back, and why."""
    stuck: tuple[str, ...] = ()
    """What else could not be undone, and why."""


async def heal_all(net: Devnet, plan: ScenarioPlan) -> Healed:
    """Undo everything that a scenario may have done to a devnet; raises nothing that is ours."""
    healing = _Healing(net, plan)
    await healing.links()
    await healing.machines()
    await healing.lives()
    await healing.rest()
    return Healed(tuple(healing.done), tuple(healing.lost), tuple(healing.stuck))


class _Healing:
    def __init__(self, net: Devnet, plan: ScenarioPlan) -> None:
        self._net, self._plan = net, plan
        self._limited = list[str]()
        """Nodes whose machines were healed: they may have ended meanwhile."""
        self.done, self.lost, self.stuck = list[str](), list[str](), list[str]()

    async def links(self) -> None:
        """All faults of the proxy."""
        if self._net.links is not None:
            await self._each("the links", self._links())

    async def machines(self) -> None:
        """All faults of machines that the runtime says are in force."""
        in_force: list[Fault] = []

        async def ask() -> Healing:
            in_force.extend((await self._net.nodes.faults()).in_force)
            return Healing(True, "")

        await self._each("faults in force", ask())
        for fault in reversed(in_force):
            self._limited.append(fault.node)
            await self._each(described(fault), heal_machine(self._net, fault))

    async def lives(self) -> None:
        """All nodes that something was done to run, and none of them is ordered to crash when it boots."""
        for node in self._targets("crash_at"):
            await self._each(f"{node}'s order to crash", self._withdrawn(node))
        for node in dict.fromkeys((*self._targets(), *self._limited)):
            healing = await tried(node, self._back(node))
            if not healing.healed:
                self.lost.append(f"{node} did not come back: {healing.evidence}")
            elif healing.evidence:
                self.done.append(healing.evidence)

    async def rest(self) -> None:
        """Clocks are right, and L1 has its beat."""
        for node in self._targets("clock_skew"):
            await self._each(f"{node}'s clock", _silent(set_right(self._net, node)))
        if self._targets("l1_stall"):
            await self._each(f"{L1}'s beat", _silent(beat(self._net)))

    def _targets(self, *kinds: str) -> tuple[str, ...]:
        faults = [fault for fault in self._plan.faults if not kinds or fault.kind in kinds]
        return tuple(dict.fromkeys(node for fault in faults for node in fault.targets))

    async def _each(self, who: str, heal: Awaitable[Healing]) -> None:
        healing = await tried(who, heal)
        if not healing.healed:
            self.stuck.append(healing.evidence)
        elif healing.evidence:
            self.done.append(healing.evidence)

    async def _links(self) -> Healing:
        assert self._net.links is not None, "the caller looked"
        left = await self._net.links.heal_all()
        return Healing(True, f"links were freed of {', '.join(left)}" if left else "")

    async def _withdrawn(self, node: str) -> Healing:
        await asyncio.to_thread(withdraw_order, self._net, node)
        return Healing(True, "")

    async def _back(self, node: str) -> Healing:
        if (await self._net.node(node).status()).state in UP:
            return Healing(True, "")
        return await bring_back(self._net, node)


async def _silent(heal: Awaitable[Healing]) -> Healing:
    """What is done again although it was done most likely is told only where it fails."""
    healing = await heal
    return Healing(True, "") if healing.healed else healing
