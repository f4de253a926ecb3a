"""Greeks of accounts and books are the sums of their contracts'."""

import numpy as np
import pytest

from rollup_node.engines.options.pricing.vectors import Greeks
from rollup_node.engines.options.risk.greeks import Side, account_greeks, book_greeks, series_greeks
from rollup_node.engines.options.risk.testing import TERMS, oracle, risks_of
from rollup_node.engines.options.values import PRICE_UNIT, QUANTITY_UNIT

SOME = [terms for terms in TERMS if terms.underlying == 0]
CONTRACTS = series_greeks(SOME, oracle(0))


def test_contracts_are_priced_at_the_marks_of_the_risk_rows() -> None:
    """Monitoring and settlement see one market, to a unit."""
    risks = risks_of()
    marks = np.array([risks[terms.series].mark for terms in SOME])
    assert np.abs(CONTRACTS.price * PRICE_UNIT - marks).max() <= 1.001


def test_an_account_has_the_sum_of_its_contracts() -> None:
    """Of every figure, signed and by quantity."""
    quantities = np.zeros((2, len(SOME)), np.int64)
    quantities[0, 1], quantities[0, 4], quantities[1, 2] = 3 * QUANTITY_UNIT, -QUANTITY_UNIT // 2, 1
    found = account_greeks(quantities, CONTRACTS)
    for name in Greeks.__slots__:
        column = getattr(CONTRACTS, name)
        expected = [3 * column[1] - column[4] / 2, column[2] / QUANTITY_UNIT]
        assert expected == pytest.approx(list(getattr(found, name)), rel=1e-12)


def test_calls_less_puts_have_the_delta_of_the_forward_and_nothing_else() -> None:
    """A synthetic forward: its delta is the discount; gamma and vega cancel."""
    quantities = np.zeros((1, len(SOME)), np.int64)
    quantities[0, 0], quantities[0, 1] = QUANTITY_UNIT, -QUANTITY_UNIT
    found = account_greeks(quantities, CONTRACTS)
    assert found.delta[0] == pytest.approx(0.99)
    assert (found.gamma[0], found.vega[0]) == pytest.approx((0.0, 0.0), abs=1e-12)


def test_a_book_has_both_sides_as_their_owners_see_them() -> None:
    """Bids are bought, offers are sold."""
    sides = [Side(2 * QUANTITY_UNIT, QUANTITY_UNIT) for _ in SOME]
    found = book_greeks(sides, CONTRACTS)
    np.testing.assert_allclose(2 * CONTRACTS.vega, found.bought.vega)
    np.testing.assert_allclose(-CONTRACTS.delta, found.sold.delta)
