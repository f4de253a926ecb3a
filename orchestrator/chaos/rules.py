"""The rules that tie a scenario's fields to one another and to its topology; each is a pure function from a fault to what breaks it."""

import re
from collections.abc import Iterator, Mapping

from bridge.wire.crash_points import CRASH_POINTS
from orchestrator.chaos.fault_spec import (
    AnyFault,
    ClockSkewSpec,
    CrashAtSpec,
    DelaySpec,
    L1StallSpec,
    LinkFaultSpec,
    PartitionSpec,
    TargetSpec,
)
from orchestrator.chaos.ground import ALL, Ground
from orchestrator.chaos.statistics import PHASES
from orchestrator.topology.durations import format_duration
from orchestrator.topology.errors import Finding, KeyPath, shown
from orchestrator.topology.wording import nearest

_REPETITION = re.compile(r" #\d+$")
"""How a soak calls a fault when it strikes again."""
CLOCK_ROLES = ("sequencer", "relayer")
"""Roles whose nodes read the wall clock and take it from `bridge.wire.clock`."""


def broken_rules(faults: Mapping[int, AnyFault], ground: Ground | None) -> Iterator[Finding]:
    """What is wrong with faults that are right by themselves.

    Args:
        faults: by their index in the schedule.
        ground: the devnet; None if its topology is wrong itself, so that nothing can be said about names.
    """
    yield from _twice(faults)
    for index, fault in faults.items():
        at: KeyPath = ("schedule", index)
        yield from _triggers(fault, at)
        yield from _places(fault, at)
        if ground is not None:
            yield from _waited_for(fault, at, ground)
            yield from _targets(fault, at, ground)
            yield from _links(fault, at, ground)
            yield from _kinds(fault, at, ground)


def unknown_name(name: str, known: tuple[str, ...], path: KeyPath, what: str) -> Finding:
    """A name that the topology does not have."""
    meant = nearest(name, list(known))
    hint = f"did you mean {meant}?" if meant else f"there are {', '.join(known)}"
    return Finding(path, f"the topology has no {what} {shown(name)}", hint)


def _twice(faults: Mapping[int, AnyFault]) -> Iterator[Finding]:
    """Windows, plots and tables go by name."""
    owners: dict[str, int] = {}
    for index, fault in faults.items():
        first = owners.setdefault(fault.name, index)
        if first != index:
            yield Finding(
                ("schedule", index, "name"),
                f"another fault is called {shown(fault.name)} already (number {first + 1} of the schedule)",
                "give each its own name",
            )
        if fault.name in PHASES:
            yield Finding(
                ("schedule", index, "name"),
                f"{shown(fault.name)} is the name of a phase of every run",
                "say what breaks, such as the sequencer dies",
            )
        if _REPETITION.search(fault.name):
            yield Finding(
                ("schedule", index, "name"),
                f"{shown(fault.name)} ends as the name of a repetition does",
                "leave the # and the number away",
            )


def _triggers(fault: AnyFault, at: KeyPath) -> Iterator[Finding]:
    when = fault.when
    said = [
        key
        for key, value in (("event", when.event), ("height", when.height), ("after", when.after))
        if value is not None
    ]
    if len(said) != 1:
        found = f"says {' and '.join(said)}" if said else "says neither"
        yield Finding(
            (*at, "when"), f"needs exactly one of event, height and after, and {found}", "such as {after: 2s}"
        )
    if when.event is None:
        for key in ("node", "count"):
            if key in when.model_fields_set:
                yield Finding(
                    (*at, "when", key), "counts events, and no event is given", "add event, or remove it"
                )


def _places(fault: AnyFault, at: KeyPath) -> Iterator[Finding]:
    if isinstance(fault, DelaySpec) and fault.jitter > fault.latency:
        yield Finding(
            (*at, "jitter"),
            f"{format_duration(fault.jitter)} is more than the latency ({format_duration(fault.latency)})",
            "nothing arrives before it is sent",
        )
    if isinstance(fault, LinkFaultSpec):
        if (fault.links is None) == (fault.target is None):
            both = "both" if fault.links is not None else "neither"
            yield Finding(
                at,
                f"needs either links or target, and has {both}",
                "such as links: [{from: sequencer, to: alpha}]",
            )
        elif fault.target is not None and "direction" in fault.model_fields_set:
            yield Finding(
                (*at, "direction"),
                "a target means all links from and to it, and direction is of the links in links",
                "remove it, or write links instead of target",
            )
        elif fault.links is not None and isinstance(fault, PartitionSpec) and fault.mode == "unplug":
            yield Finding(
                (*at, "mode"),
                "unplug takes a node off the network, and links is given",
                "write target instead",
            )
    target: TargetSpec | None = getattr(fault, "target", None)
    if target is not None and (target.names is None) == (target.role is None):
        said = "both" if target.names is not None else "neither"
        yield Finding(
            (*at, "target"),
            f"needs either names or role, and has {said}",
            "such as {role: rollup, pick: one}",
        )
    names = (target.names or ()) if target is not None else ()
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield Finding((*at, "target"), f"{shown(name)} is named more than once", "name each node once")


