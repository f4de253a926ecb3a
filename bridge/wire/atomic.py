"""The bundle rule: all legs succeed on every rollup, or the state is as if the bundle were not there.

A slot is staged optimistically: every rollup executes its share of all bundles, and the results come here. Which failures are
final? Bundles are judged in their global order, each in the state that the committed ones before it leave. A bundle's result
counts only if that is the state it ran in, that is, if no bundle before it that touches one of its rollups is removed
or itself in doubt. So the walk keeps a set of *tainted* rollups:

- a bundle that touches no tainted rollup ran in its true state: success is final, failure is an abort, and an abort
  taints every rollup of the bundle (whatever ran there afterwards ran on top of effects that will vanish);
- a bundle that touches a tainted rollup is in doubt, and taints its own rollups in turn.

The first failure in order is always final, so each round of staging settles at least one bundle; with no failure at all
nothing is in doubt. The result equals judging the bundles one by one, which a property test holds against a naive
sequential model. Rejected: dropping every failing bundle at once (a bundle that fails only because of a doomed predecessor
would be aborted), and dropping one per round (correct, but a slot with many unrelated failures would take as many rounds).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Status = Literal["success", "failed", "invalid", "gap"]
"""``failed`` reverted; ``invalid`` could not enter a block; ``gap`` waits for an earlier nonce."""


@dataclass(frozen=True, slots=True)
class LegResult:
    """What staging said about one leg."""

    leg: int
    chain_id: int
    status: Status
    reason: str = ""
    data: str = "0x"
    """Revert data."""


@dataclass(frozen=True, slots=True)
class Abort:
    """A final failure and the leg that caused it."""

    bundle: str
    cause: LegResult


@dataclass(frozen=True, slots=True)
class Verdict:
    """One round's conclusions."""

    aborted: tuple[Abort, ...]
    certain: tuple[str, ...]
    """Bundles that succeeded in their true state; later rounds cannot change that."""
    deferred: tuple[str, ...]
    """Bundles that cannot run yet (a nonce before theirs is missing): they leave this slot without an end."""

    @property
    def settled(self) -> bool:
        """Nothing must be removed: unless a rollup was tainted, every bundle of the round takes effect."""
        return not self.aborted and not self.deferred


def judge(
    order: Sequence[str], results: Mapping[str, Sequence[LegResult]], tainted: Iterable[int] = ()
) -> Verdict:
    """Judge one round of staging.

    Args:
        order: bundle hashes in global order.
        results: by bundle hash, the result of each leg; on each rollup legs ran in bundle order, then leg order.
        tainted: chain ids whose results count for nothing (a rollup that must be staged again anyway).

    Returns:
        What must be removed before the next round; ``settled`` if nothing must.
    """
    doubtful = set(tainted)
    aborted: list[Abort] = []
    certain: list[str] = []
    deferred: list[str] = []
    for bundle in order:
        legs = results[bundle]
        chains = {leg.chain_id for leg in legs}
        failures = [leg for leg in legs if leg.status != "success"]
        if not failures and not chains & doubtful:
            certain.append(bundle)
            continue
        if not chains & doubtful:
            gaps = [leg for leg in failures if leg.status == "gap"]
            if gaps:
                deferred.append(bundle)
            else:
                aborted.append(Abort(bundle, min(failures, key=lambda leg: leg.leg)))
        doubtful |= chains
    return Verdict(tuple(aborted), tuple(certain), tuple(deferred))
