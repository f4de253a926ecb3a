"""Black-76 in integers: what a European option on a forward is worth. The only pricer of anything that settles.

::

    forward, strike ─► log_ratio ─┐
    volatility, seconds ─► width ─┴► d1, d2 ─► distribution ─► call, delta
                                     discount·(forward - strike) ─► put = call - that

``call = D (F N(d1) - K N(d2))`` with ``d1 = ln(F/K)/w + w/2``, ``d2 = d1 - w`` and ``w = volatility
sqrt(years)`` (F. Black, *The pricing of commodity contracts*, 1976). The put follows by parity, so parity and
the value of a box hold to one unit whatever the volatilities of the strikes. A year has 365 days.

The call is floored and then held within what every model agrees on: not below zero or ``D (F - K)``, not
above ``D F``. Its error is at most one unit plus ``1e-16 D (F + K)``: for prices up to a billion dollars that
is the rounding alone.

``bridge/contracts/src/options/Black76.sol`` is the same function, bit for bit, with the same domain and the
same refusals.
"""

from dataclasses import dataclass
from math import isqrt
from typing import Final

from rollup_node.engines.options.pricing.normal import BITS, ONE, distribution, log_ratio
from rollup_node.engines.options.values import (
    INT64_MAX,
    SECONDS_PER_YEAR,
    UINT32_MAX,
    WAD,
    Overflow,
    int64,
)

VOLATILITY_LIMIT: Final = 100 * WAD
"""10,000 % a year."""
DISCOUNT_LIMIT: Final = 2 * WAD
"""Rates may be negative, within reason."""
_GUARD_BITS: Final = 44
"""Extra binary places of the width's square root; 88 fit into 256 bits before it."""


@dataclass(frozen=True, slots=True)
class Priced:
    """One strike."""

    call: int
    """Micro-USD per contract."""
    put: int
    """Micro-USD per contract."""
    delta: int
    """The call's, by the forward: ``D N(d1)``, 1e-18. The put's is less by the discount."""


def call_put(forward: int, strike: int, volatility: int, seconds: int, discount: int) -> Priced:
    """Price the call and the put of one strike.

    Args:
        forward: Micro-USD, from 1 to 2**63 - 1.
        strike: Micro-USD, from 1 to 2**63 - 1.
        volatility: 1e-18 per year, from 0 to ``VOLATILITY_LIMIT``.
        seconds: To expiry, from 0 to 2**32 - 1; at expiry the options are worth their payoff.
        discount: Today's value of a dollar at expiry, 1e-18, from 1 to ``DISCOUNT_LIMIT``.

    Raises:
        Overflow: an argument is outside its domain, or a price past 64 bits.
    """
    if not (
        0 < forward <= INT64_MAX
        and 0 < strike <= INT64_MAX
        and 0 <= volatility <= VOLATILITY_LIMIT
        and 0 <= seconds <= UINT32_MAX
        and 0 < discount <= DISCOUNT_LIMIT
    ):
        raise Overflow(
            f"black76 isn't defined at forward {forward}, strike {strike}, volatility {volatility}, "
            f"{seconds} s, discount {discount}"
        )
    above, below = _probabilities(forward, strike, width(volatility, seconds))
    value = (forward * above - strike * below) * discount
    intrinsic = (forward - strike) * discount // WAD
    call = max(value // (WAD << BITS), intrinsic, 0)
    call = int64(min(call, forward * discount // WAD))
    return Priced(call, int64(call - intrinsic), above * discount >> BITS)


def width(volatility: int, seconds: int) -> int:
    """Standard deviation of the logarithm at expiry, ``BITS`` binary places."""
    variance = (volatility * volatility * seconds << 2 * _GUARD_BITS) // SECONDS_PER_YEAR
    return (isqrt(variance) << BITS - _GUARD_BITS) // WAD


def _probabilities(forward: int, strike: int, deviation: int) -> tuple[int, int]:
    """``N(d1)`` and ``N(d2)``."""
    if deviation == 0:
        certain = ONE if forward > strike else 0 if forward < strike else ONE // 2
        return certain, certain
    distance = log_ratio(forward, strike)
    steps = (abs(distance) << BITS) // deviation
    upper = (steps if distance > 0 else -steps) + deviation // 2
    return distribution(upper), distribution(upper - deviation)
