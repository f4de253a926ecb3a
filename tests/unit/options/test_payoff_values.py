"""Units, ranges and roundings: the numbers of everything that settles."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollup_node.engines.options import values
from rollup_node.engines.options.values import QUANTITY_UNIT, Overflow, cash_for, ceil_divide, truncated

NUMBERS = st.integers(-(2**130), 2**130)
DIVISORS = st.integers(1, 2**70)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("int64", -(2**63), 2**63 - 1),
        ("int128", -(2**127), 2**127 - 1),
        ("uint64", 0, 2**64 - 1),
    ],
)
def test_a_range_holds_its_ends_and_nothing_beyond(name: str, low: int, high: int) -> None:
    """Ends pass unchanged; one past either is an overflow that says the value."""
    check = getattr(values, name)
    assert [low, high] == [check(low), check(high)]
    for past in (low - 1, high + 1):
        with pytest.raises(Overflow, match=str(past)):
            check(past)


@given(NUMBERS, DIVISORS)
def test_divisions_round_as_they_are_named(dividend: int, divisor: int) -> None:
    """Towards zero, and up; each within one of the exact quotient and exact where it is whole."""
    exact = Fraction(dividend, divisor)
    assert 0 <= ceil_divide(dividend, divisor) - exact < 1
    assert abs(truncated(dividend, divisor)) <= abs(exact) < abs(truncated(dividend, divisor)) + 1
    assert truncated(-dividend, divisor) == -truncated(dividend, divisor)


@given(st.integers(0, 2**63 - 1), st.integers(-(2**40), 2**40))
def test_cash_is_rounded_against_the_account_unless_it_is_the_other_side(price: int, quantity: int) -> None:
    """A receipt down, a payment up in size; the other side of a flow makes it sum to zero."""
    exact = Fraction(price * quantity, QUANTITY_UNIT)
    mine = cash_for(price, quantity)
    assert 0 <= exact - mine < 1
    assert 0 == mine + cash_for(price, -quantity, against_account=False)
    assert mine + cash_for(price, -quantity) in (0, -1)


def test_cash_past_its_range_is_an_overflow() -> None:
    """Price and quantity at the ends of their ranges still fit; twice as much of both doesn't."""
    assert cash_for(2**63 - 1, 2**63 - 1) > 0
    with pytest.raises(Overflow):
        cash_for(2**80, 2**63)
