"""The scan of all accounts says of each exactly what the integer rule of its mode says, whatever the size of its numbers."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rollup_node.engines.options.risk import scan as scanning
from rollup_node.engines.options.risk.margin import Mode, margin
from rollup_node.engines.options.risk.rows import RiskRow, SeriesRisk, series_risk
from rollup_node.engines.options.risk.scan import Scanned, missing, scan
from rollup_node.engines.options.risk.scan_groups import Expiry
from rollup_node.engines.options.risk.testing import TERMS, oracle, risks_of
from rollup_node.engines.options.testing_mutants import patched
from rollup_node.engines.options.values import INT64_MAX, INT64_MIN, INT128_MAX

RISKS = [risks_of()[terms.series] for terms in TERMS]
SIZES = st.sampled_from((10, 10**6, 10**9, 10**12, 10**15, INT64_MAX))


def _agrees(cash: list[int], quantities: np.ndarray, risks: list[SeriesRisk]) -> None:
    for mode in Mode:
        found = scan(cash, quantities, risks, mode)
        below = found.below()
        for row, money in enumerate(cash):
            held = [(column, int(quantity)) for column, quantity in enumerate(quantities[row]) if quantity]
            expected = margin(money, held, dict(enumerate(risks)), mode=mode)
            assert (expected.equity, expected.maintenance) == (found.equity[row], found.maintenance[row])
            assert expected.liquidatable == (row in below)


@settings(max_examples=40)
@given(st.data())
def test_the_scan_is_the_rule_at_any_size(data: st.DataObject) -> None:
    """Accounts that fit doubles, that fit words and that fit neither, side by side."""
    sizes = [data.draw(SIZES) for _ in range(4)]
    rows = [data.draw(arrays(np.int64, len(RISKS), elements=st.integers(-size, size))) for size in sizes]
    cash = [
        data.draw(st.integers(-(10**18), 10**18) | st.integers(-INT128_MAX // 2, INT128_MAX // 2))
        for _ in rows
    ]
    quantities = np.array(rows)
    _agrees(cash, quantities, RISKS)


@pytest.mark.parametrize(
    "quantity", [2**53 + 1, -(2**53) - 1, INT64_MAX, INT64_MIN + 1, 10**13 + 7, -(10**13) - 7]
)
def test_rounding_of_doubles_never_shows(quantity: int) -> None:
    """Quantities next to those that doubles can't hold."""
    quantities = np.zeros((3, len(RISKS)), np.int64)
    quantities[0, 3], quantities[1, 2], quantities[2, 5] = quantity, quantity, 1
    cash = [0, 5, INT64_MAX]
    _agrees(cash, quantities, RISKS)


@pytest.mark.parametrize(
    ("name", "limit"), [("_DOUBLE", 2.0**62), ("_WORD", 2.0**126)], ids=["doubles", "words"]
)
def test_numbers_past_their_limit_would_show(name: str, limit: float) -> None:
    """Mutants: what is done in doubles, or in 64 bits, is only what these hold."""
    quantities = np.random.default_rng(0).integers(-(2**21), 2**21, (100, len(RISKS)))
    quantities[-1, 5] = -INT64_MAX
    cash = [0] * len(quantities)
    _agrees(cash, quantities, RISKS)
    with patched(scanning, name, lambda _: limit), pytest.raises(AssertionError):
        _agrees(cash, quantities, RISKS)


def _forgets_naked_calls(old: Any) -> Any:
    return lambda group, held, gained, alone: np.minimum(alone, np.maximum(-gained[2:].min(axis=0), 0))


def _looks_beyond_the_last_strike(old: Any) -> Any:
    def asked(group: Expiry, *figures: Any) -> Any:
        return old(replace(group, levels=np.full_like(group.levels, len(group.gains))), *figures)

    return asked


@pytest.mark.parametrize("made", [_forgets_naked_calls, _looks_beyond_the_last_strike])
def test_a_maximum_loss_that_is_almost_the_one_is_caught(made: Any) -> None:
    """Standard mode, a few whole contracts each, that hedge each other or don't: naked calls lose without limit, beyond what is held."""
    chance = np.random.default_rng(0)
    quantities = 10_000 * chance.integers(-2, 3, (200, len(RISKS))) * (chance.random((200, len(RISKS))) < 0.1)
    cash = [10**9] * len(quantities)
    _agrees(cash, quantities, RISKS)
    with patched(Expiry, "asked", made), pytest.raises(AssertionError):
        _agrees(cash, quantities, RISKS)


@settings(max_examples=30)
@given(
    st.lists(
        st.lists(st.integers(INT64_MIN, INT64_MAX) | st.just(INT64_MIN), min_size=17, max_size=17),
        min_size=1,
        max_size=4,
    )
)
def test_the_scan_is_the_rule_for_rows_of_any_size(rows: list[list[int]]) -> None:
    """Changes and marks at the ends of 64 bits."""
    risks = [
        series_risk(TERMS[0], RiskRow(min(abs(mark), INT64_MAX), tuple(changes), 1), oracle(0))
        for mark, *changes in rows
    ]
    quantities = np.array([[1] * len(risks), [-1] * len(risks), [10**9] * len(risks)], np.int64)
    _agrees([0, 1, 2], quantities, risks)


def test_the_worst_off_come_first_and_then_the_lowest() -> None:
    """Order of liquidation: share of maintenance margin that is missing, then the row."""
    equity = np.array([100, 40, 90, 40, -5, 0])
    maintenance = np.array([100, 80, 100, 80, 10, 0])
    assert [4, 1, 3, 2] == Scanned(equity, maintenance, np.array([True] * 6)).below()
    assert 1_500_000 == missing(-5, 10)
