"""Atomicity: all legs of a bundle took effect, or none; none alone, none outside of its bundle, none in another slot than the others.

Three witnesses are held against one another: the receipts on the rollups, what the sequencer says, and which bundle the guard was open for
while a leg ran. A leg of a bundle that is on its chain without its bundle is *orphaned*.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from orchestrator.checks.facts import Placed, RunFacts
from orchestrator.checks.telling import event_of, operation, place, short
from orchestrator.checks.verdict import CheckResult, CounterExample, judged
from orchestrator.load.history import Operation

NAME, OF_WHAT = "atomicity", "bundles"


@dataclass(frozen=True, slots=True)
class _Bundle:
    """What is known of one bundle."""

    id: str
    legs: tuple[str, ...]
    """Transactions that belong to it; of a bundle of somebody else only those that are on a chain."""
    operation: Operation | None


def check(facts: RunFacts) -> CheckResult:
    """Judge every bundle that a client sent, and every bundle that the guard was open for."""
    observed = facts.observed
    if observed is None:
        return judged(NAME, 0, OF_WHAT)
    silent = set(facts.unobserved)
    slots = _slots(facts)
    found: list[CounterExample] = []
    ahead: list[str] = []
    seen = executed = 0
    for bundle in _bundles(facts):
        if bundle.operation and {leg.chain for leg in bundle.operation.legs} & silent:
            continue
        if bundle.operation and (beyond := facts.beyond(bundle.operation)):
            ahead.append(beyond)
            continue
        seen += 1
        where = [each for leg in bundle.legs for each in facts.placed.get(leg, ())]
        executed += bool(where)
        found += _judge(facts, bundle, where, slots)
    notes = [f"{executed} executed whole, {seen - executed} without any effect"] if seen else []
    unknown = [f"{name} was not observed" for name in (*facts.unobserved, *facts.unheard)]
    if ahead:
        unknown.append(f"{len(ahead)} bundles should be in blocks that were not read, such as {ahead[0]}")
    return judged(NAME, seen, OF_WHAT, found, notes=notes, unknown=unknown)


def _judge(
    facts: RunFacts, bundle: _Bundle, where: list[Placed], slots: Mapping[tuple[str, int], int]
) -> Iterator[CounterExample]:
    told = [operation(facts, bundle.operation)] if bundle.operation else []
    events = (event_of(bundle.operation),) if bundle.operation else ()
    name = f"bundle {short(bundle.id)}"
    there = {each.transaction.hash for each in where if each.transaction.ok}
    missing = [leg for leg in bundle.legs if leg not in there]
    if where and missing:
        lines = (f"{name}: {len(there)} of {len(bundle.legs)} legs took effect", *map(place, where))
        lost = tuple(f"leg {bundle.legs.index(leg)}: transaction {short(leg)} did not" for leg in missing)
        yield CounterExample((*lines, *lost, *told), events)
    for orphan in (each for each in where if each.transaction.bundle != bundle.id):
        yield CounterExample((f"{name}: a leg ran outside of it", place(orphan), *told), events)
    numbers = {slots[each.rollup, each.block] for each in where if (each.rollup, each.block) in slots}
    if len(numbers) > 1:
        first = f"{name}: its legs ran in different slots: {sorted(numbers)}"
        yield CounterExample((first, *map(place, where), *told), events)
    status = facts.statuses.get(bundle.id)
    if status is not None and (status.status == "committed") != bool(where):
        first = f"{name}: its sequencer says {status.status}, and {len(where)} of its legs are on chain"
        yield CounterExample((first, *map(place, where), *told), events)


def _bundles(facts: RunFacts) -> list[_Bundle]:
    own = {one.id: one for one in facts.bundles}
    legs_of: dict[str, list[str]] = defaultdict(list)
    for digest, places in facts.placed.items():
        for each in places:
            if each.transaction.bundle is not None and digest not in legs_of[each.transaction.bundle]:
                legs_of[each.transaction.bundle].append(digest)
    mine = [_Bundle(one.id, tuple(leg.transaction for leg in one.legs), one) for one in own.values()]
    others = [_Bundle(key, tuple(legs), None) for key, legs in legs_of.items() if key not in own]
    return mine + others


def _slots(facts: RunFacts) -> Mapping[tuple[str, int], int]:
    """Slot of each block, by rollup and number."""
    return {
        (rollup, number): slot.number
        for sequencer in (facts.observed.sequencers.values() if facts.observed else ())
        for slot in sequencer.slots
        for rollup, (number, _) in slot.blocks.items()
    }
