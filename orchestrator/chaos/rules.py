"""The rules that tie a scenario's fields to one another and to its topology; each is a pure function from a fault to what breaks it."""

from collections.abc import Iterator, Mapping

from bridge.wire.crash_points import CRASH_POINTS
from orchestrator.chaos.fault_spec import (
    EVENTS,
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
from orchestrator.chaos.spec import ExpectSpec, LoadSpec
from orchestrator.checks import CHECKERS
from orchestrator.checks.coverage import WORDS
from orchestrator.load.schedule import Work
from orchestrator.topology.durations import format_duration
from orchestrator.topology.errors import Finding, KeyPath, shown
from orchestrator.topology.wording import nearest

OPERATIONS = tuple(map(str, Work))
"""Kinds of work that a load does."""
INVARIANTS = tuple(checker.name for checker in CHECKERS)
"""Checkers by name."""
MOST_LISTED = 24
"""Words that a hint lists."""
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


def broken_expectations(load: LoadSpec, expect: ExpectSpec, ground: Ground | None) -> Iterator[Finding]:
    """What the scenario expects, and nobody can say whether it is so."""
    for kind in load.mix or ():
        if kind not in OPERATIONS:
            yield _no_such(kind, OPERATIONS, ("load", "mix", kind), "users do no operation", at_key=True)
    if load.mix is not None and not any(load.mix.values()):
        yield Finding(("load", "mix"), "every weight is 0", "give one that is not")
    for index, name in enumerate(expect.invariants if isinstance(expect.invariants, tuple) else ()):
        if name not in INVARIANTS:
            yield _no_such(name, INVARIANTS, ("expect", "invariants", index), "there is no checker")
    for name in expect.coverage:
        if name not in WORDS and name not in EVENTS:
            yield _no_such(
                name, (*WORDS, *EVENTS), ("expect", "coverage", name), "nobody counts", at_key=True
            )
    for index, name in enumerate((expect.blast_radius or ()) if ground is not None else ()):
        assert ground is not None, "there are none without it"
        if name not in ground.roles:
            yield unknown_name(name, tuple(ground.roles), ("expect", "blast_radius", index), "node")


def _no_such(word: str, known: tuple[str, ...], path: KeyPath, what: str, *, at_key: bool = False) -> Finding:
    meant = nearest(word, list(known))
    some = ", ".join(known[:MOST_LISTED]) + (", …" if len(known) > MOST_LISTED else "")
    hint = f"did you mean {meant}?" if meant else f"there are {some}"
    return Finding(path, f"{what} {shown(word)}", hint, at_key)


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
        elif isinstance(fault, PartitionSpec) and fault.mode == "unplug" and fault.target is None:
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
        if ground.roles[name] not in point.roles:
            yield Finding(
                (*at, "target"),
                f"{name} is a {ground.roles[name]} and never passes {fault.point}",
                f"that point is in nodes of role {' or '.join(point.roles)}",
            )


def _candidates(target: TargetSpec, ground: Ground) -> tuple[str, ...]:
    named = target.names or (ground.of_role(target.role) if target.role else ())
    return tuple(name for name in named if name in ground.roles)
