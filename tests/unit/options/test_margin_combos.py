"""Margin of strategies netted, leg by leg and locked: the research's table to the cent, and what locking saves."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollup_node.engines.options.risk.combos import lock, max_loss
from rollup_node.engines.options.risk.comparison import compare
from rollup_node.engines.options.risk.margin import margin
from rollup_node.engines.options.risk.rows import OracleState, Terms, risk_row, series_risk
from rollup_node.engines.options.values import PRICE_UNIT, QUANTITY_UNIT, SECONDS_PER_DAY, WAD

NOW = 1_800_000_000
NEAR, FAR = NOW + 30 * SECONDS_PER_DAY, NOW + 60 * SECONDS_PER_DAY
FORWARD = 3_000 * PRICE_UNIT
SMILE = {2_600: 72, 2_800: 68, 3_000: 65, 3_200: 66, 3_400: 69}
"""Volatility in percent by strike, as the research's table was made with."""
TERMS = {
    (strike, kind, expiry): Terms(index, 0, expiry, strike * PRICE_UNIT, kind == "call")
    for index, (strike, kind, expiry) in enumerate(
        (strike, kind, expiry) for strike in SMILE for kind in ("call", "put") for expiry in (NEAR, FAR)
    )
}
ORACLE = OracleState(
    underlying=0,
    spot=FORWARD,
    forwards={NEAR: FORWARD, FAR: FORWARD},
    volatilities={terms.series: SMILE[strike] * WAD // 100 for (strike, _, _), terms in TERMS.items()},
    discount=WAD,
    confidence=WAD,
    sequence=1,
    timestamp=NOW,
)
RISKS = {terms.series: series_risk(terms, risk_row(terms, ORACLE), ORACLE) for terms in TERMS.values()}

Sides = dict[tuple[int, str], int]
STRADDLE: Sides = {(3_000, "call"): -1, (3_000, "put"): -1}
BULL_CALL: Sides = {(3_000, "call"): 1, (3_200, "call"): -1}
BEAR_CALL: Sides = {(3_000, "call"): -1, (3_200, "call"): 1}
CONDOR: Sides = {(2_600, "put"): 1, (2_800, "put"): -1, (3_200, "call"): -1, (3_400, "call"): 1}
BUTTERFLY: Sides = {(2_800, "call"): 1, (3_000, "call"): -2, (3_200, "call"): 1}
LONG_BOX: Sides = {(2_800, "call"): 1, (3_200, "call"): -1, (3_200, "put"): 1, (2_800, "put"): -1}
SHORT_BOX: Sides = {place: -side for place, side in LONG_BOX.items()}


def _legs(sides: Sides) -> list[tuple[int, Terms]]:
    return [(side * QUANTITY_UNIT, TERMS[strike, kind, NEAR]) for (strike, kind), side in sides.items()]


@pytest.mark.parametrize(
    ("sides", "required", "netted", "separate"),
    [
        (STRADDLE, 355.94, 355.94, 827.00),
        (BULL_CALL, 61.68, 75.63, 608.65),
        (BEAR_CALL, 72.92, 72.92, 565.05),
        (CONDOR, 30.00, 30.00, 942.11),
        (LONG_BOX, 30.00, 400.00, 1_444.48),
        (SHORT_BOX, 30.00, 30.00, 1_160.90),
    ],
    ids=["straddle", "bull call", "bear call", "condor", "long box", "short box"],
)
def test_the_table_of_the_research_comes_out_to_the_cent(
    sides: Sides, required: float, netted: float, separate: float
) -> None:
    """Maintenance margin and own capital, netted and leg by leg, of another implementation with these parameters."""
    legs = _legs(sides)
    positions = [(terms.series, quantity) for quantity, terms in legs]
    found = compare(legs, RISKS)
    assert required == round(margin(0, positions, RISKS).maintenance / PRICE_UNIT, 2)
    assert (netted, separate) == (round(found.netted / PRICE_UNIT, 2), round(found.separate / PRICE_UNIT, 2))


def test_separate_rollups_cost_thirty_one_and_forty_times_what_one_account_does() -> None:
    """Condor and short box, the two that make locking necessary."""
    ratios = [
        found.separate / found.netted
        for found in (compare(_legs(sides), RISKS) for sides in (CONDOR, SHORT_BOX))
    ]
    assert [31.4, 38.7] == [round(ratio, 1) for ratio in ratios]


@pytest.mark.parametrize(
    ("sides", "loss"),
    [
        (BULL_CALL, 0),
        (BEAR_CALL, 200),
        (CONDOR, 200),
        (BUTTERFLY, 0),
        ({place: -side for place, side in BUTTERFLY.items()}, 200),
        (LONG_BOX, 0),
        (SHORT_BOX, 400),
        (STRADDLE, None),
    ],
)
def test_locked_combos_are_margined_at_their_maximum_loss(sides: Sides, loss: int | None) -> None:
    """The width, or nothing where premiums are all there is to lose; a sold straddle has none."""
    assert (None if loss is None else loss * PRICE_UNIT) == max_loss(_legs(sides))


def test_a_calendar_has_no_maximum_loss() -> None:
    """Two expiries don't settle on one price."""
    assert max_loss([(-1, TERMS[3_000, "call", NEAR]), (1, TERMS[3_000, "call", FAR])]) is None


@pytest.mark.parametrize("sides", [BULL_CALL, BEAR_CALL, CONDOR, BUTTERFLY, LONG_BOX, SHORT_BOX])
def test_locking_takes_less_of_the_owner_than_separate_rollups(sides: Sides) -> None:
    """Less than half, and for the condor little more than a third."""
    found = compare(_legs(sides), RISKS)
    assert found.locked is not None
    assert found.locked < found.separate / 2


@pytest.mark.parametrize(
    ("sides", "required"),
    [
        (BULL_CALL, [0, 0]),
        (BEAR_CALL, [200, 0]),
        (CONDOR, [0, 200, 200, 0]),
        (BUTTERFLY, [0, 0, 0]),
        (LONG_BOX, [0, 0, 0, 0]),
        (SHORT_BOX, [400, 0, 400, 0]),
    ],
)
def test_each_short_legs_rollup_requires_what_pledges_leave(sides: Sides, required: list[int]) -> None:
    """Both sides of a condor and of a sold box need their width: their rollups don't share cash."""
    found = lock(_legs(sides))
    assert found is not None
    assert [dollars * PRICE_UNIT for dollars in required] == list(found.required)


@settings(max_examples=200)
@given(st.integers(0, 2**64))
def test_every_rollup_can_pay_at_every_price(seed: int) -> None:
    """What a short leg owes is covered by its requirement and the pledges to it; no long leg is pledged beyond its size."""
    chance = random.Random(seed)
    strikes = sorted(SMILE)
    legs = [
        (
            chance.randint(-5, 5) * QUANTITY_UNIT,
            TERMS[chance.choice(strikes), chance.choice(("call", "put")), NEAR],
        )
        for _ in range(chance.randint(1, 6))
    ]
    found, worst = lock(legs), max_loss(legs)
    if found is None or worst is None:
        assert found is worst
        assert sum(quantity for quantity, terms in legs if terms.is_call) < 0
        return
    assert worst <= sum(found.required)
    for place, (quantity, _) in enumerate(legs):
        assert sum(one.quantity for one in found.pledges if one.long == place) <= max(quantity, 0)
    for price in (0, *(strike * PRICE_UNIT for strike in strikes), 10_000 * PRICE_UNIT):
        for place, (quantity, terms) in enumerate(legs):
            pays = sum(
                one.quantity * legs[one.long][1].payoff(price) for one in found.pledges if one.short == place
            )
            owes = max(-quantity, 0) * terms.payoff(price)
            assert owes <= found.required[place] * QUANTITY_UNIT + pays
