"""Vectorised prices and Greeks against QuantLib, differences of its prices, and the integer pricer."""

import math

import numpy as np
import QuantLib as ql  # noqa: N813 - its own users write it so

from rollup_node.engines.options.pricing.black76 import call_put
from rollup_node.engines.options.pricing.vectors import Floats, Greeks, cumulative, greeks
from rollup_node.engines.options.values import PRICE_UNIT, SECONDS_PER_YEAR, WAD

COUNT = 10_000
"""More than one block, and not a multiple of it."""
RATE = 0.05


def _market() -> tuple[Floats, ...]:
    chance = np.random.default_rng(76)
    forward = chance.uniform(1_000, 5_000, COUNT)
    strike = forward * chance.uniform(0.3, 3.0, COUNT)
    years = chance.uniform(0.002, 2.0, COUNT)
    is_call = chance.random(COUNT) < 0.5
    return forward, strike, chance.uniform(0.05, 3.0, COUNT), years, np.exp(-RATE * years), is_call


MARKET = _market()
FOUND = greeks(*MARKET)
KIND = {True: ql.Option.Call, False: ql.Option.Put}


def _price(
    forward: float, strike: float, volatility: float, years: float, rate: float, is_call: bool
) -> float:
    deviation = volatility * math.sqrt(years)
    return ql.blackFormula(KIND[is_call], strike, forward, deviation, math.exp(-rate * years))


def test_the_distribution_is_that_of_the_library_of_c() -> None:
    """Within 3e-16 of ``erfc``, tails included."""
    x = np.concatenate([np.linspace(-38, 38, 20_001), [10 / math.sqrt(2), -10 / math.sqrt(2), 0.0]])
    exact = np.array([0.5 * math.erfc(-one / math.sqrt(2)) for one in x])
    assert np.abs(cumulative(x) - exact).max() <= 3e-16


def test_price_delta_gamma_and_vega_are_those_of_quantlib() -> None:
    """For each of ten thousand options, to fourteen digits of the forward; gamma and vega relative to their largest."""
    for index, (forward, strike, volatility, years, discount, is_call) in enumerate(
        zip(*MARKET, strict=True)
    ):
        payoff = ql.PlainVanillaPayoff(KIND[bool(is_call)], strike)
        exact = ql.BlackCalculator(payoff, forward, volatility * math.sqrt(years), discount)
        assert abs(FOUND.price[index] - exact.value()) <= 1e-14 * forward
        assert abs(FOUND.delta[index] - exact.deltaForward()) <= 1e-14
        assert abs(FOUND.gamma[index] - exact.gammaForward()) <= 1e-14 * max(1, FOUND.gamma[index])
        assert abs(FOUND.vega[index] - exact.vega(years)) <= 1e-14 * forward


def test_theta_and_rho_are_what_the_price_changes_by() -> None:
    """Central differences of QuantLib's prices in time and in the rate."""
    for index in range(0, COUNT, 20):
        forward, strike, volatility, years, _, is_call = (column[index] for column in MARKET)
        step = years * 1e-4
        later, sooner = (
            _price(forward, strike, volatility, years + side, RATE, bool(is_call)) for side in (-step, step)
        )
        scale = forward * volatility / math.sqrt(years)
        assert abs(FOUND.theta[index] - (later - sooner) / (2 * step)) <= 1e-5 * scale
        more, less = (
            _price(forward, strike, volatility, years, RATE + side, bool(is_call)) for side in (1e-5, -1e-5)
        )
        assert abs(FOUND.rho[index] - (more - less) / 2e-5) <= 1e-6 * forward


def test_vectors_and_integers_tell_the_same_prices() -> None:
    """Calls and puts of both pricers of the same rounded inputs are within one unit."""
    for index in range(0, COUNT, 25):
        forward, strike, volatility, years, discount, is_call = (column[index] for column in MARKET)
        seconds = round(years * SECONDS_PER_YEAR)
        cash = [round(value * PRICE_UNIT) for value in (forward, strike)]
        priced = call_put(*cash, round(volatility * WAD), seconds, round(discount * WAD))
        rounded = greeks(
            *(np.array([value / PRICE_UNIT]) for value in cash),
            np.array([volatility]),
            np.array([seconds / SECONDS_PER_YEAR]),
            np.array([discount]),
            np.array([is_call]),
        )
        exact = priced.call if is_call else priced.put
        assert abs(exact - rounded.price[0] * PRICE_UNIT) <= 1.001


def test_at_expiry_and_without_volatility_prices_are_payoffs_and_nothing_is_undefined() -> None:
    """No figure of a dead option is infinite or no number."""
    strike = np.array([900.0, 1_000.0, 1_100.0] * 2)
    flat = np.full(6, 1_000.0)
    is_call = np.array([True] * 3 + [False] * 3)
    for volatility, years in ((0.0, 1.0), (0.7, 0.0), (0.0, 0.0)):
        found = greeks(flat, strike, np.full(6, volatility), np.full(6, years), np.ones(6), is_call)
        np.testing.assert_allclose(found.price, [100, 0, 0, 0, 0, 100], atol=1e-8)
        assert all(np.isfinite(getattr(found, name)).all() for name in Greeks.__slots__)
