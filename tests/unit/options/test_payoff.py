"""Averages, settlement and combos' maximum loss: exact, zero-sum, and mutants that the properties catch."""

import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollup_node.engines.options.risk import payoff as payoff_module
from rollup_node.engines.options.risk.combos import lowest_payoff, max_loss
from rollup_node.engines.options.risk.payoff import (
    WINDOW_S,
    Average,
    Settled,
    settle_series,
    settled,
    settlement_price,
)
from rollup_node.engines.options.risk.rows import Terms
from rollup_node.engines.options.values import INT64_MAX, QUANTITY_UNIT, Overflow

EXPIRY = 1_800_000_000
STRIKES = st.integers(1, 10**12)
LEGS = st.lists(
    st.tuples(
        st.integers(-(10**9), 10**9),
        st.builds(Terms, st.just(0), st.just(0), st.just(EXPIRY), STRIKES, st.booleans()),
    ),
    max_size=8,
)


def check_settlement(chance: random.Random) -> None:
    """Hold settlement to its properties on one random series."""
    terms = Terms(1, 0, EXPIRY, chance.randint(1, 10**10), chance.random() < 0.5)
    price = chance.choice((0, terms.strike, chance.randint(0, 2 * 10**10)))
    accounts = {account: chance.randint(-(10**8), 10**8) for account in range(chance.randint(1, 12))}
    accounts[99] = -sum(accounts.values())
    found = settle_series(terms, price, accounts)
    assert sum(found.cash.values()) + found.insurance == 0, "settlement made or lost cash"
    assert 0 <= found.insurance < len(accounts), "the dust is more than the roundings"
    pays = max(price - terms.strike, 0) if terms.is_call else max(terms.strike - price, 0)
    for account, quantity in accounts.items():
        exact = Fraction(pays * quantity, QUANTITY_UNIT)
        assert exact - 1 < found.cash[account] <= exact, "an account got more than its due, or a unit less"
        alone = payoff_module.settled(terms.payoff(price), quantity)
        assert alone.cash == found.cash[account], "an account's cash depends on who settles with it"
        assert 0 <= alone.dust < QUANTITY_UNIT, "an account left more or less than its dust"
        assert alone.cash * QUANTITY_UNIT + alone.dust == pays * quantity, (
            "an account's dust isn't what is missing"
        )


def check_average(chance: random.Random) -> None:
    """Hold the average to what a sum over every second says."""
    start = chance.randint(0, 10**6)
    times = sorted({start, *(start + chance.randint(0, 300) for _ in range(chance.randint(0, 6)))})
    prices = [chance.randint(1, 10**4) for _ in times]
    opened, expiry = times[-1] - chance.randint(0, 200), times[-1] + chance.randint(1, 50)
    opened = max(opened, start)
    average = Average(0, start, prices[0])
    at_start = average.at(start) if opened == start else None
    for now, price in list(zip(times, prices, strict=True))[1:]:
        if at_start is None and now >= opened:
            at_start = average.at(opened)
        average = average.advanced(now, price)
    at_start = average.at(opened) if at_start is None else at_start
    seconds = [
        price
        for now, price, until in zip(times, prices, [*times[1:], expiry], strict=True)
        for second in range(now, until)
        if second >= opened
    ]
    found = payoff_module.settlement_price(at_start, average.at(expiry), expiry - opened)
    assert found == sum(seconds) // len(seconds), "the average isn't that of every second"


@settings(max_examples=200)
@given(st.integers(0, 2**64))
def test_settlement_sums_to_zero_and_rounds_against_every_account(seed: int) -> None:
    """Cash and dust are zero together; no account gets more than its due; order and batches don't matter."""
    check_settlement(random.Random(seed))


@settings(max_examples=200)
@given(st.integers(0, 2**64))
def test_the_average_is_that_of_every_second(seed: int) -> None:
    """However many updates fall before, into and after the window."""
    check_average(random.Random(seed))


def test_the_past_can_not_be_averaged_again() -> None:
    """An older update, a window that ends before it starts and an empty one are refused."""
    average = Average(0, 100, 7).advanced(110, 8)
    assert Average(70, 110, 8) == average
    with pytest.raises(Overflow, match="the sum at 109 is gone"):
        average.advanced(109, 9)
    for sums, seconds in (((5, 4), WINDOW_S), ((4, 5), 0)):
        with pytest.raises(Overflow, match="no average from"):
            settlement_price(*sums, seconds)
    with pytest.raises(Overflow):
        average.advanced(111, INT64_MAX + 1)


