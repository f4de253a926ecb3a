"""From spec to plan: every choice that the file left open is made here, and always the same way.

Pure: no clock, no disk, no chance. The same spec gives the same plan on every machine, and adding a rollup changes
nothing about the others.
"""

import math
from decimal import Decimal

from orchestrator.topology.accounts import derive_roles, derive_users
from orchestrator.topology.errors import InvalidTopology, Problem, render_path
from orchestrator.topology.limits import node_limits
from orchestrator.topology.plan import (
    L1_BRIDGE,
    L1Plan,
    MarketPlan,
    MessagingPlan,
    Plan,
    RollupPlan,
    SettlementPlan,
)
from orchestrator.topology.rules import broken_rules, chain_ids
from orchestrator.topology.spec import MarketSpec, RollupSpec, TopologySpec
from orchestrator.topology.timing import (
    block_time,
    idle_gap,
    proposal_interval,
    publish_every,
    sequencing_window,
)

STRIKES_EACH_SIDE = 4
"""Default strikes below and above the one nearest to spot: enough for a condor with a wing to spare on both sides."""

_WIDEST_STEP = Decimal("0.05")
"""Of spot: four steps stay within a fifth of it."""


def make_plan(spec: TopologySpec) -> Plan:
    """Decide everything that the spec leaves open.

    Raises:
        InvalidTopology: the spec breaks a rule that ties fields together (one read from a file never does).
    """
    if findings := broken_rules(spec):
        raise InvalidTopology(
            Problem(spec.name, 0, 0, render_path(finding.path), finding.message, finding.hint)
            for finding in findings
        )
    return Plan(
        name=spec.name,
        seed=spec.seed,
        runtime=spec.runtime,
        l1=L1Plan(
            chain_id=spec.l1.chain_id,
            block_time_s=spec.l1.block_time,
            confirmations=spec.l1.confirmations,
        ),
        rollups=_plan_rollups(spec),
        messaging=_plan_messaging(spec),
        market=_plan_market(spec.market) if spec.market else None,
        users=derive_users(spec.seed, spec.accounts),
        roles=derive_roles(spec.seed, spec.rollups, own_batchers=spec.messaging.mode == L1_BRIDGE),
        limits=node_limits(spec),
    )


def _plan_rollups(spec: TopologySpec) -> tuple[RollupPlan, ...]:
    ids = chain_ids(spec)
    return tuple(
        RollupPlan(
            name=name,
            chain_id=ids[name],
            engine=rollup.engine,
            block_gas_limit=rollup.block_gas_limit,
            block_time_s=block_time(spec, rollup),
            dev_methods=rollup.dev_methods,
            data_availability=rollup.data_availability,
            settlement=_plan_settlement(spec, rollup),
        )
        for name, rollup in spec.rollups.items()
    )


def _plan_settlement(spec: TopologySpec, rollup: RollupSpec) -> SettlementPlan:
    interval = proposal_interval(spec, rollup)
    return SettlementPlan(
        challenge_period_s=math.ceil(rollup.settlement.challenge_period),
        proposal_interval=max(1, round(interval / idle_gap(spec, rollup))),
    )


def _plan_messaging(spec: TopologySpec) -> MessagingPlan:
    messaging = spec.messaging
    return MessagingPlan(
        mode=messaging.mode,
        slot_s=messaging.slot,
        mempool_limit=messaging.mempool_limit,
        publish_every_s=publish_every(spec),
        sequencing_window=sequencing_window(spec),
    )


def _plan_market(market: MarketSpec) -> MarketPlan:
    return MarketPlan(
        underlying=market.underlying,
        spot=market.spot,
        volatility=market.volatility,
        rate=market.rate,
        spread=market.spread,
        depth=market.depth,
        expiries_s=market.expiries,
        strikes=default_strikes(market.spot) if market.strikes is None else market.strikes,
        price_cap=round(market.spot * market.price_cap, 6),
    )


def default_strikes(spot: float) -> tuple[float, ...]:
    """Nine strikes around spot (USD), a round step apart: 1, 2, 2.5 or 5 times a power of ten, at most 5 % of spot."""
    exact = Decimal(repr(spot))
    widest = exact * _WIDEST_STEP
    power = Decimal(1).scaleb(widest.adjusted())
    step = max(power * factor for factor in (1, 2, Decimal("2.5"), 5) if power * factor <= widest)
    middle = (exact / step).to_integral_value() * step
    return tuple(float(middle + step * offset) for offset in range(-STRIKES_EACH_SIDE, STRIKES_EACH_SIDE + 1))
