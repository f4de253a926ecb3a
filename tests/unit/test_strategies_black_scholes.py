"""Prices obey the closed forms that hold for any arbitrage-free market, cap or no cap."""

import math
from itertools import pairwise
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.strategies.black_scholes import Model, implied_forward, normal_cdf
from orchestrator.strategies.model import Kind

SPOTS = st.floats(1.0, 10_000.0)
MONEYNESS = st.floats(0.3, 3.0)
YEARS = st.floats(0.0, 3.0)
MODELS = st.builds(
    lambda spot, volatility, rate, capped: Model(spot, volatility, rate, spot * 4 if capped else math.inf),
    SPOTS,
    st.floats(0.0, 2.0),
    st.floats(-0.05, 0.2),
    st.booleans(),
)


def _close(expected: float, actual: float, scale: float) -> bool:
    return math.isclose(expected, actual, rel_tol=0.0, abs_tol=1e-11 * scale)


def test_published_example() -> None:
    """Hull's example 15.6: S=42, K=40, r=10 %, sigma=20 %, half a year: call 4.76, put 0.81."""
    model = Model(42.0, 0.2, 0.1)
    prices = [round(model.price(kind, 40.0, 0.5), 2) for kind in Kind]
    assert prices == [4.76, 0.81]


@given(st.floats(-8.0, 8.0))
def test_the_distribution_function_agrees_with_the_standard_library(x: float) -> None:
    """Two implementations of the normal distribution agree."""
    assert math.isclose(NormalDist().cdf(x), normal_cdf(x), rel_tol=1e-12, abs_tol=1e-15)


@given(MODELS, MONEYNESS, YEARS)
def test_put_call_parity(model: Model, moneyness: float, years: float) -> None:
    """C - P = D (F - K), with the forward of the capped price."""
    strike = model.spot * moneyness
    call, put = (model.price(kind, strike, years) for kind in Kind)
    expected = model.discount(years) * (model.forward(years) - strike)
    assert _close(expected, call - put, model.spot)
    assert _close(
        model.forward(years), implied_forward(call, put, strike, model.discount(years)), 10 * model.spot
    )


@given(MODELS, MONEYNESS, MONEYNESS, YEARS)
def test_a_box_is_worth_its_discounted_width(model: Model, one: float, other: float, years: float) -> None:
    """(C1 - C2) - (P1 - P2) = D (K2 - K1): no model, no cap, no volatility in it."""
    low, high = sorted((model.spot * one, model.spot * other))
    calls = model.price(Kind.CALL, low, years) - model.price(Kind.CALL, high, years)
    puts = model.price(Kind.PUT, low, years) - model.price(Kind.PUT, high, years)
    assert _close(model.discount(years) * (high - low), calls - puts, model.spot)


@given(MODELS, st.sampled_from(Kind), MONEYNESS, st.floats(0.01, 0.2), YEARS)
def test_butterflies_and_verticals_stay_in_their_bounds(
    model: Model, kind: Kind, moneyness: float, width: float, years: float
) -> None:
    """A butterfly is worth no less than nothing and no more than its wing; a vertical no more than its width."""
    middle, step = model.spot * moneyness, model.spot * width
    prices = [model.price(kind, middle + offset * step, years) for offset in (-1, 0, 1)]
    room = 1e-11 * model.spot
    discounted = model.discount(years) * step
    assert -room <= prices[0] - 2 * prices[1] + prices[2] <= discounted + room
    assert all(abs(high - low) <= discounted + room for low, high in pairwise(prices))


@given(MODELS, st.sampled_from(Kind), MONEYNESS, st.floats(0.01, 3.0))
def test_delta_is_the_slope_of_the_price(model: Model, kind: Kind, moneyness: float, years: float) -> None:
    """The closed form agrees with a central difference; the cap doesn't move with the spot."""
    strike, step = model.spot * moneyness, model.spot * 1e-5
    high, low = (
        Model(model.spot + sign * step, model.volatility, model.rate, model.price_cap) for sign in (1, -1)
    )
    if model.volatility < 0.05:
        return  # the price has a kink near its forward, where a difference says nothing
    slope = (high.price(kind, strike, years) - low.price(kind, strike, years)) / (2 * step)
    assert math.isclose(slope, model.delta(kind, strike, years), abs_tol=2e-4)


@given(SPOTS, MONEYNESS, st.floats(0.0, 2.0), st.floats(-0.05, 0.2))
def test_at_expiry_the_price_is_the_payoff(
    spot: float, moneyness: float, volatility: float, rate: float
) -> None:
    """With no time left the price is what the contract pays at the spot, capped."""
    strike, cap = spot * moneyness, spot * 4
    for at in (spot, spot * 6):
        model = Model(at, volatility, rate, cap)
        assert math.isclose(
            max(min(at, cap) - strike, 0.0), model.price(Kind.CALL, strike, 0.0), abs_tol=1e-9 * at
        )
        assert math.isclose(
            max(strike - min(at, cap), 0.0), model.price(Kind.PUT, strike, -1.0), abs_tol=1e-9 * at
        )


@given(MODELS, MONEYNESS, YEARS)
def test_a_cap_only_takes_away_from_calls(model: Model, moneyness: float, years: float) -> None:
    """A capped call is worth no more than an uncapped one, a put is worth the same."""
    free = Model(model.spot, model.volatility, model.rate)
    strike = model.spot * moneyness
    assert model.price(Kind.CALL, strike, years) <= free.price(Kind.CALL, strike, years)
    assert free.price(Kind.PUT, strike, years) == model.price(Kind.PUT, strike, years)


@pytest.mark.parametrize("kind", Kind)
def test_more_volatility_is_worth_more(kind: Kind) -> None:
    """Far from the cap, prices rise with volatility."""
    prices = [Model(2_000.0, sigma / 10, 0.03, 1e9).price(kind, 2_100.0, 0.5) for sigma in range(1, 15)]
    assert prices == sorted(prices)
