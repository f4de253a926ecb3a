"""What positions pay, in the contract's integers and with its rounding. Pure.

Everything that settles is here a second time, in Python: the independent check of ``OptionsMarket`` and the source of
a strategy's profile. Cash in 1e-6 USD, prices in 1e-6 USD per unit, quantities in 1e-4 units, signed. Rounding is against the
account: a long's payoff down, a short's payment up, premiums up when paid and down when received, collateral up.

On an options rollup the rounding is the same, and prices aren't capped.

Each leg counts as a position of its own. Legs that meet in one position (same rollup and series) are rounded once on
chain instead of once per leg, which is better for the account by less than 1e-6 USD per leg.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from orchestrator.market.units import QUANTITY_SCALE
from orchestrator.strategies.model import Kind


@dataclass(frozen=True, slots=True)
class Holding:
    """A position in one series."""

    kind: Kind
    strike: int
    """1e-6 USD per unit."""
    quantity: int
    """1e-4 units; positive is long."""
    expiry: int = 0
    """Unix seconds; positions of different expiries settle at different prices."""
    capped: bool = True
    """Whether settlement prices above the market's cap count as the cap: so on EVM rollups, not on options rollups."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a set of positions can still do, premium included; in 1e-6 USD."""

    net_premium: int
    """Paid (positive) or received (negative) for the positions."""
    max_loss: int
    """Largest possible loss over all settlement prices up to the cap; negative when even the worst case is a profit."""
    max_gain: int
    """Largest possible profit over all settlement prices up to the cap."""
    break_evens: tuple[int, ...]
    """Settlement prices (1e-6 USD per unit) where profit changes sign, one price for all expiries; ascending."""


def premium(price: int, quantity: int) -> int:
    """Cash that a taker pays (positive) or receives (negative) for a trade."""
    return -(-price * quantity // QUANTITY_SCALE)


def collateral(holding: Holding, price_cap: int) -> int:
    """Cash that a position locks; a long locks nothing."""
    if holding.quantity >= 0:
        return 0
    worst = price_cap - holding.strike if holding.kind is Kind.CALL else holding.strike
    return -(worst * holding.quantity // QUANTITY_SCALE)


def payoff(holdings: Iterable[Holding], price: int, price_cap: int) -> int:
    """Cash at expiry when all expiries settle at one price; negative when the positions pay."""
    return sum(_payoff(holding, min(price, price_cap) if holding.capped else price) for holding in holdings)


def profile(holdings: Sequence[Holding], net_premium: int, price_cap: int) -> Profile:
    """Extremes and break-evens, exact over every integer price up to the cap; expiries settle independently of one another."""
    lows, highs = 0, 0
    for expiry in {holding.expiry for holding in holdings}:
        low, high = _extremes([holding for holding in holdings if holding.expiry == expiry], price_cap)
        lows, highs = lows + low, highs + high

    def profit(price: int) -> int:
        return payoff(holdings, price, price_cap) - net_premium

    return Profile(
        net_premium=net_premium,
        max_loss=net_premium - lows,
        max_gain=highs - net_premium,
        break_evens=_crossings(profit, _kinks(holdings, price_cap)),
    )


def _payoff(holding: Holding, price: int) -> int:
    intrinsic = price - holding.strike if holding.kind is Kind.CALL else holding.strike - price
    # Floor division of the signed product rounds a long's payoff down and a short's payment up.
    return max(intrinsic, 0) * holding.quantity // QUANTITY_SCALE


def _kinks(holdings: Iterable[Holding], price_cap: int) -> list[int]:
    """Prices between which every payoff is a straight line, but for rounding."""
    return sorted({0, price_cap, *(min(holding.strike, price_cap) for holding in holdings)})


def _extremes(holdings: Sequence[Holding], price_cap: int) -> tuple[int, int]:
    """Smallest and largest payoff over every integer price.

    Between kinks the payoff is a line plus a rounding term that repeats with a period of at most 10,000 prices, so along
    each residue it is monotone and its extremes lie within one period of the kinks.
    """
    period = math.lcm(*(QUANTITY_SCALE // math.gcd(QUANTITY_SCALE, holding.quantity) for holding in holdings))
    candidates: set[int] = set()
    for start, end in pairwise(_kinks(holdings, price_cap)):
        candidates.update(range(start, min(start + period, end) + 1))
        candidates.update(range(max(end - period, start), end + 1))
    values = [payoff(holdings, price, price_cap) for price in candidates]
    return min(values), max(values)


def _crossings(profit: Callable[[int], int], kinks: Sequence[int]) -> tuple[int, ...]:
    """Prices nearest to where the profit's sign changes between neighbouring kinks, or touches zero at one."""
    found: list[int] = []
    for start, end in pairwise(kinks):
        before, after = profit(start), profit(end)
        if before == 0 or (before < 0) == (after < 0):
            continue
        found.append(start + round(-before * (end - start) / (after - before)))
    found += [kink for kink in kinks if profit(kink) == 0]
    return tuple(sorted(set(found)))
