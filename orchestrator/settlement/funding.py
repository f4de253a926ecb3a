"""Who starts with how much ether, and on which chain. Pure.

The ether of a rollup's genesis never came through its portal, and yet must be able to leave by it. So each portal starts
with as much on L1 as its rollup starts with on L2: from block 0 on, what a rollup holds is what its portal holds for it.
"""

from orchestrator.topology.accounts import batcher_of, challenger_of, proposer_of
from orchestrator.topology.plan import Account, Plan

ACCOUNT_BALANCE = 10_000 * 10**18
"""Wei for every user and role, on each chain where it acts."""

OF_ROLLUPS = (batcher_of, proposer_of, challenger_of)
"""Names of the roles that act on L1 for one rollup."""


def funded_on_l1(plan: Plan) -> tuple[Account, ...]:
    """Everybody."""
    return (*plan.users, *plan.roles)


def funded_on_rollups(plan: Plan) -> tuple[Account, ...]:
    """Users, and the roles that a devnet has once.

    Batchers, proposers and challengers act on L1 for one rollup each, and the genesis of a rollup must not change with the others.
    """
    elsewhere = {name(rollup.name) for rollup in plan.rollups for name in OF_ROLLUPS}
    return (*plan.users, *(role for role in plan.roles if role.name not in elsewhere))


def rollup_supply(plan: Plan) -> int:
    """Wei that every rollup starts with, and that every portal therefore holds on L1."""
    return ACCOUNT_BALANCE * len({person.address for person in funded_on_rollups(plan)})
