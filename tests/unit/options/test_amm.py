"""The market maker's quotes: no round trip profits the trader, in whatever pieces and series; and mutants that do."""

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollup_node.engines.options.amm import quotes
from rollup_node.engines.options.amm.quotes import (
    AmmQuote,
    NoQuote,
    Rule,
    exposure_of,
    quote,
    sensitivity_of,
)
from rollup_node.engines.options.risk.testing import TERMS, oracle, risks_of
from rollup_node.engines.options.values import PRICE_UNIT, QUANTITY_UNIT, WAD, cash_for

SOME = [terms for terms in TERMS if terms.underlying == 0]
RISKS = risks_of()
MARKS = [RISKS[terms.series].mark for terms in SOME]
SENSITIVITIES = [sensitivity_of(terms, oracle(0)) for terms in SOME]
LIMIT = 2_000 * PRICE_UNIT * QUANTITY_UNIT
"""2,000 dollars per percent of volatility."""


def check_round_trip(chance: random.Random) -> bool:
    """Trade up and down in random pieces of several series, return to the start, and count the cash.

    Returns:
        Whether the maker quoted the whole way back.
    """
    rule = Rule(LIMIT, chance.choice((0, 1, 200_000, 900_000)), chance.choice((0, 0, 1, 20_000)))
    start = exposure = chance.randint(-LIMIT // 2, LIMIT // 2)
    held, cash = [0] * len(SOME), 0

    def trade(series: int, quantity: int) -> None:
        nonlocal exposure, cash
        found = quotes.quote(rule, MARKS[series], SENSITIVITIES[series], exposure, quantity)
        held[series] += quantity
        exposure, cash = found.exposure, cash + found.cash

    for _ in range(chance.randint(1, 6)):
        try:
            trade(chance.randrange(len(SOME)), chance.randint(-50 * QUANTITY_UNIT, 50 * QUANTITY_UNIT))
        except NoQuote:
            continue
    for series in chance.sample(range(len(SOME)), len(SOME)):
        while held[series]:
            piece = (
                -held[series] if abs(held[series]) < 5 else -chance.choice((held[series], held[series] // 2))
            )
            try:
                trade(series, piece)
            except NoQuote:
                return False
    assert start == exposure
    assert cash <= 0, "the trader is back where they began, and richer"
    return True


@settings(max_examples=300)
@given(st.integers(0, 2**64))
def test_no_round_trip_profits_the_trader(seed: int) -> None:
    """Any sequence that returns to the start inventory costs nothing or something, never less."""
    check_round_trip(random.Random(seed))


@settings(max_examples=200)
@given(
    st.integers(0, len(SOME) - 1),
    st.integers(-LIMIT, LIMIT),
    st.integers(1, 10**7),
    st.integers(0, 10**6),
    st.integers(0, 10**5),
)
def test_buying_and_selling_again_never_profits(
    series: int, exposure: int, quantity: int, skew: int, spread: int
) -> None:
    """The simplest round trip, either way round, at any inventory."""
    rule, of = Rule(LIMIT, skew, spread), (MARKS[series], SENSITIVITIES[series])
    for first in (quantity, -quantity):
        try:
            there = quote(rule, *of, exposure, first)
            back = quote(rule, *of, there.exposure, -first)
        except NoQuote:
            continue
        assert there.cash + back.cash <= 0
        assert exposure == back.exposure


@settings(max_examples=200)
@given(st.integers(0, len(SOME) - 1), st.integers(-LIMIT, LIMIT), st.integers(-(10**6), 10**6))
def test_the_price_is_that_of_the_inventory_in_the_middle(series: int, exposure: int, quantity: int) -> None:
    """To a unit of cash; what is shown is against the trader, and the cash is never more than that price makes."""
    rule = Rule(LIMIT, 300_000, 0)
    try:
        found = quote(rule, MARKS[series], SENSITIVITIES[series], exposure, quantity)
    except NoQuote:
        return
    middle = (exposure + found.exposure) / 2
    price = MARKS[series] - SENSITIVITIES[series] * 30 * middle / LIMIT
    assert abs(-found.cash - price * quantity / QUANTITY_UNIT) <= 1 + abs(found.cash) * 1e-12
    assert found.cash >= cash_for(found.price, -quantity)


def test_a_long_maker_quotes_lower_and_a_short_one_higher() -> None:
    """By its skew at the limit: twenty percent of volatility is twenty sensitivities."""
    rule, series = Rule(LIMIT, 200_000, 0), 2
    tiny = 1
    prices = [
        quote(rule, MARKS[series], SENSITIVITIES[series], exposure, tiny * side * QUANTITY_UNIT).price
        for exposure, side in ((LIMIT - SENSITIVITIES[series] * QUANTITY_UNIT, 1), (0, 1), (-LIMIT, -1))
    ]
    assert prices == sorted(prices)
    moved = [abs(price - MARKS[series]) / SENSITIVITIES[series] for price in prices]
    assert moved == pytest.approx([20, 0, 20], abs=0.1)


def test_the_spread_is_paid_each_way() -> None:
    """Two percent of volatility are two sensitivities above and below the mark."""
    mark, sensitivity = MARKS[4], SENSITIVITIES[4]
    sides = [quote(Rule(LIMIT, 0, 20_000), mark, sensitivity, 0, side * QUANTITY_UNIT) for side in (1, -1)]
    assert [mark + 2 * sensitivity, mark - 2 * sensitivity] == [one.price for one in sides]
    assert [-mark - 2 * sensitivity, mark - 2 * sensitivity] == [one.cash for one in sides]


def test_the_sensitivity_is_one_for_call_and_put_and_none_when_nothing_can_change() -> None:
    """Parity: both gain the same; at expiry neither gains."""
    for call, put in zip(SENSITIVITIES[::2], SENSITIVITIES[1::2], strict=True):
        assert call == put > 0

    over = replace(oracle(0), timestamp=SOME[-1].expiry)
    assert 0 == sensitivity_of(SOME[-1], over)
    assert 3 * 7 - 2 * 5 == exposure_of([(3, 7), (-2, 5)])


@pytest.mark.parametrize(
    ("mark", "exposure", "quantity", "why"),
    [
        (0, 0, 1, "nothing to trade"),
        (5, 0, 0, "nothing to trade"),
        (PRICE_UNIT, 0, -LIMIT, "past the maker's limit"),
        (1, LIMIT, 1, "neither gives away nor takes"),
        (1, LIMIT - 10, -1, "neither gives away nor takes"),
    ],
)
def test_what_the_maker_does_not_trade_is_refused(mark: int, exposure: int, quantity: int, why: str) -> None:
    """And why is said."""
    with pytest.raises(NoQuote, match=why):
        quote(Rule(LIMIT, WAD, 0), mark, 10, exposure, quantity)


def test_a_maker_past_its_limit_still_trades_its_way_back() -> None:
    """An oracle's move may put it there; what brings it nearer is quoted, what takes it farther isn't."""
    rule = Rule(LIMIT, 100_000, 0)
    assert quote(rule, MARKS[0], SENSITIVITIES[0], 2 * LIMIT, QUANTITY_UNIT).exposure < 2 * LIMIT
    with pytest.raises(NoQuote, match="past the maker's limit"):
        quote(rule, MARKS[0], SENSITIVITIES[0], 2 * LIMIT, -QUANTITY_UNIT)


def _at_the_first_inventory(
    rule: Rule, mark: int, sensitivity: int, exposure: int, quantity: int
) -> AmmQuote:
    after = exposure - sensitivity * quantity
    price = mark - sensitivity * rule.skew * exposure // (rule.limit * 10_000)
    return AmmQuote(cash_for(price, -quantity), price, after)


def _for_the_trader(rule: Rule, mark: int, sensitivity: int, exposure: int, quantity: int) -> AmmQuote:
    found = quote(rule, mark, sensitivity, exposure, quantity)
    return AmmQuote(found.cash + 1, found.price, found.exposure)


def _paying_the_spread(rule: Rule, mark: int, sensitivity: int, exposure: int, quantity: int) -> AmmQuote:
    return quote(Rule(rule.limit, rule.skew, -rule.spread), mark, sensitivity, exposure, quantity)


def _curved(rule: Rule, mark: int, sensitivity: int, exposure: int, quantity: int) -> AmmQuote:
    found = quote(rule, mark, sensitivity, exposure, quantity)
    shift = rule.skew * (exposure + found.exposure) / 2 / rule.limit / 10_000
    price = int(
        mark - sensitivity * shift + sensitivity * shift * shift / 100
    )  # as a price at a skewed volatility is
    return AmmQuote(cash_for(price, -quantity), price, found.exposure)


@pytest.mark.parametrize("wrong", [_at_the_first_inventory, _for_the_trader, _paying_the_spread, _curved])
def test_a_wrong_quote_is_caught(wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of these pays somebody for going round."""
    monkeypatch.setattr(quotes, "quote", wrong)
    with pytest.raises(AssertionError, match="richer"):
        _check_all()


def test_the_right_quote_survives_the_draws_of_the_mutants() -> None:
    """So that what a mutant breaks is the mutant."""
    _check_all()


def _check_all() -> None:
    whole = [check_round_trip(random.Random(seed)) for seed in range(1_000)]
    assert sum(whole) > 700
