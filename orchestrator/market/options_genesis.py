"""The genesis of options rollups: their markets, their feed's signers, everybody's cash, and whom they speak to on L1. Pure; the engine reads it.

Which fields there are is said by :mod:`rollup_node.engines.options.genesis`. Series aren't among them, because their expiries count from the
devnet's start: the feed's first update and their listing come with the first blocks.
"""

import math
from typing import Any

from orchestrator.market.errors import GenesisError
from orchestrator.market.units import PRICE_SCALE, QUANTITY_SCALE, price_units, quantity_units
from orchestrator.settlement.deployments import deployments
from orchestrator.settlement.funding import UNDERLYING, cash_on_options
from orchestrator.settlement.geth_genesis import GENESIS_BASE_FEE, GENESIS_TIME
from orchestrator.topology.plan import (
    BreakersPlan,
    FeesPlan,
    LiquidationPlan,
    MarketPlan,
    OptionsPlan,
    Plan,
    RollupPlan,
)
from orchestrator.topology.sequencing import sets_of

_PARTS = 1_000_000
"""Shares are parts per million."""
_DAY_S = 86_400
_POSITIONS = 32
"""Of one account at least; the market maker inside may come to hold every series."""
_LONGEST_LIFE_S = 400 * _DAY_S
"""How far ahead a series may expire, unless the market's own go further, seconds."""


def options_genesis(plan: Plan, rollup: RollupPlan, options: OptionsPlan) -> dict[str, Any]:
    """The genesis of one options rollup.

    Raises:
        GenesisError: the plan has no market.
    """
    if plan.market is None:
        raise GenesisError(f"{rollup.name} is an options rollup, and {plan.name} has no market", "add one")
    where = deployments(plan)
    here = where.rollups[rollup.name]
    (sequenced,) = sets_of(plan, [rollup.name])
    peers = [one for one in sequenced.rollups if one.options is not None and one != rollup]
    return {
        "chainId": rollup.chain_id,
        "timestamp": GENESIS_TIME,
        "baseFee": 0 if options.gas_free else GENESIS_BASE_FEE,
        "parameters": {
            "gas_limit": rollup.block_gas_limit,
            "gas_free": options.gas_free,
            "step_roots": options.step_roots,
            "signers_needed": options.signatures_needed,
            "max_oracle_age": options.max_oracle_age_s,
            "taker_fee_ppm": _parts(options.taker_fee),
            "maker_fee_ppm": _parts(options.maker_fee),
            **_fees(options.fees),
            **_liquidation(options.liquidation),
            **_breakers(options.breakers),
            "twap_seconds": options.settlement_average_s,
            "max_positions": max(_POSITIONS, len(plan.market.strikes) * len(plan.market.expiries_s) * 2),
        },
        "markets": {str(UNDERLYING): _market(plan.market, options)},
        "signers": sorted(signer.address.lower() for signer in options.oracle_signers),
        "peers": {str(one.chain_id): where.rollups[one.name].portal.lower() for one in peers},
        "l1": {
            "messenger": here.messenger.lower(),
            "router": where.l1["MessageRouter"].lower(),
            "registry": where.l1["StrategyRegistry"].lower(),
        },
        "cash": {address: str(cash) for address, cash in sorted(cash_on_options(plan, options).items())},
    }


def _market(market: MarketPlan, options: OptionsPlan) -> dict[str, Any]:
    longest = math.ceil(max(market.expiries_s)) + _DAY_S
    return {
        "symbol": market.underlying,
        "tick": price_units(options.tick),
        "lot": quantity_units(options.lot),
        "strike_step": math.gcd(PRICE_SCALE, *map(price_units, market.strikes)),
        "longest_life": max(longest, _LONGEST_LIFE_S),
        "amm_limit": round(options.amm_exposure * PRICE_SCALE) * QUANTITY_SCALE,
        "amm_skew": _parts(options.amm_skew),
        "amm_spread": _parts(options.amm_spread),
    }


def _fees(fees: FeesPlan) -> dict[str, int]:
    return {
        "amm_fee_ppm": _parts(fees.amm),
        "combo_fee_ppm": _parts(fees.combo),
        "liquidation_fee_ppm": _parts(fees.liquidation),
        "liquidation_insurance_ppm": _parts(fees.liquidation_insurance),
        "insurance_share_ppm": _parts(fees.insurance),
        "order_fee": price_units(fees.per_order),
        "cancel_fee": price_units(fees.per_cancel),
        "amm_fee": price_units(fees.per_amm_trade),
        "combo_fee": price_units(fees.per_combo),
        "transfer_fee": price_units(fees.per_transfer),
        "withdrawal_fee": price_units(fees.per_withdrawal),
        "account_fee": price_units(fees.per_account),
        "listing_fee": price_units(fees.per_listing),
    }


def _liquidation(said: LiquidationPlan) -> dict[str, int]:
    return {
        "close_share_ppm": _parts(said.close),
        "bound_ppm": _parts(said.bound),
        "auction_fast_seconds": said.fast_s,
        "auction_slow_seconds": said.slow_s,
        "auction_insolvent_seconds": said.insolvent_s,
        "auction_start_ppm": _parts(said.start),
        "auction_middle_ppm": _parts(said.middle),
        "auction_buffer_ppm": _parts(said.buffer),
        "max_insurance_loss": price_units(said.insurance),
        "backstop_penalty_ppm": _parts(said.penalty),
    }


def _breakers(breakers: BreakersPlan) -> dict[str, int | bool]:
    return {
        "breaker_deviation_ppm": _parts(breakers.deviation),
        "breaker_fast_seconds": breakers.fast_average_s,
        "breaker_slow_seconds": breakers.slow_average_s,
        "breaker_heartbeat": breakers.heartbeat_s,
        "breaker_confidence_ppm": _parts(breakers.confidence),
        "breaker_insolvency": breakers.insolvency,
        "breaker_freeze_ppm": _parts(breakers.freeze),
        "breaker_volume": price_units(breakers.volume),
        "breaker_window": breakers.volume_window_s,
        "breaker_open_interest": quantity_units(breakers.open_interest),
        "breaker_cool_off": breakers.cool_off_s,
        "breaker_initial_ppm": _parts(breakers.margin),
        "withdrawal_cap_ppm": _parts(breakers.withdrawal_cap),
        "withdrawal_window": breakers.withdrawal_window_s,
    }


def _parts(share: float) -> int:
    return round(share * _PARTS)