def test_a_series_that_does_not_sum_to_zero_is_not_settled() -> None:
    """Whoever made a contract out of nothing is told so."""
    with pytest.raises(Overflow, match="series 1 sum to 1, not to zero"):
        settle_series(Terms(1, 0, EXPIRY, 1, is_call=True), 5, {1: 3, 2: -2})


@settings(max_examples=200)
@given(LEGS, st.integers(0, 2 * 10**12))
def test_nothing_pays_less_than_the_lowest_payoff(legs: list[tuple[int, Terms]], price: int) -> None:
    """At any price up to the last strike; beyond it only calls sold on top lose more; one price attains it."""
    lowest, slope = lowest_payoff(legs)

    def pays(price: int) -> int:
        return sum(quantity * terms.payoff(price) for quantity, terms in legs)

    last = max((terms.strike for _, terms in legs), default=0)
    assert lowest + min(slope, 0) * max(price - last, 0) <= pays(price)
    assert lowest == min(pays(price) for price in (0, *(terms.strike for _, terms in legs)))
    assert slope == pays(last + 1) - pays(last)


@settings(max_examples=100)
@given(LEGS, st.integers(0, 2 * 10**12))
def test_a_maximum_loss_covers_every_settlement(legs: list[tuple[int, Terms]], price: int) -> None:
    """What all legs of a combo get at any price isn't below it, to the dust of each leg."""
    worst = max_loss(legs)
    cash = sum(settled(terms.payoff(price), quantity).cash for quantity, terms in legs)
    if worst is None:
        assert sum(quantity for quantity, terms in legs if terms.is_call) < 0
    else:
        assert cash >= -worst - len(legs)


def _rounded_for_the_account(payoff: int, quantity: int) -> Settled:
    cash = -(-payoff * quantity // QUANTITY_UNIT)
    return Settled(cash, 0)


def _truncated(payoff: int, quantity: int) -> Settled:
    size = payoff * abs(quantity) // QUANTITY_UNIT
    return Settled(size if quantity > 0 else -size, (payoff * quantity) % QUANTITY_UNIT)


def _put_as_call(terms: Terms, price: int) -> int:
    return max(price - terms.strike, 0)


def _put_without_floor(terms: Terms, price: int) -> int:
    return price - terms.strike if terms.is_call else terms.strike - price


def _dust_forgotten(payoff: int, quantity: int) -> Settled:
    return Settled(settled(payoff, quantity).cash, 0)


def _rounded_average(at_start: int, at_expiry: int, seconds: int) -> int:
    return (2 * (at_expiry - at_start) + seconds) // (2 * seconds)


def _late_price(average: Average, timestamp: int, price: int) -> Average:
    return Average(average.total + price * (timestamp - average.timestamp), timestamp, price)


MUTANTS: dict[str, tuple[Any, str, Any, Callable[[random.Random], None]]] = {
    "rounds for the account": (payoff_module, "settled", _rounded_for_the_account, check_settlement),
    "rounds towards zero": (payoff_module, "settled", _truncated, check_settlement),
    "forgets the dust": (payoff_module, "settled", _dust_forgotten, check_settlement),
    "pays puts like calls": (Terms, "payoff", _put_as_call, check_settlement),
    "lets longs pay": (Terms, "payoff", _put_without_floor, check_settlement),
    "rounds the average": (payoff_module, "settlement_price", _rounded_average, check_average),
    "counts a new price from the last update": (Average, "advanced", _late_price, check_average),
    "forgets the time since the last update": (Average, "at", lambda self, _: self.total, check_average),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_wrong_settlement_is_caught(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each deliberate mistake breaks a property within two hundred draws."""
    where, name, wrong, check = MUTANTS[mutant]
    monkeypatch.setattr(where, name, wrong)
    with pytest.raises(AssertionError):
        _check_all(check)


@pytest.mark.parametrize("check", [check_settlement, check_average])
def test_the_right_settlement_survives_the_draws_of_the_mutants(
    check: Callable[[random.Random], None],
) -> None:
    """So that what a mutant breaks is the mutant."""
    _check_all(check)


def _check_all(check: Callable[[random.Random], None]) -> None:
    for seed in range(200):
        check(random.Random(seed))
