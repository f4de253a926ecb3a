"""What a strategy takes of its owner's cash under portfolio margin: in one account, rollup by rollup, and with its legs locked. Pure.

The rules, and every figure, are those of options rollups (``rollup_node/engines/options/risk``), at the market's prices: the word that their
feed would say. Only options rollups margin so, and only those of one sequencing set lock combos; an EVM rollup asks for the whole of what a
leg can lose, whatever else its owner has, and that is told beside the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.market.board import Terms
from orchestrator.market.feed import Statement, update_of
from orchestrator.market.units import price_units
from orchestrator.strategies.errors import StrategyError
from orchestrator.strategies.model import Kind, Leg, Strategy
from orchestrator.strategies.payoff import Holding, collateral
from orchestrator.strategies.resolve import place
from orchestrator.topology.plan import SHARED_SEQUENCER, MarketPlan, Plan, RollupPlan
from rollup_node.engines.options.risk.comparison import Comparison, compare
from rollup_node.engines.options.risk.rows import OracleState, SeriesRisk, risk_row, series_risk
from rollup_node.engines.options.risk.rows import Terms as SeriesTerms

_UNDERLYING = 1


@dataclass(frozen=True, slots=True)
class RollupCapital:
    """One rollup's figures, 1e-6 USD."""

    rollup: str
    engine: str
    legs: tuple[int, ...]
    """Places in the strategy."""
    separate: int
    """Own capital by the rules of options rollups, its legs margined by themselves."""
    locked: int | None
    """The same with the strategy locked; None where it has no maximum loss."""
    collateral: int | None
    """What an EVM rollup asks for instead; None of an options rollup."""

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "rollup": self.rollup,
            "engine": self.engine,
            "legs": list(self.legs),
            "separate": self.separate,
            "locked": self.locked,
            "collateral": self.collateral,
        }


@dataclass(frozen=True, slots=True)
class Capital:
    """A strategy's own capital, 1e-6 USD."""

    netted: int
    """All legs in one account."""
    separate: int
    locked: int | None
    rollups: tuple[RollupCapital, ...]
    lockable: bool
    """Whether these rollups can lock it: all of them options rollups under one sequencer, and it has a maximum loss."""

    @property
    def ratio(self) -> float | None:
        """Separate to netted; None where netted needs nothing."""
        return self.separate / self.netted if self.netted else None

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "netted": self.netted,
            "separate": self.separate,
            "locked": self.locked,
            "ratio": self.ratio,
            "lockable": self.lockable,
            "rollups": [rollup.to_json() for rollup in self.rollups],
        }


def own_capital(strategy: Strategy, plan: Plan, market: MarketPlan) -> Capital:
    """What a strategy takes on a topology's rollups, before anything is traded.

    Args:
        strategy: its legs go where a run of it would put them.
        plan: whose rollups.
        market: whose prices.

    Raises:
        ResolutionError: a leg names a rollup that doesn't exist.
        StrategyError: two legs are one series on one rollup.
    """
    rollups = place(strategy, plan.rollups)
    names = [rollup.name for rollup in rollups]
    series = [_terms(leg, market) for leg in strategy.legs]
    if len(set(zip(names, series, strict=True))) < len(series):
        raise StrategyError(
            f"{strategy.name} has two legs of one series on one rollup", "make one leg of them"
        )
    numbers = {terms: number for number, terms in enumerate(dict.fromkeys(series))}
    known = {
        terms: SeriesTerms(number, _UNDERLYING, terms.expiry, terms.strike, terms.is_call)
        for terms, number in numbers.items()
    }
    risks = _risks(market, list(known), list(known.values()))
    legs = [(leg.signed_quantity, known[terms]) for leg, terms in zip(strategy.legs, series, strict=True)]
    found = compare(legs, risks, names)
    return Capital(
        netted=found.netted,
        separate=found.separate,
        locked=found.locked,
        rollups=tuple(_parts(strategy, market, rollups, found)),
        lockable=found.locked is not None and _one_set_of_options_rollups(rollups, plan),
    )


def _parts(
    strategy: Strategy, market: MarketPlan, rollups: Sequence[RollupPlan], found: Comparison
) -> list[RollupCapital]:
    cap = price_units(market.price_cap)
    parts = []
    for rollup, part in zip({one.name: one for one in rollups}.values(), found.parts, strict=True):
        legs = tuple(index for index, one in enumerate(rollups) if one.name == rollup.name)
        held = (strategy.legs[index] for index in legs)
        asked = sum(collateral(Holding(leg.kind, leg.strike, leg.signed_quantity), cap) for leg in held)
        parts.append(
            RollupCapital(
                rollup.name,
                rollup.engine,
                legs,
                part.separate,
                part.locked,
                None if rollup.options is not None else asked,
            )
        )
    return parts


def _one_set_of_options_rollups(rollups: Sequence[RollupPlan], plan: Plan) -> bool:
    return all(rollup.options is not None for rollup in rollups) and plan.messaging.mode == SHARED_SEQUENCER


def _terms(leg: Leg, market: MarketPlan) -> Terms:
    expiry = round(leg.expiry_s or max(market.expiries_s))
    return Terms(market.underlying, leg.strike, expiry, leg.kind is Kind.CALL)


def _risks(market: MarketPlan, terms: list[Terms], series: list[SeriesTerms]) -> dict[int, SeriesRisk]:
    """Of each series, as the feed's first word would make it at the devnet's start."""
    spot = price_units(market.spot)
    _, sequence, timestamp, _, discount, confidence, forwards, volatilities = update_of(
        market, terms, Statement(0, spot), 1
    )
    by_place = {(expiry, strike): volatility for expiry, strike, volatility in volatilities}
    oracle = OracleState(
        _UNDERLYING, spot, dict(forwards), {one.series: by_place[one.expiry, one.strike] for one in series},
        discount, confidence, sequence, timestamp,
    )  # fmt: skip
    return {one.series: series_risk(one, risk_row(one, oracle), oracle) for one in series}