def _waited_for(fault: AnyFault, at: KeyPath, ground: Ground) -> Iterator[Finding]:
    when = fault.when
    if when.node is not None and (when.node == ALL or not ground.matching(when.node)):
        yield unknown_name(when.node, tuple(ground.roles), (*at, "when", "node"), "node or role")
    for chain in when.height or ():
        if chain not in ground.chains:
            yield unknown_name(chain, ground.chains, (*at, "when", "height", chain), "chain")


def _targets(fault: AnyFault, at: KeyPath, ground: Ground) -> Iterator[Finding]:
    target: TargetSpec | None = getattr(fault, "target", None)
    if target is None:
        return
    for name in target.names or ():
        if name not in ground.roles:
            yield unknown_name(name, tuple(ground.roles), (*at, "target"), "node")
    if target.role is not None and not ground.of_role(target.role):
        there = ", ".join(dict.fromkeys(ground.roles.values()))
        yield Finding((*at, "target", "role"), f"the topology has no {target.role}", f"there are {there}")
        return
    candidates = target.names or ground.of_role(target.role or "")
    if target.pick == "minority" and 0 < len(candidates) < 3:
        yield Finding(
            (*at, "target", "pick"),
            f"less than half of {len(candidates)} {'node' if len(candidates) == 1 else 'nodes'} is none",
            "write one, or give a topology with three",
        )


def _links(fault: AnyFault, at: KeyPath, ground: Ground) -> Iterator[Finding]:
    for index, link in enumerate(getattr(fault, "links", None) or ()):
        path: KeyPath = (*at, "links", index)
        sides = {"from": ground.matching(link.source), "to": ground.matching(link.destination)}
        words = {"from": link.source, "to": link.destination}
        unknown = [key for key, nodes in sides.items() if not nodes]
        for key in unknown:
            yield unknown_name(words[key], tuple(ground.roles), (*path, key), "node or role")
        both = (*ground.between(sides["from"], sides["to"]), *ground.between(sides["to"], sides["from"]))
        if not unknown and not both:
            calls = [callee for caller, callee in ground.links if caller in sides["from"]]
            hint = f"it calls {', '.join(dict.fromkeys(calls))}" if calls else "it calls nobody"
            yield Finding(
                path, f"{link.source} and {link.destination} never call each other", f"{link.source}: {hint}"
            )
        elif not unknown and not _directed(
            link.source, link.destination, str(getattr(fault, "direction", "to")), ground
        ):
            yield Finding(
                path,
                f"{link.source} never calls {link.destination}; it is the other way round",
                "write direction: from",
            )


def _directed(source: str, destination: str, direction: str, ground: Ground) -> tuple[tuple[str, str], ...]:
    ways = {"to": [(source, destination)], "from": [(destination, source)]}
    wanted = ways.get(direction, [*ways["to"], *ways["from"]])
    return tuple(
        link for one, other in wanted for link in ground.between(ground.matching(one), ground.matching(other))
    )


def _kinds(fault: AnyFault, at: KeyPath, ground: Ground) -> Iterator[Finding]:
    match fault:
        case L1StallSpec() if not float(ground.plan.l1.block_time_s).is_integer():
            said = format_duration(ground.plan.l1.block_time_s)
            yield Finding(
                (*at, "fault"),
                f"l1_stall needs an l1.block_time of whole seconds, and the topology says {said}",
                "anvil takes no other when its beat is set again",
            )
        case ClockSkewSpec():
            for name in _candidates(fault.target, ground):
                if ground.roles[name] not in CLOCK_ROLES:
                    yield Finding(
                        (*at, "target"),
                        f"{name} has no clock of its own to be wrong",
                        f"clock_skew takes nodes of role {' or '.join(CLOCK_ROLES)}",
                    )
        case CrashAtSpec():
            yield from _crash_point(fault, at, ground)


def _crash_point(fault: CrashAtSpec, at: KeyPath, ground: Ground) -> Iterator[Finding]:
    point = CRASH_POINTS.get(fault.point)
    if point is None:
        meant = nearest(fault.point, list(CRASH_POINTS))
        hint = f"did you mean {meant}?" if meant else "see rollnet chaos points"
        yield Finding((*at, "point"), f"there is no crash point {shown(fault.point)}", hint)
        return
    for name in _candidates(fault.target, ground):
        role, engine = ground.roles[name], ground.engine_of(name)
        if not point.is_passed_by(role, engine):
            known = role in point.roles
            this = f"an {engine} {role}" if known else f"a {role}"
            of_engine = f" with engine {point.engine}" if known else ""
            yield Finding(
                (*at, "target"),
                f"{name} is {this} and never passes {fault.point}",
                f"that point is in nodes of role {' or '.join(point.roles)}{of_engine}",
            )


def _candidates(target: TargetSpec, ground: Ground) -> tuple[str, ...]:
    named = target.names or (ground.of_role(target.role) if target.role else ())
    return tuple(name for name in named if name in ground.roles)
