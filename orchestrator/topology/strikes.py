"""The strikes that a market lists when its file names none. Pure."""

from decimal import Decimal

from orchestrator.topology.spec import MarketSpec

STRIKES_EACH_SIDE = 4
"""Default strikes below and above the one nearest to spot: enough for a condor with a wing to spare on both sides."""

_WIDEST_STEP = Decimal("0.05")
"""Of spot: four steps stay within a fifth of it."""


def strikes_of(market: MarketSpec) -> tuple[float, ...]:
    """The listed strikes, USD, rising."""
    return default_strikes(market.spot) if market.strikes is None else market.strikes


def default_strikes(spot: float) -> tuple[float, ...]:
    """Nine strikes around spot (USD), a round step apart: 1, 2, 2.5 or 5 times a power of ten, at most 5 % of spot."""
    exact = Decimal(repr(spot))
    widest = exact * _WIDEST_STEP
    power = Decimal(1).scaleb(widest.adjusted())
    step = max(power * factor for factor in (1, 2, Decimal("2.5"), 5) if power * factor <= widest)
    middle = (exact / step).to_integral_value() * step
    return tuple(float(middle + step * offset) for offset in range(-STRIKES_EACH_SIDE, STRIKES_EACH_SIDE + 1))
