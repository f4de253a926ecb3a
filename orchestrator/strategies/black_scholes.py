"""Black-Scholes prices of European options, and of calls whose payoff a price cap bounds. Pure.

Floats that only quote: nothing here settles. Prices in USD per unit, times in years, rates and volatilities per year,
continuously compounded, no dividends (Black and Scholes 1973; Hull, *Options, Futures and Other Derivatives*, ch. 15).

On our markets settlement prices above a cap count as the cap. A put struck at or below the cap doesn't notice. A capped
call pays ``max(S-K,0) - max(S-cap,0)``, so it is a call struck at K less a call struck at the cap. Parity holds
around the forward of the capped price: ``C - P = D·(F' - K)`` with ``D·F' = S - call(cap)``; so a box is still worth exactly its
discounted width, and every price difference between strikes is what it would be without a cap.
"""

import math
from dataclasses import dataclass

from orchestrator.strategies.model import Kind

SECONDS_PER_YEAR = 365 * 24 * 3600
"""The market's convention (actual/365)."""


@dataclass(frozen=True, slots=True)
class Model:
    """One market's parameters; prices any of its series."""

    spot: float
    """USD per unit; positive."""
    volatility: float
    """Per year; zero or more."""
    rate: float
    """Per year."""
    price_cap: float = math.inf
    """USD per unit; above every strike."""

    def discount(self, years: float) -> float:
        """Today's value of one USD at expiry."""
        return math.exp(-self.rate * max(years, 0.0))

    def forward(self, years: float) -> float:
        """Forward of the settlement price, cap included, USD per unit."""
        capped_off = _call(self, self.price_cap, years) if math.isfinite(self.price_cap) else 0.0
        return (self.spot - capped_off) / self.discount(years)

    def price(self, kind: Kind, strike: float, years: float) -> float:
        """Value of one option, USD per unit; at or after expiry its payoff at the spot price."""
        if kind is Kind.PUT:
            return _put(self, strike, years)
        above_cap = _call(self, self.price_cap, years) if math.isfinite(self.price_cap) else 0.0
        return max(0.0, _call(self, strike, years) - above_cap)

    def delta(self, kind: Kind, strike: float, years: float) -> float:
        """Change of the price per USD of spot."""
        if kind is Kind.PUT:
            return _call_delta(self, strike, years) - 1.0
        above_cap = _call_delta(self, self.price_cap, years) if math.isfinite(self.price_cap) else 0.0
        return _call_delta(self, strike, years) - above_cap


def implied_forward(call: float, put: float, strike: float, discount: float) -> float:
    """The forward that a call and a put of one strike and expiry imply by parity, USD per unit.

    Args:
        call: price of the call, USD per unit.
        put: price of the put, USD per unit.
        strike: USD per unit.
        discount: today's value of one USD at expiry.
    """
    return strike + (call - put) / discount


def normal_cdf(x: float) -> float:
    """Standard normal distribution function; by erfc, so that the lower tail keeps its precision."""
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def _call(model: Model, strike: float, years: float) -> float:
    d1, d2 = _distances(model, strike, years)
    return model.spot * normal_cdf(d1) - strike * model.discount(years) * normal_cdf(d2)


def _put(model: Model, strike: float, years: float) -> float:
    d1, d2 = _distances(model, strike, years)
    return strike * model.discount(years) * normal_cdf(-d2) - model.spot * normal_cdf(-d1)


def _call_delta(model: Model, strike: float, years: float) -> float:
    return normal_cdf(_distances(model, strike, years)[0])


def _distances(model: Model, strike: float, years: float) -> tuple[float, float]:
    """d1 and d2; infinite, with the sign of moneyness, when nothing is left to chance."""
    deviation = model.volatility * math.sqrt(max(years, 0.0))
    moneyness = math.log(model.spot / (strike * model.discount(years)))
    if deviation == 0.0:
        certain = math.copysign(math.inf, moneyness)
        return certain, certain
    middle = moneyness / deviation
    return middle + deviation / 2, middle - deviation / 2
