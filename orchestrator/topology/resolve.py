"""From spec to plan: every choice that the file left open is made here, and always the same way.

Pure: no clock, no disk, no chance. The same spec gives the same plan on every machine, and adding a rollup changes
nothing about the others.
"""

import math

from orchestrator.topology.accounts import derive_oracle_signers, derive_roles, derive_users
from orchestrator.topology.errors import InvalidTopology, Problem, render_path
from orchestrator.topology.limits import node_limits
from orchestrator.topology.options_spec import BreakersSpec, LiquidationSpec, OptionsSpec
from orchestrator.topology.plan import (
    L1_BRIDGE,
    BreakersPlan,
    FeesPlan,
    L1Plan,
    LiquidationPlan,
    MarketPlan,
    MessagingPlan,
    OptionsPlan,
    Plan,
    RollupPlan,
    SettlementPlan,
)
from orchestrator.topology.rules import broken_rules, chain_ids
from orchestrator.topology.spec import MarketSpec, RollupSpec, TopologySpec
from orchestrator.topology.strikes import strikes_of
from orchestrator.topology.timing import (
    block_time,
    idle_gap,
    proposal_interval,
    publish_every,
    sequencing_window,
)


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
            options=_plan_options(spec.seed, rollup.options or OptionsSpec())
            if rollup.engine == "options"
            else None,
        )
        for name, rollup in spec.rollups.items()
    )


def _plan_settlement(spec: TopologySpec, rollup: RollupSpec) -> SettlementPlan:
    interval = proposal_interval(spec, rollup)
    return SettlementPlan(
        challenge_period_s=math.ceil(rollup.settlement.challenge_period),
        proposal_interval=max(1, round(interval / idle_gap(spec, rollup))),
    )


def _plan_options(seed: int, options: OptionsSpec) -> OptionsPlan:
    oracle, amm = options.oracle, options.amm
    return OptionsPlan(
        oracle_signers=derive_oracle_signers(seed, oracle.signers),
        signatures_needed=oracle.signers // 2 + 1 if oracle.needed is None else oracle.needed,
        max_oracle_age_s=math.ceil(oracle.max_age),
        step_roots=options.roots == "step",
        gas_free=options.gas_free,
        tick=options.tick,
        lot=options.lot,
        taker_fee=options.taker_fee,
        maker_fee=options.maker_fee,
        cash=options.cash,
        backstop_cash=options.backstop,
        settlement_average_s=math.ceil(options.settlement_average),
        amm_cash=amm.cash,
        amm_exposure=amm.exposure,
        amm_skew=amm.skew,
        amm_spread=amm.spread,
        fees=FeesPlan(**options.fees.model_dump()),
        breakers=_plan_breakers(options.breakers),
        liquidation=_plan_liquidation(options.liquidation),
    )


def _plan_liquidation(said: LiquidationSpec) -> LiquidationPlan:
    return LiquidationPlan(
        close=said.close,
        bound=said.bound,
        fast_s=math.ceil(said.fast),
        slow_s=math.ceil(said.slow),
        insolvent_s=math.ceil(said.insolvent),
        start=said.start,
        middle=said.middle,
        buffer=said.buffer,
        insurance=said.insurance,
        penalty=said.penalty,
    )


def _plan_breakers(said: BreakersSpec) -> BreakersPlan:
    return BreakersPlan(
        deviation=said.deviation,
        fast_average_s=math.ceil(said.fast_average),
        slow_average_s=math.ceil(said.slow_average),
        heartbeat_s=math.ceil(said.heartbeat or 0),
        confidence=said.confidence,
        insolvency=said.insolvency,
        freeze=said.freeze,
        volume=said.volume,
        volume_window_s=math.ceil(said.volume_window),
        open_interest=said.open_interest,
        cool_off_s=math.ceil(said.cool_off),
        margin=said.margin,
        withdrawal_cap=said.withdrawal_cap,
        withdrawal_window_s=math.ceil(said.withdrawal_window),
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
        strikes=strikes_of(market),
        price_cap=round(market.spot * market.price_cap, 6),
    )
