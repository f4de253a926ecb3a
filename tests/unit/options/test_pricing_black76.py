"""Integer Black-76 against mathematics: exact values, QuantLib, parity, bounds, order and convexity."""

import math
from decimal import Decimal

import pytest
import QuantLib as ql  # noqa: N813 - its own users write it so
from hypothesis import given, settings
from hypothesis import strategies as st

from rollup_node.engines.options.pricing.black76 import DISCOUNT_LIMIT, VOLATILITY_LIMIT, call_put, width
from rollup_node.engines.options.pricing.normal import BITS, ONE, distribution, exp_minus, log_ratio
from rollup_node.engines.options.pricing.testing import exact_call, exact_distribution, inputs
from rollup_node.engines.options.values import (
    INT64_MAX,
    PRICE_UNIT,
    SECONDS_PER_YEAR,
    UINT32_MAX,
    WAD,
    Overflow,
)

SEED = 1976
PRICES = st.one_of(
    st.integers(1, INT64_MAX),
    st.integers(1, 10**12),
    st.integers(1, 10),
    st.integers(0, 5).map(INT64_MAX.__sub__),
)
VOLATILITIES = st.one_of(st.integers(0, VOLATILITY_LIMIT), st.integers(0, 3 * WAD), st.integers(0, 10**9))
SECONDS = st.one_of(st.integers(0, UINT32_MAX), st.integers(0, SECONDS_PER_YEAR), st.integers(0, 100))
DISCOUNTS = st.one_of(st.integers(1, DISCOUNT_LIMIT), st.integers(9 * WAD // 10, WAD))
BELOW_OVERFLOW = st.integers(1, INT64_MAX // 2)
"""Twice as much still fits: no discount makes the price overflow."""


def bound(forward: int, strike: int, discount: int) -> Decimal:
    """The error that ``black76`` promises."""
    return 1 + Decimal(forward + strike) * discount / WAD * Decimal("1e-16")


@pytest.mark.parametrize(
    ("name", "value"),
    [("_LN_2", Decimal(2).ln()), ("_ROOT_TWO_PI", Decimal("2.506628274631000502415765284811"))],
)
def test_constants_are_the_nearest_numbers_of_their_scale(name: str, value: Decimal) -> None:
    """ln 2 and sqrt(2 pi) have 96 binary places."""
    from rollup_node.engines.options.pricing import normal  # noqa: PLC0415 - the constants are private

    assert abs(Decimal(getattr(normal, name)) / ONE - value) < Decimal("1e-27")


@settings(max_examples=150)
@given(st.integers(-15 * ONE, 15 * ONE))
def test_the_distribution_keeps_its_bound(x: int) -> None:
    """Within 1e-16 of the exact value, and the two tails sum to one."""
    assert abs(Decimal(distribution(x)) / ONE - exact_distribution(Decimal(x) / ONE)) < Decimal("1e-16")
    assert ONE == distribution(x) + distribution(-x)


@settings(max_examples=150)
@given(st.integers(1, 2**64), st.integers(1, 2**64))
def test_the_logarithm_is_exact_to_twenty_places_and_odd(one: int, other: int) -> None:
    """Within 1e-20 of the exact value; swapping swaps the sign."""
    assert abs(Decimal(log_ratio(one, other)) / ONE - (Decimal(one) / other).ln()) < Decimal("1e-20")
    assert log_ratio(one, other) == -log_ratio(other, one)


@settings(max_examples=150)
@given(st.integers(0, 700 * ONE))
def test_the_exponential_is_exact_to_twenty_places(exponent: int) -> None:
    """Within 1e-20 of the exact value."""
    assert abs(Decimal(exp_minus(exponent)) / ONE - (-Decimal(exponent) / ONE).exp()) < Decimal("1e-20")


def test_prices_keep_their_bound_against_exact_ones() -> None:
    """Every priced input is within one unit and 1e-16 of forward and strike; most inputs are priced."""
    priced = 0
    for values in inputs(300, SEED):
        try:
            found = call_put(*values)
        except Overflow:
            continue
        priced += 1
        forward, strike, _, _, discount = values
        assert abs(found.call - exact_call(*values)) <= bound(forward, strike, discount), values
    assert priced > 200


def test_prices_agree_with_quantlib_and_with_floats() -> None:
    """Ordinary inputs are within one unit and 1e-14 of the forward of two float implementations: their own noise."""
    for values in list(inputs(900, SEED))[::3]:
        forward, strike, volatility, seconds, discount = values
        deviation = volatility / WAD * math.sqrt(seconds / SECONDS_PER_YEAR)
        quantlib = ql.blackFormula(ql.Option.Call, strike, forward, deviation, discount / WAD)
        upper = math.log(forward / strike) / deviation + deviation / 2
        share = [0.5 * math.erfc(-d / math.sqrt(2)) for d in (upper, upper - deviation)]
        floats = discount / WAD * (forward * share[0] - strike * share[1])
        found = call_put(*values)
        allowed = 1 + 1e-14 * forward
        assert abs(found.call - quantlib) <= allowed
        assert abs(found.call - floats) <= allowed
        assert abs(found.delta / WAD - discount / WAD * share[0]) <= 1e-14


@settings(max_examples=300)
@given(PRICES, PRICES, VOLATILITIES, SECONDS, DISCOUNTS)
def test_parity_and_bounds_hold_for_every_input(
    forward: int, strike: int, volatility: int, seconds: int, discount: int
) -> None:
    """Call less put is the discounted difference, rounded down; neither is negative or above what it can pay."""
    try:
        priced = call_put(forward, strike, volatility, seconds, discount)
    except Overflow:
        assert max(forward, strike) * discount // WAD >= INT64_MAX  # nothing else is a reason
        return
    assert priced.call - priced.put == (forward - strike) * discount // WAD
    assert 0 <= priced.call <= forward * discount // WAD
    assert 0 <= priced.put <= -(-strike * discount // WAD)
    assert 0 <= priced.delta <= discount


@settings(max_examples=200)
@given(BELOW_OVERFLOW, BELOW_OVERFLOW, BELOW_OVERFLOW, VOLATILITIES, VOLATILITIES, SECONDS, DISCOUNTS)
def test_a_box_is_worth_its_width(
    forward: int, low: int, high: int, volatility: int, other: int, seconds: int, discount: int
) -> None:
    """Four legs at two strikes with a volatility each are worth the discounted width, to one unit."""
    near = call_put(forward, low, volatility, seconds, discount)
    far = call_put(forward, high, other, seconds, discount)
    box = near.call - far.call + far.put - near.put
    assert abs(Decimal(box) - Decimal((high - low) * discount) / WAD) <= 1


@settings(max_examples=200)
@given(BELOW_OVERFLOW, st.tuples(BELOW_OVERFLOW, BELOW_OVERFLOW), VOLATILITIES, SECONDS, DISCOUNTS)
def test_calls_fall_and_puts_rise_with_the_strike(
    forward: int, strikes: tuple[int, int], volatility: int, seconds: int, discount: int
) -> None:
    """And neither by more than the discounted distance of the strikes; within the promised error."""
    low, high = sorted(strikes)
    near, far = (call_put(forward, strike, volatility, seconds, discount) for strike in (low, high))
    slack = 2 * bound(forward, high, discount)
    step = Decimal((high - low) * discount) / WAD
    assert -slack <= near.call - far.call <= step + slack
    assert -slack <= far.put - near.put <= step + slack


@settings(max_examples=200)
@given(BELOW_OVERFLOW, BELOW_OVERFLOW, st.tuples(VOLATILITIES, VOLATILITIES), SECONDS, DISCOUNTS)
def test_options_are_worth_more_with_more_volatility_and_time(
    forward: int, strike: int, volatilities: tuple[int, int], seconds: int, discount: int
) -> None:
    """Both grow with the volatility, and with the time at one discount; within the promised error."""
    slack = 2 * bound(forward, strike, discount)
    low, high = sorted(volatilities)
    calm = call_put(forward, strike, low, seconds, discount)
    assert calm.call - slack <= call_put(forward, strike, high, seconds, discount).call
    assert call_put(forward, strike, low, seconds // 2, discount).call - slack <= calm.call


@settings(max_examples=200)
@given(
    BELOW_OVERFLOW,
    st.integers(1, INT64_MAX // 4),
    st.integers(1, INT64_MAX // 8),
    VOLATILITIES,
    SECONDS,
    DISCOUNTS,
)
def test_prices_are_convex_in_the_strike(
    forward: int, strike: int, wing: int, volatility: int, seconds: int, discount: int
) -> None:
    """A butterfly of one volatility isn't worth less than nothing; within the promised error of four calls."""
    calls = [
        call_put(forward, strike + step * wing, volatility, seconds, discount).call for step in (0, 1, 2)
    ]
    assert -4 * bound(forward, strike + 2 * wing, discount) <= calls[0] - 2 * calls[1] + calls[2]


@settings(max_examples=100)
@given(BELOW_OVERFLOW, BELOW_OVERFLOW, DISCOUNTS, st.sampled_from(((0, UINT32_MAX), (VOLATILITY_LIMIT, 0))))
def test_without_time_or_volatility_an_option_is_its_payoff(
    forward: int, strike: int, discount: int, still: tuple[int, int]
) -> None:
    """The discounted payoff, rounded down for the call."""
    priced = call_put(forward, strike, *still, discount)
    assert max(0, (forward - strike) * discount // WAD) == priced.call


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("past", [-1, 2**200])
def test_outside_the_domain_is_an_overflow(place: int, past: int) -> None:
    """Each argument below and above its range."""
    values = [3_000 * PRICE_UNIT, 3_000 * PRICE_UNIT, WAD, 86_400, WAD]
    values[place] = past
    with pytest.raises(Overflow, match="black76 isn't defined at"):
        call_put(*values)


def test_the_widest_inputs_fit_the_words_of_the_evm() -> None:
    """The largest products that the Solidity version makes unchecked are below 2**255."""
    variance = VOLATILITY_LIMIT**2 * UINT32_MAX << 88
    deviation = width(VOLATILITY_LIMIT, UINT32_MAX)
    farthest = (log_ratio(2**64, 1) << BITS) // width(10**9, 1)
    values = (
        variance,
        deviation << BITS,
        INT64_MAX * ONE * DISCOUNT_LIMIT,
        log_ratio(2**64, 1) << BITS,
        farthest,
    )
    assert all(value < 2**255 for value in values)
    assert exp_minus(25 * ONE) << 2 * BITS < 2**255
