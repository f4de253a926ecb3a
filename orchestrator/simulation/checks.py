"""Checkers: what must be true of everything that was seen. Each looks with its own eyes, and says what is wrong in words.

::

    while it runs   acknowledged · decided · stable · fenced · alive          (``world``, at the moment)
    afterwards      log · whole · once · judged · derived · published · drained  (here)
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from bridge.wire.transaction import decode_transaction
from orchestrator.simulation.accounts import transaction_hash
from orchestrator.simulation.facts import Facts, excused, waiting
from orchestrator.simulation.reference import Derived, derive, judged


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must not be."""

    checker: str
    what: str


CHECKERS: Mapping[str, str] = {
    "acknowledged": "an item that its sender was told is in stands in the durable log at that moment",
    "decided": "a rollup serves no transaction that no durable slot holds",
    "stable": "what a rollup has served is never replaced, unless L1 changed its mind or a window passed",
    "fenced": "a rollup that has heard a term answers no lower one",
    "alive": "no node ends by itself, unless its disk refuses or another took its place",
    "log": "the durable log never contradicts itself: slots follow, nothing ends twice or without having been admitted",
    "whole": "all legs of a bundle are decided, and take effect, or none; an item that ended otherwise has no effect",
    "once": "no transaction is twice on a rollup",
    "judged": "decisions are those of judging bundles one by one in the order of admission, each after those whose nonces it follows",
    "derived": "up to its safe head a rollup is what a naive reading of L1 from its genesis gives, state and blocks",
    "published": "every superbatch of the sequencer that L1 holds counts, once, as long as L1 does not change its mind",
    "drained": "when everything is healed everything acknowledged ends, is published and becomes safe",
}
"""By name: what each holds."""


def check(facts: Facts) -> list[Violation]:
    """Everything that is wrong, the first first."""
    legs = {key: item.raws for key, item in facts.ledger.items.items() if item.kind == "bundle"}
    derived = derive(facts.rules, facts.layer1.chain.blocks, legs)
    falls = excused(facts) or any(derived.naive.forced.values())
    found = [
        Violation(checker, what) for checker, what in facts.problems if not (checker == "stable" and falls)
    ]
    found += [Violation("log", what) for what in facts.ledger.problems if "part of bundle" not in what]
    found += [Violation("whole", what) for what in facts.ledger.problems if "part of bundle" in what]
    after: tuple[Callable[[Facts, Derived], Iterator[Violation]], ...] = (_effects, _judged, _derived)
    for look in after:
        found += look(facts, derived)
    if not falls:
        found += _published(facts, derived)
    if not facts.drained:
        rest = ", ".join(key[:10] for key in waiting(facts)[:3])
        found.append(
            Violation("drained", f"not drained after {facts.ended:g} s; waiting: {rest or 'nothing'}")
        )
    return found


def _effects(facts: Facts, _: Derived) -> Iterator[Violation]:
    seen, failed = _seen(facts)
    for (chain, digest), count in seen.items():
        if count > 1:
            yield Violation("once", f"{digest[:10]} is {count} times on rollup {chain}")
    for key, item in facts.ledger.items.items():
        places = [(decode_transaction(raw).chain_id, transaction_hash(raw)) for raw in item.raws]
        there = [place in seen for place in places]
        if item.kind == "bundle" and any(place in failed for place in places):
            yield Violation("whole", f"a leg of bundle {key[:10]} is on a rollup, and failed")
        if item.outcome in ("commit", "include"):
            settled = facts.drained and item.slot is not None and item.slot < facts.safe_slots
            if settled and not all(there):
                yield Violation("whole", f"{key[:10]} is decided, but has no effect on some rollup")
        elif any(there) and not _elsewhere(facts, key):
            yield Violation(
                "whole", f"{key[:10]} has an effect, though it is {item.outcome or 'not decided'}"
            )


def _seen(facts: Facts) -> tuple[Counter[tuple[int, str]], set[tuple[int, str]]]:
    """How often each transaction is on each rollup, and which of them failed there."""
    seen: Counter[tuple[int, str]] = Counter()
    failed: set[tuple[int, str]] = set()
    for chain, rollup in facts.rollups.items():
        blocks = (rollup.served.get(number) for number in range(1, rollup.head + 1))
        for digest, status in (each for made in blocks if made is not None for each in made.included):
            seen[chain, digest] += 1
            if status != "success":
                failed.add((chain, digest))
    return seen, failed


def _elsewhere(facts: Facts, key: str) -> bool:
    """Whether another item holds the same transaction and took effect, or whether the rollups are ahead of a log that L1 cut."""
    raws = set(facts.ledger.items[key].raws)
    others = (item for name, item in facts.ledger.items.items() if name != key)
    return any(item.outcome in ("commit", "include") and raws & set(item.raws) for item in others)


def _judged(facts: Facts, _: Derived) -> Iterator[Violation]:
    ledger = facts.ledger
    for wrong in judged(ledger.slots, ledger.forced, ledger.items, list(facts.rollups)):
        yield Violation("judged", wrong)


def _derived(facts: Facts, derived: Derived) -> Iterator[Violation]:
    for bundle in derived.torn:
        yield Violation("derived", f"L1 holds bundle {bundle[:10]} in part, or with a leg that fails")
    for chain, rollup in facts.rollups.items():
        states = derived.states[chain]
        safe = min(rollup.chain.safe if rollup.chain is not None else 0, rollup.head)
        if safe >= len(states):
            yield Violation(
                "derived", f"rollup {chain} says block {safe} is safe, L1 holds {len(states) - 1}"
            )
            continue
        ran = [digest for n in range(1, safe + 1) for digest, _ in rollup.served[n].included]
        if ran != states[safe].ran:
            yield Violation(
                "derived", f"rollup {chain} ran other transactions up to block {safe} than L1 holds"
            )
        held = rollup.served[safe].balances if safe else states[0].held
        if held != states[safe].held:
            yield Violation("derived", f"rollup {chain} has another state at block {safe} than L1 gives")


def _published(facts: Facts, derived: Derived) -> Iterator[Violation]:
    forged = facts.layer1.forgeries
    for l1_tx in derived.naive.ignored:
        if l1_tx not in forged:
            yield Violation("published", f"L1 holds {l1_tx[:10]}, which counts for nothing")
