"""Agreement: every chain hangs together, is what its nodes served while it ran, and is what L1 alone gives again from genesis.

The last is the strongest witness: every rollup rebuilt in fresh engines from what is on L1, block by block (:mod:`orchestrator.verification`).
"""

from collections.abc import Iterator
from itertools import pairwise

from orchestrator.checks.facts import RunFacts
from orchestrator.checks.observed import RollupSeen
from orchestrator.checks.telling import short, when
from orchestrator.checks.verdict import CheckResult, CounterExample, judged
from orchestrator.verification import Verification

NAME, OF_WHAT = "agreement", "blocks"
REPLAY, REPLAYED = "replay from L1", "rebuilt blocks"


def check(facts: RunFacts) -> CheckResult:
    """Judge the observed chains and what was seen of them before."""
    observed = facts.observed
    if observed is None:
        return judged(NAME, 0, OF_WHAT)
    found: list[CounterExample] = []
    for name, rollup in observed.rollups.items():
        found += _chain(name, rollup)
    found += _sighted(facts)
    seen = sum(len(rollup.blocks) for rollup in observed.rollups.values())
    return judged(
        NAME, seen, OF_WHAT, found, unknown=[f"{name} was not observed" for name in facts.unobserved]
    )


def check_replay(facts: RunFacts) -> CheckResult:
    """Judge what was rebuilt from L1."""
    rebuilt = facts.rebuilt
    if not isinstance(rebuilt, Verification):
        why = "it was not tried" if rebuilt is None else rebuilt
        return judged(REPLAY, 0, REPLAYED, unknown=[f"nothing was rebuilt: {why}"])
    found = [
        CounterExample(
            (
                f"{name}{'' if one.block is None else f' block {one.block}'}: {one.what} differs",
                f"claimed {one.claimed} ({one.where})",
                f"derived {one.derived}",
            )
        )
        for name, one in rebuilt.findings
    ]
    unseen = [f"{name}: {why}" for name, why in rebuilt.uncompared.items()]
    notes = [
        f"{rebuilt.slots} slots, {rebuilt.bundles} bundles, {rebuilt.forced} forced blocks, {rebuilt.outputs} output roots"
    ]
    return judged(REPLAY, sum(rebuilt.blocks.values()), REPLAYED, found, notes=notes, unknown=unseen)


def _chain(name: str, rollup: RollupSeen) -> Iterator[CounterExample]:
    for before, after in pairwise(rollup.blocks):
        if after.number != before.number + 1 or after.parent != before.hash:
            yield CounterExample(
                (
                    f"{name}: block {after.number} does not follow block {before.number}",
                    f"its parent is {after.parent}",
                    f"the block before is {before.hash}",
                )
            )
        if after.timestamp < before.timestamp or (after.origin or 0) < (before.origin or 0):
            yield CounterExample(
                (
                    f"{name}: block {after.number} goes back in time",
                    f"timestamps {before.timestamp}, {after.timestamp}; l1 origins {before.origin}, {after.origin}",
                )
            )


def _sighted(facts: RunFacts) -> Iterator[CounterExample]:
    """A block that was served is on the chain in the end, unless L1 took back that very block since."""
    observed = facts.observed
    assert observed is not None, "the caller looked"
    for sighting in facts.sightings_before:
        rollup = observed.rollups.get(sighting.node)
        if rollup is None:
            continue
        for tag, (number, digest) in sighting.heads.items():
            there = rollup.blocks[number].hash if number < len(rollup.blocks) else "none"
            if there != digest and not facts.cuts.block(sighting.node, number, sighting.answered_ns):
                yield CounterExample(
                    (
                        f"{sighting.node} has another block {number} than it served as {tag} at {when(facts, sighting.answered_ns)}",
                        f"served {short(digest)}, now {short(there)}",
                    )
                )
