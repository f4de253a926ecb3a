"""For tests: inputs for the pricer, seeded, and exact values by other means than the pricer's own."""

import random
from collections.abc import Iterator
from decimal import Decimal, localcontext
from functools import cache

from rollup_node.engines.options.pricing.black76 import DISCOUNT_LIMIT, VOLATILITY_LIMIT
from rollup_node.engines.options.values import INT64_MAX, SECONDS_PER_YEAR, UINT32_MAX, WAD

Input = tuple[int, int, int, int, int]
"""Forward, strike, volatility, seconds, discount."""

PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899")
_PRICES = (0, 1, 2, 3, 10**6, 3_000 * 10**6, 2**62, INT64_MAX - 1, INT64_MAX, INT64_MAX + 1)
_VOLATILITIES = (0, 1, 10**9, WAD // 100, 7 * WAD // 10, WAD, VOLATILITY_LIMIT, VOLATILITY_LIMIT + 1)
_SECONDS = (0, 1, 60, 86_400, 30 * 86_400, SECONDS_PER_YEAR, UINT32_MAX, UINT32_MAX + 1)
_DISCOUNTS = (0, 1, WAD // 2, WAD - 1, WAD, DISCOUNT_LIMIT, DISCOUNT_LIMIT + 1)


def inputs(count: int, seed: int) -> Iterator[Input]:
    """A third as on a market, a third across the whole domain, a third of extremes at and past its edges."""
    chance = random.Random(seed)
    for index in range(count):
        yield (_ordinary, _anywhere, _extreme)[index % 3](chance)


def _ordinary(chance: random.Random) -> Input:
    forward = chance.randint(100 * 10**6, 100_000 * 10**6)
    strike = max(1, int(forward * chance.uniform(0.3, 3.0)))
    seconds = chance.randint(60, 2 * SECONDS_PER_YEAR)
    return forward, strike, int(chance.uniform(0.05, 3.0) * WAD), seconds, chance.randint(9 * WAD // 10, WAD)


def _anywhere(chance: random.Random) -> Input:
    def wide(most: int) -> int:
        return min(most, chance.getrandbits(chance.randint(1, most.bit_length())) + 1)

    forward = wide(INT64_MAX)
    # Strikes near the forward, where rounding of the logarithm matters, are as likely as far ones.
    strike = wide(INT64_MAX) if chance.random() < 0.5 else max(1, forward + chance.randint(-3, 3))
    return (
        forward,
        min(strike, INT64_MAX),
        wide(VOLATILITY_LIMIT),
        wide(UINT32_MAX),
        wide(DISCOUNT_LIMIT),
    )


def _extreme(chance: random.Random) -> Input:
    valid = chance.random() < 0.8  # most stay within the domain, or nearly all would be refused
    edges = (_PRICES, _PRICES, _VOLATILITIES, _SECONDS, _DISCOUNTS)
    lowest = (1, 1, 0, 0, 1)
    chosen = (
        chance.choice([edge for edge in values[:-1] if edge >= least] if valid else values)
        for values, least in zip(edges, lowest, strict=True)
    )
    forward, strike, volatility, seconds, discount = chosen
    return forward, strike, volatility, seconds, discount


@cache
def exact_distribution(x: Decimal) -> Decimal:
    """The normal distribution function to about 35 digits, by its Taylor series; beyond 12 it is 0 or 1."""
    if abs(x) > 12:
        return Decimal(int(x > 0))
    with localcontext() as context:
        context.prec = 75
        term = total = x
        odd = 1
        while abs(term) > Decimal("1e-45"):
            odd += 2
            term *= x * x / odd
            total += term
        return Decimal("0.5") + total * (-x * x / 2).exp() / (2 * PI).sqrt()


def exact_call(forward: int, strike: int, volatility: int, seconds: int, discount: int) -> Decimal:
    """Undiscretised Black-76, micro-USD, to about 30 digits of the forward."""
    with localcontext() as context:
        context.prec = 60
        width = Decimal(volatility) / WAD * (Decimal(seconds) / SECONDS_PER_YEAR).sqrt()
        share = Decimal(discount) / WAD
        if width == 0:
            return share * max(forward - strike, 0)
        upper = (Decimal(forward) / strike).ln() / width + width / 2
        gain = forward * exact_distribution(upper) - strike * exact_distribution(upper - width)
        return share * gain
