"""The plan: a scenario with nothing left to decide. Frozen, printable with ``--dry-run``, the same for the same file and seed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.chaos.spec import ExpectSpec, SettleSpec, SteadyStateSpec
from orchestrator.topology.durations import format_duration
from orchestrator.topology.plan import Plan

Link = tuple[str, str]
"""Caller and callee."""


@dataclass(frozen=True, slots=True)
class AtTime:
    """So long after the end of the baseline."""

    after_s: float

    def __str__(self) -> str:
        return f"after {format_duration(self.after_s)}"


@dataclass(frozen=True, slots=True)
class AtEvent:
    """At the so-manieth event in the journals after the end of the baseline."""

    event: str
    nodes: frozenset[str]
    """Whose journals count; empty for all."""
    count: int
    within_s: float

    def __str__(self) -> str:
        whose = f" of {', '.join(sorted(self.nodes))}" if self.nodes else ""
        return f"at {self.event} number {self.count}{whose}, within {format_duration(self.within_s)}"


@dataclass(frozen=True, slots=True)
class AtHeight:
    """Once each of some chains has added so many blocks after the end of the baseline."""

    blocks: tuple[tuple[str, int], ...]
    within_s: float

    def __str__(self) -> str:
        each = ", ".join(f"{count} blocks of {chain}" for chain, count in self.blocks)
        return f"after {each}, within {format_duration(self.within_s)}"


Trigger = AtTime | AtEvent | AtHeight


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """One fault, with its targets drawn."""

    name: str
    kind: str
    trigger: Trigger
    targets: tuple[str, ...]
    """Nodes; empty for faults of single links."""
    links: tuple[Link, ...]
    """In the order of the file; empty for faults of nodes."""
    lasts_s: float
    """From the injection (for lives: from the node's end) to the heal; 0 for what is over at once."""
    parameters: Mapping[str, Any]
    """What else its kind needs, by the file's keys."""
    seed: int
    ways: tuple[tuple[Link, ...], ...] = ()
    """The links by direction, as the file asks for it: each entry's calls of ``from`` to ``to``, and the calls back; or the calls of the
    targets, and those to them."""

    @property
    def strikes(self) -> tuple[str, ...]:
        """Whom it strikes, as journals say it: nodes, or links as ``alpha->l1``."""
        if self.links and not self.targets:
            return tuple(f"{source}->{destination}" for source, destination in self.links)
        return self.targets


@dataclass(frozen=True, slots=True)
class ScenarioPlan:
    """A scenario, decided."""

    name: str
    devnet: Plan
    runtime: str
    """``process`` or ``docker``."""
    seed: int
    rate: float
    """Operations per second."""
    mix: Mapping[str, float] | None
    """Weights by kind of operation; None for the load's own."""
    steady: SteadyStateSpec
    baseline_s: float
    repeat_s: float
    """The schedule begins again until so much time has passed; 0 for once."""
    faults: tuple[PlannedFault, ...]
    settle: SettleSpec
    expect: ExpectSpec


def plan_to_dict(plan: ScenarioPlan) -> dict[str, Any]:
    """The plan as JSON: what ``--dry-run --json`` prints and ``scenario.json`` in the run directory holds."""
    return {
        "name": plan.name,
        "topology": plan.devnet.name,
        "runtime": plan.runtime,
        "seed": plan.seed,
        "load": {"rate": plan.rate, "mix": plan.mix},
        "steady_state": plan.steady.model_dump(),
        "baseline_s": plan.baseline_s,
        "repeat_s": plan.repeat_s,
        "schedule": [
            {
                "name": fault.name,
                "fault": fault.kind,
                "when": str(fault.trigger),
                "targets": list(fault.targets),
                "links": [list(link) for link in fault.links],
                "lasts_s": fault.lasts_s,
                "seed": fault.seed,
                **fault.parameters,
            }
            for fault in plan.faults
        ],
        "settle": plan.settle.model_dump(),
        "expect": plan.expect.model_dump(),
    }
