"""What the market maker asks for a trade: the mark, moved against its inventory, and a spread. Pure, in integers.

::

    sensitivity w = what a contract gains if volatility rises by one percent of itself
    exposure    W = sum of w·quantity over the maker's positions of an underlying
    price at W    = mark - w·skew·W/limit                 (skew: relative volatility at the limit)
    a trade from W to W' pays  quantity·mark + skew·(W'² - W²)/2·limit + spread, rounded against the trader

The price is linear in ``W``, so a trade's price is the price at the inventory in its middle, ``(W + W')/2``, and the
cash of any sequence of trades depends on where it began and ended alone. A trader who returns to where they
began has paid every spread and every rounding and gained nothing, in whatever pieces and series they traded.

Rejected: pricing by Black-76 at the skewed volatility. Prices are curved in volatility, so one large trade
and many small ones would differ, and the difference could be taken out again and again.

The maker refuses what takes its exposure past the limit, what has no worth, and what it would have to be paid
to take.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from rollup_node.engines.options.pricing.black76 import call_put
from rollup_node.engines.options.risk.rows import OracleState, Terms
from rollup_node.engines.options.values import PARTS, QUANTITY_UNIT, Overflow, ceil_divide, int128

_PERCENT: Final = PARTS // 100


class NoQuote(Exception):  # noqa: N818 - names what the maker says
    """The maker doesn't trade this; the text is why."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How a maker quotes."""

    limit: int
    """Exposure that it doesn't go beyond, in units of ``exposure_of``; above zero."""
    skew: int
    """By how much of itself volatility is moved at the limit, parts per million; not below zero."""
    spread: int
    """Parts per million of itself that volatility is moved by against the trader; not below zero."""


@dataclass(frozen=True, slots=True)
class AmmQuote:
    """One trade's terms."""

    cash: int
    """What the trader gets, micro-USD; below zero they pay. The maker's flow is the opposite, to the unit."""
    price: int
    """That per contract, micro-USD, rounded against the trader: what a trade is settled at."""
    exposure: int
    """The maker's after the trade."""


def quote(rule: Rule, mark: int, sensitivity: int, exposure: int, quantity: int) -> AmmQuote:
    """Quote one trade.

    Args:
        rule: The maker's.
        mark: Of the series, micro-USD per contract.
        sensitivity: Of the series (``sensitivity_of``).
        exposure: The maker's before the trade (``exposure_of``).
        quantity: What the trader buys, 1e-4 contracts; below zero they sell.

    Raises:
        NoQuote: the maker doesn't trade this.
        Overflow: the cash doesn't fit 128 bits.
    """
    if quantity == 0 or mark <= 0:
        raise NoQuote(f"nothing to trade: quantity {quantity} at mark {mark}")
    after = exposure - sensitivity * quantity
    if abs(after) > max(rule.limit, abs(exposure)):
        raise NoQuote(
            f"exposure {after} is past the maker's limit of {rule.limit}; trade less, or the other way"
        )
    scale = 2 * rule.limit * _PERCENT
    moved = mark * quantity * scale + rule.skew * (after * after - exposure * exposure)
    moved += 2 * rule.limit * rule.spread * sensitivity * abs(quantity)
    cost = int128(ceil_divide(moved, scale * QUANTITY_UNIT))
    if (cost > 0) != (quantity > 0):
        raise NoQuote(
            f"the maker's inventory makes {quantity} worth {cost}; it neither gives away nor takes for a fee"
        )
    price = ceil_divide(cost * QUANTITY_UNIT, quantity) if quantity > 0 else cost * QUANTITY_UNIT // quantity
    return AmmQuote(-cost, price, after)


def sensitivity_of(terms: Terms, oracle: OracleState) -> int:
    """What a contract, call or put, gains if its volatility rises by one percent of itself, micro-USD.

    Raises:
        Overflow: the oracle says nothing of this series, or its prices aren't defined.
    """
    try:
        forward, volatility = oracle.forwards[terms.expiry], oracle.volatilities[terms.series]
    except KeyError as exc:
        raise Overflow(
            f"the oracle of underlying {oracle.underlying} doesn't know series {terms.series}"
        ) from exc
    seconds = max(terms.expiry - oracle.timestamp, 0)
    return _sensitivity(forward, terms.strike, volatility, seconds, oracle.discount)


def exposure_of(positions: Iterable[tuple[int, int]]) -> int:
    """A maker's exposure.

    Args:
        positions: Signed quantity and sensitivity of each series of the underlying.
    """
    return sum(quantity * sensitivity for quantity, sensitivity in positions)


@lru_cache(maxsize=4_096)
def _sensitivity(forward: int, strike: int, volatility: int, seconds: int, discount: int) -> int:
    risen = volatility * (PARTS + _PERCENT) // PARTS
    calls = (call_put(forward, strike, at, seconds, discount).call for at in (volatility, risen))
    mark, more = calls
    return max(more - mark, 0)
