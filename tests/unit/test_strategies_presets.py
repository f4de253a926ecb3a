"""Presets make the structures that the field means by their names, on any market that lists enough strikes."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.market.errors import UnitError
from orchestrator.market.testing import EXAMPLE_MARKET
from orchestrator.market.units import price_units
from orchestrator.strategies.black_scholes import Model
from orchestrator.strategies.errors import PresetError, StrategyError
from orchestrator.strategies.model import AUTO, Kind, Leg, Side, Strategy
from orchestrator.strategies.parameters import MEANINGS, describe
from orchestrator.strategies.payoff import Holding, payoff, profile
from orchestrator.strategies.presets import PRESETS, build

CAP = price_units(EXAMPLE_MARKET.price_cap)
USD = 1_000_000
PRICES = st.integers(0, 2 * CAP)
MODEL = Model(EXAMPLE_MARKET.spot, EXAMPLE_MARKET.volatility, EXAMPLE_MARKET.rate, EXAMPLE_MARKET.price_cap)
YEARS = 0.25


def _holdings(strategy: Strategy) -> list[Holding]:
    return [Holding(leg.kind, leg.strike, leg.signed_quantity) for leg in strategy.legs]


def _value(strategy: Strategy) -> float:
    """Model value, USD."""
    return sum(
        MODEL.price(leg.kind, leg.strike / USD, YEARS) * leg.signed_quantity / 10_000 for leg in strategy.legs
    )


def _payoff(name: str, price: int, **given: object) -> float:
    return payoff(_holdings(build(name, EXAMPLE_MARKET, **given)), price, CAP) / USD


@given(PRICES)
def test_payoffs_are_the_textbook_ones(price: int) -> None:
    """Each structure of one unit pays its closed form at every price."""
    x = min(price, CAP) / USD
    expected = {
        "vertical": min(max(x - 2_000, 0), 100),
        "straddle": abs(x - 2_000),
        "strangle": max(1_900 - x, 0) + max(x - 2_100, 0),
        "butterfly": max(0, 100 - abs(x - 2_000)),
        "iron_condor": -min(max(1_900 - x, 0), 100) - min(max(x - 2_100, 0), 100),
        "collar": min(max(x, 1_900), 2_100) - x,
        "box": 200,
    }
    assert expected.keys() == PRESETS.keys()
    assert {name: _payoff(name, price) for name in expected} == pytest.approx(expected, abs=1e-9)
    assert _payoff("vertical", price, kind="put") == pytest.approx(min(max(2_100 - x, 0), 100), abs=1e-9)
    assert _payoff("butterfly", price, kind="put") == pytest.approx(expected["butterfly"], abs=1e-9)


@pytest.mark.parametrize("name", PRESETS)
@given(price=PRICES)
def test_selling_turns_every_leg_round(name: str, price: int) -> None:
    """The two sides of a structure cancel at every price."""
    sides = [_payoff(name, price, side=side) for side in Side]
    assert sum(sides) == 0


def test_prices_obey_the_identities_between_structures() -> None:
    """Box is the discounted width; the two verticals make a box; a butterfly and a short condor stay in bounds."""
    discount = MODEL.discount(YEARS)
    assert _value(build("box", EXAMPLE_MARKET)) == pytest.approx(discount * 200)
    bull, bear = (_value(build("vertical", EXAMPLE_MARKET, kind=kind)) for kind in Kind)
    assert bull + bear == pytest.approx(discount * 100)
    assert 0 <= _value(build("butterfly", EXAMPLE_MARKET)) <= discount * 100
    credit = -_value(build("iron_condor", EXAMPLE_MARKET))
    assert 0 < credit < discount * 100


@given(st.integers(0, 100 * USD))
def test_a_condors_loss_is_its_wing_less_the_credit(credit: int) -> None:
    """The maximum loss of a short iron condor, for any credit."""
    found = profile(_holdings(build("iron_condor", EXAMPLE_MARKET)), -credit, CAP)
    assert (found.max_loss, found.max_gain) == (100 * USD - credit, credit)


def test_legs_take_rollups_in_turn_and_scale_with_quantity() -> None:
    """Names repeat in order; a butterfly's body has twice the size; the default is auto and the last expiry."""
    strategy = build("iron_condor", EXAMPLE_MARKET, rollups="beta,alpha", quantity="2.5", expiry="1d")
    assert [leg.rollup for leg in strategy.legs] == ["beta", "alpha", "beta", "alpha"]
    assert {leg.quantity for leg in strategy.legs} == {25_000}
    assert {leg.expiry_s for leg in strategy.legs} == {86_400.0}
    assert [leg.quantity for leg in build("butterfly", EXAMPLE_MARKET).legs] == [10_000, 20_000, 10_000]
    assert {(leg.rollup, leg.expiry_s) for leg in build("box", EXAMPLE_MARKET).legs} == {(AUTO, None)}


