"""What must hold of users' bundles and transactions after crashes, judged by the chains alone. Pure.

What the sequencer says is believed in one thing only: it must have a last word on whatever it acknowledged, and that word
must be what the chains show.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

TOOK_EFFECT = frozenset({"committed", "included"})
NO_EFFECT = frozenset({"aborted", "expired", "dropped"})


@dataclass(frozen=True, slots=True)
class Leg:
    """One transaction that a user signed."""

    rollup: str
    digest: str
    """Transaction hash."""
    sender: str
    nonce: int


@dataclass(frozen=True, slots=True)
class Item:
    """A bundle or a single transaction that a user sent, acknowledged or not."""

    id: str
    legs: tuple[Leg, ...]
    acknowledged: bool
    doomed: bool = False
    """Whether one of its legs fails wherever it is executed."""

    @property
    def is_bundle(self) -> bool:
        """Whether all of it or nothing takes effect; a single transaction may fail and be in a block."""
        return len(self.legs) > 1


@dataclass(frozen=True, slots=True)
class Execution:
    """A user's transaction in a block."""

    rollup: str
    block: int
    digest: str
    sender: str
    nonce: int
    success: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """What users sent, and what became of it."""

    items: Sequence[Item]
    executions: Sequence[Execution]
    """Every transaction of these users in the blocks that are looked at."""
    nonces: Mapping[tuple[str, str], tuple[int, int]]
    """Of each user on each rollup: before these blocks, and now."""
    statuses: Mapping[str, str | None]
    """Last words of the sequencer, by item; None where it knows nothing."""
    others: frozenset[str] = field(default_factory=frozenset)
    """Hashes of what was sent before, and may be among the executions."""


def broken(facts: Facts) -> tuple[str, ...]:
    """Everything that is wrong, a sentence each; empty if nothing is."""
    return (*_partial(facts), *_lost(facts), *_doubled(facts), *_unknown(facts))


def _partial(facts: Facts) -> list[str]:
    done = {each.digest: each for each in facts.executions}
    found = []
    for item in facts.items:
        if not item.is_bundle:
            continue
        legs = [done.get(leg.digest) for leg in item.legs]
        present = [leg is not None for leg in legs]
        if any(present) and not all(present):
            where = ", ".join(leg.rollup for leg, there in zip(item.legs, present, strict=True) if there)
            found.append(f"partial: bundle {item.id} has legs on {where} only")
        if any(leg is not None and not leg.success for leg in legs):
            found.append(f"partial: bundle {item.id} has a failed leg in a block")
    return found


def _lost(facts: Facts) -> list[str]:
    done = {each.digest for each in facts.executions}
    found = []
    for item in facts.items:
        status = facts.statuses.get(item.id)
        effect = any(leg.digest in done for leg in item.legs)
        if item.acknowledged and status is None:
            found.append(f"lost: {item.id} was acknowledged, and is unknown")
        elif item.acknowledged and status not in TOOK_EFFECT | NO_EFFECT:
            found.append(f"lost: {item.id} was acknowledged, and is {status}")
        elif status in TOOK_EFFECT and not effect:
            found.append(f"lost: {item.id} is {status}, and no chain has it")
        elif effect and status not in TOOK_EFFECT:
            found.append(f"lost: {item.id} took effect, and is {status}")
        if item.doomed and item.is_bundle and effect:
            found.append(f"partial: bundle {item.id} has a failing leg, and took effect")
    return found


def _doubled(facts: Facts) -> list[str]:
    by_digest = Counter((each.rollup, each.digest) for each in facts.executions)
    by_nonce = Counter((each.rollup, each.sender, each.nonce) for each in facts.executions)
    found = [
        f"double: {digest} is {n} times on {rollup}" for (rollup, digest), n in by_digest.items() if n > 1
    ]
    found += [
        f"double: nonce {nonce} of {sender} was used {n} times on {rollup}"
        for (rollup, sender, nonce), n in by_nonce.items()
        if n > 1
    ]
    counts = Counter((each.rollup, each.sender) for each in facts.executions)
    for (rollup, sender), (before, after) in facts.nonces.items():
        if after - before != counts[rollup, sender]:
            found.append(
                f"double: {sender} on {rollup} went from nonce {before} to {after} by {counts[rollup, sender]} transactions"
            )
    return found


def _unknown(facts: Facts) -> list[str]:
    sent = {leg.digest for item in facts.items for leg in item.legs} | facts.others
    return [
        f"ghost: {each.digest} in block {each.block} of {each.rollup} was never sent"
        for each in facts.executions
        if each.digest not in sent
    ]
