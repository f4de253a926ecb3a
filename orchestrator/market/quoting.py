"""What the maker offers: the listed series and a Black-Scholes quote for each. Pure."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.market.board import Board, Quote, Terms
from orchestrator.market.units import PRICE_SCALE, price_units, quantity_units, usd
from orchestrator.strategies.black_scholes import SECONDS_PER_YEAR, Model
from orchestrator.strategies.model import Kind
from orchestrator.topology.plan import MarketPlan

REFILL_BELOW = 0.5
"""A side that is consumed below this share of its depth is quoted anew."""
SMALLEST_MOVE = PRICE_SCALE // 1_000
"""A quote isn't renewed for a move below 0.001 USD, however cheap the option."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A quote and the series that it is for."""

    terms: Terms
    quote: Quote


def listed_series(market: MarketPlan, start: int) -> tuple[Terms, ...]:
    """Every series: expiries by strikes by call and put, in that order.

    Args:
        market: the plan.
        start: unix seconds that the plan's ``expiries_s`` count from.
    """
    return tuple(
        Terms(market.underlying, price_units(strike), start + math.ceil(expiry), is_call)
        for expiry in sorted(market.expiries_s)
        for strike in sorted(market.strikes)
        for is_call in (True, False)
    )


def quote(market: MarketPlan, terms: Terms, spot: float, now: float) -> Quote:
    """The maker's quote: the model price with half of the spread on each side, rounded away from it.

    Args:
        market: volatility, rate, spread, depth and cap.
        terms: the series.
        spot: USD per unit.
        now: unix seconds.
    """
    model = Model(spot, market.volatility, market.rate, market.price_cap)
    years = (terms.expiry - now) / SECONDS_PER_YEAR
    middle = model.price(Kind.CALL if terms.is_call else Kind.PUT, usd(terms.strike), years) * PRICE_SCALE
    half = middle * market.spread / 2
    bid = max(0, math.floor(middle - half))
    size = quantity_units(market.depth)
    return Quote(bid, max(bid + 1, math.ceil(middle + half)), size, size)


def offers_due(
    market: MarketPlan, series: Iterable[Terms], board: Board, *, spot: float, now: float, threshold: float
) -> list[Offer]:
    """The quotes to post now: of live series that are new, used up, or off the model.

    Args:
        market: the plan.
        series: everything that should be listed.
        board: what the maker has on the chain.
        spot: USD per unit.
        now: unix seconds.
        threshold: share of the price by which a quote may be off.
    """
    standing = {row.terms: row.quote for row in board.rows}
    due = []
    for terms in series:
        if terms.expiry <= now:
            continue
        wanted = quote(market, terms, spot, now)
        current = standing.get(terms)
        if current is None or _stale(current, wanted, threshold):
            due.append(Offer(terms, wanted))
    return due


def _stale(current: Quote, wanted: Quote, threshold: float) -> bool:
    if min(current.bid_size, current.ask_size) < wanted.bid_size * REFILL_BELOW:
        return True
    moved = max(abs(current.bid - wanted.bid), abs(current.ask - wanted.ask))
    return moved > max(SMALLEST_MOVE, wanted.ask * threshold)
