"""Our own contracts between rollups, in both geneses: what they are constructed with. Pure.

::

    rollup A                           L1                              rollup B
    CrossRollupMailbox ◄──────► MessageRouter    ◄──────► CrossRollupMailbox
    LegEscrow          ◄──────► StrategyRegistry ◄──────► LegEscrow           (where there is a market)

Those on L1 know every rollup's messenger, for good, so what they hold depends on which rollups there are; where they are does
not. Those on rollups know only where their counterpart on L1 is, so no rollup's genesis depends on another rollup.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

from bridge.contracts.addresses import CROSS_ROLLUP_MAILBOX, LEG_ESCROW, OPTIONS_MARKET
from bridge.contracts.artifacts import artifact
from orchestrator.settlement.deployments import Deployments, role_of
from orchestrator.settlement.recipes import Placement, Recipe
from orchestrator.topology.plan import Plan

REFUND_SLACK_S: Final = 30
"""What a deposit may be late beyond the sequencing window before it can cost a strategy a leg, seconds: for the difference between
the clocks of L1 and of a rollup, and for blocks that L1 makes late."""

_AT: Final = {"CrossRollupMailbox": CROSS_ROLLUP_MAILBOX, "LegEscrow": LEG_ESCROW}


def refund_margin_s(plan: Plan) -> int:
    """Least time between a strategy's decision on L1 and its refund on rollups, whole seconds (``StrategyRegistry.MARGIN``).

    A decision is a deposit, and derivation puts a deposit into a rollup at the latest when the sequencing window of its L1 block is
    over, whatever the sequencer does. So nobody can take a leg back while a commit may still be on its way.
    """
    return math.ceil(plan.messaging.sequencing_window * plan.l1.block_time_s) + REFUND_SLACK_S


def l1_arguments(plan: Plan, where: Deployments) -> Mapping[str, tuple[Any, ...]]:
    """Constructor arguments of our contracts on L1, by name."""
    rollups = [(rollup.chain_id, rollup.messenger) for rollup in where.rollups.values()]
    return {"MessageRouter": (rollups,), "StrategyRegistry": (rollups, refund_margin_s(plan))}


def l2_arguments(plan: Plan, where: Deployments) -> Mapping[str, tuple[Any, ...]]:
    """Constructor arguments of our contracts on every rollup, by name; without a market there is no escrow."""
    mailbox = {"CrossRollupMailbox": (where.l1["MessageRouter"],)}
    if plan.market is None:
        return mailbox
    return {**mailbox, "LegEscrow": (where.l1["StrategyRegistry"], OPTIONS_MARKET)}


def l2_messages_recipe(plan: Plan, where: Deployments) -> Recipe:
    """What to run for our contracts on a rollup; the same for all rollups of a plan.

    Raises:
        GenesisError: the plan has no deployer.
    """
    deployer = role_of(plan, "deployer").address
    placements = tuple(
        Placement(_AT[name], artifact(name).deployment(*arguments), deployer)
        for name, arguments in l2_arguments(plan, where).items()
    )
    return Recipe(placements, (), tuple(part.address for part in placements))
