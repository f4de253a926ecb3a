"""From spec to plan: targets are drawn, links are written out, every fault gets a seed of its own. Pure."""

import random
from typing import Any

from orchestrator.chaos.fault_spec import (
    AnyFault,
    LinkFaultSpec,
    PartitionSpec,
    TargetSpec,
    WhenSpec,
)
from orchestrator.chaos.ground import Ground
from orchestrator.chaos.plan import AtEvent, AtHeight, AtTime, Link, PlannedFault, ScenarioPlan, Trigger
from orchestrator.chaos.spec import ScenarioSpec

_STRUCTURE = frozenset({"name", "when", "fault", "target", "links", "direction", "lasts", "restart_after"})
"""What a plan holds in fields of its own; everything else is a parameter."""


def resolve(
    spec: ScenarioSpec, ground: Ground, *, runtime: str, seed: int, repeat_s: float | None = None
) -> ScenarioPlan:
    """Decide everything that the scenario leaves open.

    Args:
        spec: without broken rules.
        ground: its devnet.
        runtime: ``process``, ``docker`` or ``auto``, which is processes.
        seed: of every choice.
        repeat_s: instead of the file's ``repeat_for``.
    """
    return ScenarioPlan(
        name=spec.name,
        devnet=ground.plan,
        runtime="process" if runtime == "auto" else runtime,
        seed=seed,
        rate=spec.load.rate,
        mix=spec.load.mix,
        steady=spec.steady_state,
        baseline_s=spec.baseline,
        repeat_s=repeat_s if repeat_s is not None else spec.repeat_for or 0.0,
        faults=tuple(_fault(fault, ground, seed) for fault in spec.schedule),
        settle=spec.settle,
        expect=spec.expect,
    )


def drawn(target: TargetSpec, ground: Ground, rng: random.Random) -> tuple[str, ...]:
    """The nodes that a target means, in the order of the devnet."""
    candidates = target.names or ground.of_role(target.role or "")
    candidates = tuple(name for name in ground.roles if name in candidates)
    count = {
        "one": 1,
        "minority": (len(candidates) - 1) // 2,
        "majority": len(candidates) // 2 + 1,
        "all": len(candidates),
    }[target.pick]
    chosen = set(rng.sample(candidates, count))
    return tuple(name for name in candidates if name in chosen)


def _fault(fault: AnyFault, ground: Ground, seed: int) -> PlannedFault:
    # by the fault's name, so that a fault that is added or taken away changes nothing about the others
    rng = random.Random(f"{seed}/{fault.name}")
    target: TargetSpec | None = getattr(fault, "target", None)
    targets = drawn(target, ground, rng) if target is not None else ()
    ways = _ways(fault, targets, ground)
    return PlannedFault(
        name=fault.name,
        kind=fault.fault,
        trigger=_trigger(fault.when, ground),
        targets=targets or _implied(fault),
        links=tuple(dict.fromkeys(link for way in ways for link in way)),
        lasts_s=getattr(fault, "lasts", getattr(fault, "restart_after", 0.0)),
        parameters=_parameters(fault),
        seed=rng.randrange(2**31),
        ways=ways,
    )


def _implied(fault: AnyFault) -> tuple[str, ...]:
    return ("l1",) if fault.fault in ("l1_stall", "l1_reorg") else ()


def _trigger(when: WhenSpec, ground: Ground) -> Trigger:
    if when.event is not None:
        nodes = frozenset(ground.matching(when.node)) if when.node else frozenset()
        return AtEvent(when.event, nodes, when.count, when.within)
    if when.height is not None:
        return AtHeight(tuple(when.height.items()), when.within)
    assert when.after is not None, "one of three, by the rules"
    return AtTime(when.after)


def _ways(fault: AnyFault, targets: tuple[str, ...], ground: Ground) -> tuple[tuple[Link, ...], ...]:
    """The links that are struck, by direction; no direction is empty."""
    if not isinstance(fault, LinkFaultSpec):
        return ()
    ways: list[tuple[Link, ...]] = []
    if fault.links is None:
        around = ground.around(targets) if len(targets) < len(ground.roles) else ground.links
        out = tuple(link for link in around if link[0] in targets)
        ways += [out, tuple(link for link in around if link not in out)]
    for link in fault.links or ():
        here, there = ground.matching(link.source), ground.matching(link.destination)
        if fault.direction in ("to", "both"):
            ways.append(ground.between(here, there))
        if fault.direction in ("from", "both"):
            ways.append(ground.between(there, here))
    return tuple(way for way in ways if way)


def _parameters(fault: AnyFault) -> dict[str, Any]:
    said = fault.model_dump(exclude=set(_STRUCTURE))
    if isinstance(fault, PartitionSpec):
        said["mode"] = fault.mode
    return {key: value for key, value in said.items() if value is not None}
