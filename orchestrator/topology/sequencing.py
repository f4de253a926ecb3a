"""Which sequencer orders which rollups: one set for all, or each rollup a set of its own. Pure.

Everything else follows from the sets: nodes, keys, inboxes, and where a bundle can be atomic.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.topology.names import SEQUENCER, sequencer_of
from orchestrator.topology.plan import SHARED_SEQUENCER, Plan, RollupPlan


@dataclass(frozen=True, slots=True)
class SequencingSet:
    """Rollups in the slots of one sequencer."""

    node: str
    """Name of the sequencer's node."""
    rollups: tuple[RollupPlan, ...]
    """In the order of the file."""


def sequencing_sets(plan: Plan) -> tuple[SequencingSet, ...]:
    """Every set of a devnet; each rollup is in exactly one."""
    if plan.messaging.mode == SHARED_SEQUENCER:
        return (SequencingSet(SEQUENCER, plan.rollups),)
    return tuple(SequencingSet(sequencer_of(rollup.name), (rollup,)) for rollup in plan.rollups)


def sets_of(plan: Plan, rollups: Iterable[str]) -> tuple[SequencingSet, ...]:
    """The sets that some rollups are in, each once, in the order of the plan; names that the plan lacks count for nothing."""
    names = set(rollups)
    return tuple(one for one in sequencing_sets(plan) if any(rollup.name in names for rollup in one.rollups))