def test_explicit_strikes_replace_distances() -> None:
    """Strikes are taken as given, when the market lists them."""
    strategy = build("vertical", EXAMPLE_MARKET, strikes=[1_600, 2_400])
    assert [leg.strike for leg in strategy.legs] == [1_600 * USD, 2_400 * USD]


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("calender", {}, "no preset is called 'calender'"),
        ("straddle", {"width": 1}, "no parameter 'width'"),
        ("vertical", {"width": 0}, "width can't be 0"),
        ("vertical", {"width": 1.5}, "width can't be 1.5"),
        ("vertical", {"width": 9}, "too few strikes"),
        ("vertical", {"kind": "future"}, "kind can't be 'future'"),
        ("vertical", {"side": "hold"}, "side can't be 'hold'"),
        ("vertical", {"strikes": [2_000, 1_900]}, "2 ascending strikes"),
        ("vertical", {"strikes": [2_000]}, "2 ascending strikes"),
        ("vertical", {"strikes": [2_000, 2_050]}, "strike 2050 isn't listed"),
        ("vertical", {"quantity": True}, "quantity can't be True"),
        ("vertical", {"rollups": ""}, "rollups can't be ''"),
        ("vertical", {"rollups": []}, r"rollups can't be \[\]"),
        ("box", {"expiry": 5}, "no series expires 5 s"),
        ("box", {"expiry": "5"}, "expiry can't be '5'"),
        ("butterfly", {"strikes": [1_600, 1_800, 1_900]}, "equally spaced"),
        ("butterfly", {"width": 3}, None),
    ],
)
def test_bad_parameters_are_refused_by_name(name: str, given: dict[str, object], message: str | None) -> None:
    """The error says which parameter, what it was and what it means."""
    if message is None:
        assert len(build(name, EXAMPLE_MARKET, **given).legs) == 3
        return
    with pytest.raises(PresetError, match=message):
        build(name, EXAMPLE_MARKET, **given)


@pytest.mark.parametrize("quantity", [0.00001, -1.0, float("nan"), float("inf"), 1e30])
def test_quantities_that_the_market_cannot_express_are_refused(quantity: float) -> None:
    """No quantity is rounded silently."""
    with pytest.raises(UnitError, match=r"quantity"):
        build("straddle", EXAMPLE_MARKET, quantity=quantity)


def test_a_quantity_of_nothing_is_refused() -> None:
    """A leg of zero isn't a leg."""
    with pytest.raises(StrategyError, match="must be positive"):
        build("straddle", EXAMPLE_MARKET, quantity=0)


def test_strikes_follow_the_spot() -> None:
    """The strike nearest to the spot is the middle, wherever the spot is."""
    market = replace(EXAMPLE_MARKET, spot=1_851.0)
    assert [leg.strike for leg in build("straddle", market).legs] == [1_900 * USD] * 2


def test_every_parameter_of_every_preset_is_described() -> None:
    """``rollnet strategy show`` has something to show."""
    for preset in PRESETS.values():
        assert preset.summary.endswith(".")
        for name in preset.parameters:
            assert describe(name, preset.defaults)[1] == MEANINGS[name]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [((1, 0), "quantity"), ((1, -1), "quantity"), ((0, 1), "strike"), ((1, 1, None, AUTO, -1), "limit")],
)
def test_legs_that_make_no_sense_cannot_be_made(wrong: tuple[Any, ...], field: str) -> None:
    """A leg is checked when it is made, whoever makes it."""
    with pytest.raises(StrategyError, match=field):
        Leg(Side.BUY, Kind.CALL, "ETH", *wrong)


def test_a_strategy_has_legs() -> None:
    """An empty one is refused."""
    with pytest.raises(StrategyError, match="0 legs"):
        Strategy("empty", ())
