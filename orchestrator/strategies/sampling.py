"""Strategies drawn at random, for loads; often with a leg that must fail. Pure."""

import random
from dataclasses import replace

from orchestrator.strategies import presets
from orchestrator.strategies.model import Side, Strategy
from orchestrator.topology.plan import Plan

FAIL_SHARE = 0.3
"""Share of the load's strategies with a leg that must fail."""
QUANTITIES = (0.01, 0.05, 0.1)
"""Units of the underlying that a strategy is drawn for."""
LARGEST_LEG = 2_000
"""1e-4 units: twice the largest, as a butterfly has it in its middle."""


def random_strategy(plan: Plan, rng: random.Random) -> Strategy:
    """A preset on rollups chosen at random, often with a leg that must fail."""
    market = plan.market
    assert market is not None, "strategies need a market"
    rollups = tuple(
        rng.sample(
            sorted(rollup.name for rollup in plan.rollups), k=min(len(plan.rollups), rng.randint(2, 4))
        )
    )
    quantity = rng.choice(QUANTITIES)
    strategy = presets.build(rng.choice(sorted(presets.PRESETS)), market, rollups=rollups, quantity=quantity)
    if rng.random() < FAIL_SHARE:
        return with_failing_leg(strategy, rng.randrange(len(strategy.legs)))
    return strategy


def with_failing_leg(strategy: Strategy, index: int) -> Strategy:
    """The strategy with a limit on one leg that no market meets: the leg reverts on its rollup."""
    legs = list(strategy.legs)
    impossible = 1 if legs[index].side is Side.BUY else 10**15
    legs[index] = replace(legs[index], limit=impossible)
    return replace(strategy, legs=tuple(legs))
