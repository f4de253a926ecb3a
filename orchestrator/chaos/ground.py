"""What a scenario stands on: the nodes of its devnet, their roles, and who calls whom. Pure, from the topology's plan."""

import re
from dataclasses import dataclass

from orchestrator.chaos.plan import PlannedFault, ScenarioPlan
from orchestrator.nodes import node_specs
from orchestrator.topology.plan import Plan

_CALLED = re.compile(r"\$\{url:([a-z0-9-]+):")
ALL = "all"


@dataclass(frozen=True, slots=True)
class Ground:
    """A devnet's nodes and links, before it is launched."""

    plan: Plan
    roles: dict[str, str]
    """Role by node, in the order in which nodes are listed."""
    links: tuple[tuple[str, str], ...]
    """Caller and callee, each pair once."""

    @classmethod
    def of(cls, plan: Plan) -> "Ground":
        """What the plan gives."""
        specs = node_specs(plan, "anvil")
        links = {
            (spec.name, callee): None
            for spec in specs
            for text in (*spec.env.values(), *spec.command)
            for callee in _CALLED.findall(text)
            if callee != spec.name
        }
        return cls(plan, {spec.name: spec.role for spec in specs}, tuple(links))

    def matching(self, word: str) -> tuple[str, ...]:
        """The nodes that a name, a role or ``all`` means; a name wins over a role."""
        if word in self.roles:
            return (word,)
        if word == ALL:
            return tuple(self.roles)
        return self.of_role(word)

    def of_role(self, role: str) -> tuple[str, ...]:
        """All nodes of a role."""
        return tuple(name for name, has in self.roles.items() if has == role)

    def engine_of(self, name: str) -> str:
        """Of a rollup's node; empty for any other."""
        return next((rollup.engine for rollup in self.plan.rollups if rollup.name == name), "")

    def between(self, sources: tuple[str, ...], destinations: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
        """The links from some nodes to others."""
        return tuple(link for link in self.links if link[0] in sources and link[1] in destinations)

    def around(self, nodes: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
        """The links between some nodes and the rest."""
        return tuple(link for link in self.links if (link[0] in nodes) != (link[1] in nodes))

    @property
    def chains(self) -> tuple[str, ...]:
        """Nodes that make blocks."""
        return ("l1", *(rollup.name for rollup in self.plan.rollups))


def bystanders_of(plan: ScenarioPlan) -> frozenset[str]:
    """Nodes that some fault lasts beside without touching them; with none, nobody can say how far a fault reached."""
    nodes = frozenset(Ground.of(plan.devnet).roles)
    watched = nodes if plan.expect.blast_radius is None else nodes & set(plan.expect.blast_radius)
    return frozenset().union(*(watched - _touched(fault) for fault in plan.faults if fault.lasts_s > 0))


def _touched(fault: PlannedFault) -> frozenset[str]:
    ends = (end for link in fault.links for end in link)
    return frozenset(fault.targets or ends)
