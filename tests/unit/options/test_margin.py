"""Margin: the properties of both modes against plain fractions, what is accepted, and mutants that the properties catch."""

import random
from collections.abc import Callable
from dataclasses import replace
from operator import floordiv
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollup_node.engines.options.risk import margin as margin_module
from rollup_node.engines.options.risk import portfolio, standard
from rollup_node.engines.options.risk.margin import Margin, Mode, accepts, margin
from rollup_node.engines.options.risk.pending import Pending, gather
from rollup_node.engines.options.risk.rows import RiskRow, packed, series_risk
from rollup_node.engines.options.risk.testing import EXPIRIES, TERMS, account, check, oracle, risks_of
from rollup_node.engines.options.values import INT64_MAX, PRICE_UNIT, QUANTITY_UNIT, WAD, Overflow

RISKS = risks_of()
DOUBTFUL = risks_of(confidence=WAD // 2)
ROUNDS = 400
"""Draws that a mutant has to survive to go unseen."""


def _of(underlying: int, strike: int, *, is_call: bool, expiry: int = EXPIRIES[1]) -> int:
    (series,) = (
        terms.series
        for terms in TERMS
        if (terms.underlying, terms.strike, terms.is_call, terms.expiry)
        == (underlying, strike * PRICE_UNIT, is_call, expiry)
    )
    return series


@pytest.mark.parametrize("risks", [RISKS, DOUBTFUL], ids=["sure", "doubtful"])
@settings(max_examples=300)
@given(seed=st.integers(0, 2**64))
def test_margin_keeps_its_properties(risks: Any, seed: int) -> None:
    """Exact and rounded against the account, sub-additive, never above a premium, initial above maintenance, fills counted."""
    check(random.Random(seed), risks)


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(
            st.integers(-INT64_MAX, INT64_MAX),
            st.integers(0, INT64_MAX),
            st.lists(st.integers(-INT64_MAX, INT64_MAX), min_size=16, max_size=16),
        ),
        max_size=32,
    )
)
def test_numbers_of_any_size_within_their_range_are_summed_exactly(
    rows: list[tuple[int, int, list[int]]],
) -> None:
    """Lanes don't run into each other: quantities, marks and changes at the ends of 64 bits."""
    terms = TERMS[0]
    risks = {
        series: series_risk(terms, RiskRow(mark, tuple(changes), 1), oracle(0))
        for series, (_, mark, changes) in enumerate(rows)
    }
    positions = [(series, quantity) for series, (quantity, _, _) in enumerate(rows)]
    losses = [-sum(quantity * changes[lane] for quantity, _, changes in rows) for lane in range(16)]
    floor = sum(max(-quantity, 0) * risks[series].short_floor for series, quantity in positions)
    expected = max(*losses, floor, 0)
    assert -(-expected // QUANTITY_UNIT) == margin(0, positions, risks).maintenance


def test_a_naked_call_a_spread_and_a_box_are_required_what_their_nature_says() -> None:
    """The long strike takes most of the requirement away; a box has no scan risk, only the floor of its shorts."""
    low_call, high_call = _of(0, 3_000, is_call=True), _of(0, 3_300, is_call=True)
    low_put, high_put = _of(0, 3_000, is_call=False), _of(0, 3_300, is_call=False)
    unit = QUANTITY_UNIT
    naked = margin(0, [(low_call, -unit)], RISKS).maintenance
    spread = margin(0, [(low_call, -unit), (high_call, unit)], RISKS).maintenance
    box = [(low_call, unit), (high_call, -unit), (low_put, -unit), (high_put, unit)]
    floors = RISKS[high_call].short_floor + RISKS[low_put].short_floor
    assert 4 * spread < naked
    assert floors == margin(0, box, RISKS).maintenance
    standard_mode = {mode: margin(0, [(low_call, -unit)], RISKS, mode=mode) for mode in Mode}[Mode.STANDARD]
    assert 15 * 3_000 * PRICE_UNIT // 100 == standard_mode.initial
    assert 9 * 3_000 * PRICE_UNIT // 100 == standard_mode.maintenance


def test_low_confidence_asks_for_the_doubtful_part_of_each_shorts_notional() -> None:
    """Half sure: half of the forward, in initial margin alone; longs need nothing more."""
    short = [(_of(0, 3_000, is_call=True), -QUANTITY_UNIT)]
    sure, doubtful = margin(0, short, RISKS), margin(0, short, DOUBTFUL)
    assert sure.maintenance == doubtful.maintenance
    assert oracle(0).forwards[EXPIRIES[1]] // 2 + 1 == doubtful.initial - sure.initial
    long = [(short[0][0], QUANTITY_UNIT)]
    assert margin(0, long, RISKS) == margin(0, long, DOUBTFUL)


def test_what_is_locked_is_required_in_both_and_nobody_is_covered_with_it() -> None:
    """Maximum losses of locked combos are added as they are."""
    plain, locked = margin(10, [], RISKS), margin(10, [], RISKS, locked=7)
    assert (7, 7, False) == (locked.maintenance, locked.initial, locked.covered)
    assert (0, 0, True) == (plain.maintenance, plain.initial, plain.covered)


MARGINS = st.builds(
    Margin, st.integers(-100, 100), st.integers(0, 50), st.integers(50, 100), covered=st.just(value=False)
)


@settings(max_examples=200)
@given(MARGINS, MARGINS)
def test_risk_may_grow_above_initial_margin_and_only_shrink_below_it(before: Margin, after: Margin) -> None:
    """A healthy end is accepted; a shortfall only if it is smaller than the one before."""
    if accepts(before, after):
        assert after.surplus >= 0 or after.surplus > before.surplus
    else:
        assert after.surplus < 0
        assert after.surplus <= before.surplus
    assert accepts(after, after) == (after.surplus >= 0)


@settings(max_examples=200)
@given(st.integers(0, 2**64))
def test_a_covered_account_is_accepted_and_never_liquidated(seed: int) -> None:
    """Whoever owes nothing may spend all cash on options, whatever initial margin says."""
    chance = random.Random(seed)
    drawn = account(chance, RISKS, chance.choice(list(Mode)), orders=3)
    longs = replace(drawn, cash=abs(drawn.cash), positions=tuple((s, abs(q)) for s, q in drawn.positions))
    found = longs.margin(RISKS)
    assert not (found.covered and found.liquidatable)
    if found.covered:
        assert accepts(found, found)
    assert margin(0, longs.positions, RISKS, mode=longs.mode).covered


def test_roundings_that_hit_each_other_do_not_liquidate_an_account_without_debts() -> None:
    """A sliver of an option that a scenario makes worthless is required above its value, by one micro-dollar."""
    worthless = series_risk(TERMS[0], RiskRow(5, (-5,) * 16, 1), oracle(0))
    found = margin(0, [(0, 1)], {0: worthless})
    assert (0, 1, False) == (found.equity, found.maintenance, found.liquidatable)
    assert margin(-1, [(0, 1)], {0: worthless}).liquidatable


def test_orders_are_summed_by_series_and_side() -> None:
    """Quantities add up; the worst limits of each side stay."""
    orders = [(7, True, 10, 5), (3, False, 20, 1), (7, True, 12, 2), (3, False, 18, 4), (7, False, 30, 9)]
    expected = (Pending(3, 0, 5, 0, 18), Pending(7, 7, 9, 12, 30))
    assert expected == gather(orders)


def test_a_row_needs_what_the_oracle_knows() -> None:
    """A series without forward or volatility, or of another underlying, is an overflow that names it."""
    bare = oracle(0)
    for broken in (
        replace(bare, forwards={}),
        replace(bare, volatilities={}),
        replace(bare, underlying=5),
    ):
        with pytest.raises(Overflow, match="series 0 "):
            series_risk(TERMS[0], RISKS[0].row, broken)


def _nearest(dividend: int, divisor: int) -> int:
    return (2 * dividend + divisor) // (2 * divisor)


def _without(**changes: int) -> Callable[[pytest.MonkeyPatch], dict[int, Any]]:
    def mutate(_: pytest.MonkeyPatch) -> dict[int, Any]:
        return {series: replace(risk, **changes) for series, risk in RISKS.items()}

    return mutate


def _patched(module: Any, name: str, value: Any) -> Callable[[pytest.MonkeyPatch], dict[int, Any]]:
    def mutate(patch: pytest.MonkeyPatch) -> dict[int, Any]:
        patch.setattr(module, name, value)
        return dict(RISKS)

    return mutate


def _one_pot(losses: dict[int, int]) -> int:
    return _WORST({0: sum(losses.values())})


def _crash_forgotten(_: pytest.MonkeyPatch) -> dict[int, Any]:
    kept = {series: risk.row.changes[:14] for series, risk in RISKS.items()}
    return {
        series: replace(
            risk,
            lanes=packed(kept[series]),
            short_lanes=packed((*kept[series], 0, 0, risk.short_floor)),
        )
        for series, risk in RISKS.items()
    }


def _check_all(risks: dict[int, Any]) -> None:
    for seed in range(ROUNDS):
        check(random.Random(seed), risks)


_WORST = portfolio._worst

MUTANTS = {
    "requirements rounded down": _patched(portfolio, "ceil_divide", floordiv),
    "requirements rounded to the nearest": _patched(portfolio, "ceil_divide", _nearest),
    "standard requirements rounded down": _patched(standard, "ceil_divide", floordiv),
    "underlyings offset each other": _patched(portfolio, "_worst", _one_pot),
    "the crash scenario is forgotten": _crash_forgotten,
    "bids that fall are forgotten": _without(falls=0),
    "offers that rise are forgotten": _without(rises=0),
    "limits beyond the mark are forgotten": _patched(Pending, "dearer_than", lambda *_: 0),
    "the floor of shorts is forgotten": lambda _: {
        series: replace(risk, short_lanes=risk.lanes) for series, risk in RISKS.items()
    },
    "equity in whole contracts": _patched(margin_module, "QUANTITY_UNIT", 1),
    "calls sold beyond those bought are forgotten": _patched(
        standard, "lowest_payoff", lambda legs: (standard_lowest(legs)[0], 0)
    ),
}
standard_lowest = standard.lowest_payoff


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_wrong_margin_rule_is_caught(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each deliberate mistake breaks a property within a few hundred draws; without it they hold on the same draws."""
    risks = MUTANTS[mutant](monkeypatch)
    with pytest.raises(AssertionError):
        _check_all(risks)


def test_the_right_rule_survives_the_draws_of_the_mutants() -> None:
    """So that what a mutant breaks is the mutant."""
    _check_all(RISKS)
