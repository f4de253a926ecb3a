"""Finality: safe and finalized heads never go back, and what was under them stays; only another word of L1 moves a safe head."""

from collections.abc import Iterator
from itertools import pairwise

from orchestrator.checks.facts import Placed, RunFacts
from orchestrator.checks.telling import short, when
from orchestrator.checks.verdict import CheckResult, CounterExample, judged

NAME, OF_WHAT = "finality", "sighted heads"


def check(facts: RunFacts) -> CheckResult:
    """Judge what an onlooker saw of every rollup, and what they serve in the end."""
    found: list[CounterExample] = []
    seen = moved = 0
    unseen: set[str] = set()
    names = [rollup.name for rollup in facts.plan.rollups]
    for name in names:
        heads = _heads(facts, name)
        seen += len(heads)
        if not any(one.node == name and one.heads for one in facts.sightings):
            unseen.add(name)
        moved += len({number for tag, _, number, _ in heads if tag == "safe"}) > 1
        found += _monotonic(facts, name, heads)
        found += _kept(facts, name, heads)
    notes = [f"the safe head moved on {moved} of {len(names)} rollups"] if seen else []
    unknown = [f"{name} was not observed" for name in facts.unobserved if facts.observed is not None]
    unknown += [f"nobody looked at {name} while it ran" for name in names if name in unseen]
    return judged(NAME, seen, OF_WHAT, found, notes=notes, unknown=unknown)


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
            if after < before and not (tag == "safe" and _taken_back(facts, name, after, earlier, later)):
                yield CounterExample(
                    (
                        f"{name}: the {tag} head went back from {before} to {after}",
                        f"seen at {when(facts, earlier)} and at {when(facts, later)}",
                    )
                )


def _taken_back(facts: RunFacts, name: str, after: int, earlier: int, later: int) -> bool:
    """Whether L1 took back, between two looks, all that the safe head lost: no block above where it went was on an L1 block that stayed."""
    return any(
        after >= _carried(facts, name, change.lowest, change.at_ns)
        for change in facts.cuts.of_l1(earlier, later)
    )


def _carried(facts: RunFacts, name: str, lowest: int, before_ns: int) -> int:
    """The last block of a rollup with a bundle that was published in an L1 block below a number."""
    blocks = [
        where.block
        for event in facts.named("bundle.published")
        if event.mono_ns < before_ns and int(event.attrs.get("l1_block", lowest)) < lowest
        for where in _places(facts, event.bundle_id or event.msg_id)
        if where.rollup == name
    ]
    return max(blocks, default=0)


def _places(facts: RunFacts, key: str | None) -> Iterator[Placed]:
    """Where the legs of a bundle are, or a transaction."""
    for digest in facts.legs_of.get(key or "", (key or "",)):
        yield from facts.placed.get(digest, ())[:1]


def _kept(facts: RunFacts, name: str, heads: list[_Head]) -> Iterator[CounterExample]:
    if facts.observed is None or name not in facts.observed.rollups:
        return
    blocks = facts.observed.rollups[name].blocks
    for tag, moment, number, digest in heads:
        there = blocks[number].hash if number < len(blocks) else "none"
        if there != digest and not (tag == "safe" and facts.cuts.block(name, number, moment)):
            yield CounterExample(
                (
                    f"{name}: block {number} was {tag} at {when(facts, moment)}, and is another now",
                    f"{tag} was {short(digest)}, now there is {short(there)}",
                )
            )
