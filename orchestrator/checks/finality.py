"""Finality: safe and finalized heads never go back, and what was under them stays; only another word of L1 moves a safe head."""

from collections.abc import Iterator
from itertools import pairwise

from orchestrator.checks.facts import LAG_NS, RunFacts
from orchestrator.checks.telling import short, when
from orchestrator.checks.verdict import CheckResult, CounterExample, judged

NAME, OF_WHAT = "finality", "sighted heads"


def check(facts: RunFacts) -> CheckResult:
    """Judge what an onlooker saw of every rollup, and what they serve in the end."""
    found: list[CounterExample] = []
    seen = moved = 0
    names = [rollup.name for rollup in facts.plan.rollups]
    for name in names:
        heads = _heads(facts, name)
        seen += len(heads)
        moved += len({number for tag, _, number, _ in heads if tag == "safe"}) > 1
        found += _monotonic(facts, name, heads)
        found += _kept(facts, name, heads)
    notes = [f"the safe head moved on {moved} of {len(names)} rollups"] if seen else []
    return judged(NAME, seen, OF_WHAT, found, notes=notes)


_Head = tuple[str, int, int, str]
"""Tag, moment, number and hash."""


def _heads(facts: RunFacts, name: str) -> list[_Head]:
    heads = [
        (tag, sighting.answered_ns, *sighting.heads[tag])
        for sighting in facts.sightings_before
        if sighting.node == name
        for tag in ("safe", "finalized")
        if tag in sighting.heads
    ]
    if facts.observed and name in facts.observed.rollups:
        last = facts.observed.rollups[name].heads
        heads += [(tag, facts.observed.at_ns, *last[tag]) for tag in ("safe", "finalized") if tag in last]
    return sorted(heads, key=lambda head: head[1])


def _monotonic(facts: RunFacts, name: str, heads: list[_Head]) -> Iterator[CounterExample]:
    for tag in ("safe", "finalized"):
        mine = [head for head in heads if head[0] == tag]
        for (_, earlier, before, _), (_, later, after, _) in pairwise(mine):
            excused = tag == "safe" and any(
                earlier - LAG_NS <= cut <= later for cut in facts.reorganisations_ns
            )
            if after < before and not excused:
                yield CounterExample(
                    (
                        f"{name}: the {tag} head went back from {before} to {after}",
                        f"seen at {when(facts, earlier)} and at {when(facts, later)}",
                    )
                )


def _kept(facts: RunFacts, name: str, heads: list[_Head]) -> Iterator[CounterExample]:
    if facts.observed is None or name not in facts.observed.rollups:
        return
    blocks = facts.observed.rollups[name].blocks
    for tag, moment, number, digest in heads:
        if tag == "safe" and facts.cut_since(moment):
            continue
        there = blocks[number].hash if number < len(blocks) else "none"
        if there != digest:
            yield CounterExample(
                (
                    f"{name}: block {number} was {tag} at {when(facts, moment)}, and is another now",
                    f"{tag} was {short(digest)}, now there is {short(there)}",
                )
            )
