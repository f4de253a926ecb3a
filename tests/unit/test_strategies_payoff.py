"""Payoffs, extremes and break-evens are exact, in the contract's integers."""

from fractions import Fraction
from math import ceil, floor

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.strategies.model import Kind
from orchestrator.strategies.payoff import Holding, collateral, payoff, premium, profile

CAP = 8_000_000
SMALL_CAP = 60
"""So small that every price can be tried."""
KINDS = st.sampled_from(Kind)
HOLDINGS = st.builds(
    Holding, KINDS, st.integers(1, CAP), st.integers(-(10**9), 10**9).filter(bool), st.sampled_from([1, 2])
)
COARSE = st.builds(
    Holding,
    KINDS,
    st.integers(1, CAP),
    st.integers(-1_000, 1_000).filter(bool).map(lambda size: size * 100),
    st.sampled_from([1, 2]),
)
"""Whole hundredths of a unit."""
SMALL = st.lists(
    st.builds(Holding, KINDS, st.integers(1, SMALL_CAP), st.integers(-60_000, 60_000).filter(bool)),
    min_size=1,
    max_size=4,
)


def _exact(holding: Holding, price: int, cap: int) -> Fraction:
    gap = min(price, cap) - holding.strike
    return Fraction(max(gap if holding.kind is Kind.CALL else -gap, 0) * holding.quantity, 10_000)


@given(HOLDINGS, st.integers(0, 2 * CAP))
def test_rounding_is_against_the_account_by_less_than_one(holding: Holding, price: int) -> None:
    """The payoff is the exact one rounded down, whatever its sign."""
    assert floor(_exact(holding, price, CAP)) == payoff([holding], price, CAP)


@given(HOLDINGS)
def test_collateral_is_the_worst_payoff(holding: Holding) -> None:
    """A short locks exactly the most that it can ever pay, a long nothing."""
    worst = min(payoff([holding], price, CAP) for price in (0, CAP, 10 * CAP))
    assert collateral(holding, CAP) == max(0, -worst)


@given(st.integers(0, 10**10), st.integers(-(10**9), 10**9))
def test_premiums_round_against_the_taker(price: int, quantity: int) -> None:
    """Paid up, received down."""
    assert ceil(Fraction(price * quantity, 10_000)) == premium(price, quantity)


@given(SMALL, st.integers(-1_000, 1_000))
def test_extremes_are_those_of_every_price(holdings: list[Holding], paid: int) -> None:
    """Maximum loss and gain equal a search over all integer prices, fractional quantities and beyond the cap included."""
    profits = [payoff(holdings, price, SMALL_CAP) - paid for price in range(2 * SMALL_CAP)]
    found = profile(holdings, paid, SMALL_CAP)
    assert (-min(profits), max(profits)) == (found.max_loss, found.max_gain)


@given(st.lists(COARSE, min_size=1, max_size=4), st.tuples(st.integers(0, 2 * CAP), st.integers(0, 2 * CAP)))
def test_no_pair_of_prices_loses_more_than_the_maximum(
    holdings: list[Holding], prices: tuple[int, int]
) -> None:
    """Expiries settle at prices of their own, and the maximum loss covers that."""
    found = profile(holdings, 0, CAP)
    total = sum(
        payoff([holding for holding in holdings if holding.expiry == expiry], price, CAP)
        for expiry, price in zip((1, 2), prices, strict=True)
    )
    assert -found.max_loss <= total <= found.max_gain


@given(
    st.lists(
        st.builds(Holding, KINDS, st.integers(1, CAP), st.sampled_from([-20_000, -10_000, 10_000, 20_000])),
        min_size=1,
        max_size=4,
    ),
    st.integers(-CAP, CAP),
)
def test_profit_is_about_nothing_at_break_even(holdings: list[Holding], paid: int) -> None:
    """At each break-even of whole quantities the profit is within one price step's worth of zero."""
    slope = sum(abs(holding.quantity) for holding in holdings) // 10_000
    for price in profile(holdings, paid, CAP).break_evens:
        assert abs(payoff(holdings, price, CAP) - paid) <= slope


def test_a_straddles_break_evens_are_its_strike_plus_and_minus_the_premium() -> None:
    """The textbook answer."""
    holdings = [Holding(kind, 2_000_000, 10_000) for kind in Kind]
    found = profile(holdings, 150_000, CAP)
    assert found.break_evens == (1_850_000, 2_150_000)
    assert (found.max_loss, found.max_gain) == (150_000, 6_000_000 - 150_000)


def test_what_always_wins_never_breaks_even() -> None:
    """A box bought below its width has a negative maximum loss and no break-even."""
    box = [
        Holding(Kind.CALL, 1_000_000, 10_000),
        Holding(Kind.CALL, 3_000_000, -10_000),
        Holding(Kind.PUT, 3_000_000, 10_000),
        Holding(Kind.PUT, 1_000_000, -10_000),
    ]
    found = profile(box, 1_900_000, CAP)
    assert (found.max_loss, found.max_gain, found.break_evens) == (-100_000, 100_000, ())
