"""What the signers of options rollups' oracle say of the market, and when. Pure.

One *statement* (a time and a spot price) holds for all rollups, so that the averages on which their series settle are the same; each rollup
gets it as an *update* of its own, with all that is listed there, signed for its chain id. Volatility is the market's, for every strike;
forwards grow at its rate. An update has one discount for all expiries: that of the last one, which strategies trade unless told
otherwise.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.market.board import Terms
from orchestrator.market.options_calls import Update
from orchestrator.market.units import WAD, price_units, symbol_bytes, usd, wad
from orchestrator.strategies.black_scholes import SECONDS_PER_YEAR
from orchestrator.topology.plan import MarketPlan

LONGEST_S = 10.0
"""Between two statements, seconds, however long rollups would trust one."""
TRUST_SHARE = 0.25
"""A statement is renewed after this share of the time for which rollups trust one."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What is said to all rollups."""

    timestamp: int
    """Unix seconds."""
    spot: int
    """1e-6 USD per unit."""


def next_statement(
    last: Statement | None, *, now: float, spot: int, series: Iterable[Terms], trusted_s: float
) -> Statement:
    """The last statement, or a new one where the price has moved, a series has expired, or the last one gets old.

    Args:
        last: None before the first.
        now: unix seconds.
        spot: 1e-6 USD per unit.
        series: all that is listed.
        trusted_s: how long the least patient rollup takes a statement for fresh, seconds.
    """
    second = int(now)
    if last is None:
        return Statement(second, spot)
    if second <= last.timestamp:
        return last  # rollups take one a second
    old = now - last.timestamp >= min(LONGEST_S, trusted_s * TRUST_SHARE)
    expired = any(last.timestamp < terms.expiry <= second for terms in series)
    return Statement(second, spot) if old or expired or spot != last.spot else last


def update_of(market: MarketPlan, series: Iterable[Terms], statement: Statement, sequence: int) -> Update:
    """A statement as one rollup gets it.

    Args:
        market: volatility and rate.
        series: everything that is traded there, or shall be; what has expired is left out.
        statement: when, and the spot.
        sequence: higher than that of every update that was ever signed for this rollup.
    """
    places = sorted({(one.expiry, one.strike) for one in series if one.expiry > statement.timestamp})
    expiries = sorted({expiry for expiry, _ in places})
    volatility, spot = wad(market.volatility), usd(statement.spot)

    def growth(expiry: int) -> float:
        return math.exp(market.rate * (expiry - statement.timestamp) / SECONDS_PER_YEAR)

    return (
        symbol_bytes(market.underlying),
        sequence,
        statement.timestamp,
        statement.spot,
        wad(1 / growth(expiries[-1])) if expiries else WAD,
        WAD,
        tuple((expiry, price_units(spot * growth(expiry))) for expiry in expiries),
        tuple((expiry, strike, volatility) for expiry, strike in places),
    )
