"""Risk rows: made from the oracle's word alone, against floats, and never a loss beyond what an option is worth."""

import math
from dataclasses import replace

import pytest
import QuantLib as ql  # noqa: N813 - its own users write it so
from hypothesis import given, settings
from hypothesis import strategies as st

from rollup_node.engines.options.pricing.black76 import DISCOUNT_LIMIT
from rollup_node.engines.options.risk.grid import SCENARIOS, ladder
from rollup_node.engines.options.risk.rows import OracleState, Terms, packed, risk_row
from rollup_node.engines.options.risk.testing import TERMS, oracle
from rollup_node.engines.options.values import (
    INT64_MAX,
    PARTS,
    PRICE_UNIT,
    SECONDS_PER_DAY,
    SECONDS_PER_YEAR,
    UINT64_MAX,
    WAD,
    Overflow,
)


def test_the_grid_has_sixteen_different_scenarios_in_pairs() -> None:
    """Every fall of spot has its rise, and only the two extreme ones are weighted."""
    assert 16 == len(set(SCENARIOS))
    assert 0 == sum(scenario.spot for scenario in SCENARIOS)
    assert [320_000, 320_000] == [one.weight for one in SCENARIOS if one.weight != PARTS]


@pytest.mark.parametrize("terms", TERMS, ids=lambda terms: f"series {terms.series}")
def test_a_row_is_what_quantlib_says_of_each_scenario(terms: Terms) -> None:
    """Mark and weighted changes within two units, moved markets made here from the published rule in floats."""
    said = oracle(terms.underlying)
    days = max((terms.expiry - said.timestamp) / SECONDS_PER_DAY, 1)
    volatility = said.volatilities[terms.series] / WAD
    kind = ql.Option.Call if terms.is_call else ql.Option.Put

    def price(forward: float, volatility: float) -> float:
        deviation = volatility * math.sqrt((terms.expiry - said.timestamp) / SECONDS_PER_YEAR)
        return ql.blackFormula(kind, terms.strike, forward, deviation, said.discount / WAD)

    forward = said.forwards[terms.expiry]
    found = risk_row(terms, said)
    mark = price(forward, volatility)
    assert abs(found.mark - mark) <= 1.001
    for scenario, change in zip(SCENARIOS, found.changes, strict=True):
        shock = 0.45 if scenario.volatility_rises else -0.25
        moved = volatility * max(1 + shock * math.sqrt(30 / days), 0.05)
        expected = (price(forward * (1 + scenario.spot / PARTS), moved) - mark) * scenario.weight / PARTS
        # The root of the days left has six digits, and so has the volatility it moves.
        assert abs(change - expected) <= 2 + forward * 1e-6


@settings(max_examples=200)
@given(
    st.integers(1, INT64_MAX),
    st.integers(1, INT64_MAX),
    st.integers(0, UINT64_MAX),
    st.integers(0, 2**32),
    st.integers(1, DISCOUNT_LIMIT),
    st.booleans(),
)
def test_an_option_loses_no_more_than_it_is_worth(
    forward: int, strike: int, volatility: int, seconds: int, discount: int, is_call: bool
) -> None:
    """Whatever a signer may say, there is a row with no change below minus the mark, or an overflow."""
    terms = Terms(1, 0, seconds, strike, is_call)
    said = OracleState(0, forward, {seconds: forward}, {1: volatility}, discount, WAD, 9, 0)
    try:
        found = risk_row(terms, said)
    except Overflow:
        return
    assert (16, 9) == (len(found.changes), found.sequence)
    assert -found.mark <= min(found.changes)
    assert max(map(abs, found.changes)) <= INT64_MAX


def test_after_expiry_a_row_is_of_payoffs() -> None:
    """An oracle later than the expiry: no time left rather than less than none."""
    terms = Terms(1, 0, 100, 3_000 * PRICE_UNIT, is_call=True)
    said = OracleState(0, PRICE_UNIT, {100: 3_100 * PRICE_UNIT}, {1: WAD}, WAD, WAD, 1, 200)
    found = risk_row(terms, said)
    assert 100 * PRICE_UNIT == found.mark
    assert [terms.payoff(3_100 * PRICE_UNIT * (PARTS + one.spot) // PARTS) for one in SCENARIOS[:14]] == [
        found.mark + change for change in found.changes[:14]
    ]


def test_the_same_word_gives_the_same_row_whatever_was_asked_before() -> None:
    """The memory of priced strikes changes speed alone."""
    before = [risk_row(terms, oracle(terms.underlying)) for terms in TERMS]
    ladder.cache_clear()
    assert before == [risk_row(terms, oracle(terms.underlying)) for terms in reversed(TERMS)][::-1]
    later = replace(oracle(0), timestamp=oracle(0).timestamp + 1)
    assert before[0] != risk_row(TERMS[0], later)


@given(st.lists(st.integers(-INT64_MAX, INT64_MAX), min_size=1, max_size=17))
def test_lanes_hold_what_was_packed(numbers: list[int]) -> None:
    """And a product with any quantity is the products' lanes."""
    scaled = packed(tuple(number * -7 for number in numbers))
    assert scaled == -7 * packed(tuple(numbers))
