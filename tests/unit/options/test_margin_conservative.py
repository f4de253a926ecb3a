"""I12: a custodian's requirement is never below the engine's maintenance margin, whatever the portfolio and whatever the oracle says."""

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollup_node.engines.options.risk import testing_conservative as conservative
from rollup_node.engines.options.risk.margin import Mode, margin
from rollup_node.engines.options.risk.rows import OracleState, SeriesRisk, risk_row, series_risk
from rollup_node.engines.options.risk.testing import EXPIRIES, NOW, SPOTS, TERMS, oracle
from rollup_node.engines.options.risk.testing_conservative import requirement
from rollup_node.engines.options.values import PRICE_UNIT, QUANTITY_UNIT, SECONDS_PER_DAY, WAD

PORTFOLIOS = 40
"""In each market."""
ROUNDS = 60
"""Markets that a mutant has to survive to go unseen."""
Oracles = Mapping[int, OracleState]
USUAL = {underlying: oracle(underlying) for underlying in range(2)}


def _market(chance: random.Random) -> tuple[dict[int, SeriesRisk], Oracles]:
    """Any smile, crooked ones too; rates of either sign; from an hour to years before expiry; spots far from the strikes."""
    smile, oracles = chance.choice((0, 0, 20, 90)), {}
    for underlying, usual in USUAL.items():
        spot = SPOTS[underlying] * chance.choice((50, 95, 100, 103, 180)) // 100
        strikes = {(terms.expiry, terms.strike) for terms in TERMS if terms.underlying == underlying}
        said = {
            place: chance.choice((1, 1_000, 70 + chance.randint(-smile, smile) * 2 // 3)) * WAD // 100
            if smile == 90
            else (70 + chance.randint(-smile, smile)) * WAD // 100
            for place in sorted(strikes)
        }
        oracles[underlying] = replace(
            usual,
            spot=spot,
            forwards={expiry: spot + chance.randint(-spot // 20, spot // 20) for expiry in EXPIRIES},
            volatilities={
                terms.series: said[terms.expiry, terms.strike] for terms in TERMS if terms.underlying == underlying
            },
            discount=chance.choice((WAD * 6 // 10, WAD * 99 // 100, WAD, WAD * 11 // 10, 2 * WAD)),
            timestamp=NOW + chance.choice((0, 2 * SECONDS_PER_DAY - 3_600, -700 * SECONDS_PER_DAY)),
        )  # fmt: skip
    risks = {
        terms.series: series_risk(terms, risk_row(terms, said), said)
        for terms in TERMS
        for said in (oracles[terms.underlying],)
    }
    return risks, oracles


def _portfolio(chance: random.Random) -> list[tuple[int, int]]:
    """A box, a few legs of one strategy, or many of anything; whole, odd and tiny quantities."""
    if chance.random() < 0.1:
        first = 8 * chance.randrange(4) + 2 * chance.randrange(
            3
        )  # a call, its put, and those of the next strike
        return [(first + leg, sign * QUANTITY_UNIT) for leg, sign in enumerate((-1, 1, 1, -1))]
    size = chance.choice((1, 2, 2, 4, 4, 12))
    pool = [terms.series for terms in TERMS]
    if size < 12:
        first = chance.choice(TERMS)
        pool = [
            one.series for one in TERMS if (one.underlying, one.expiry) == (first.underlying, first.expiry)
        ]
    unit = chance.choice((1, QUANTITY_UNIT, 7 * QUANTITY_UNIT + 3))
    return [(series, chance.choice((-1, 1)) * unit * chance.choice((1, 1, 1, 3))) for series in sorted(chance.sample(pool, size))]  # fmt: skip


def _check(seed: int) -> int:
    """The order of the requirements in one market; of how many portfolios a stale oracle asks for more."""
    chance = random.Random(seed)
    risks, oracles = _market(chance)
    return sum(_is_ordered(_portfolio(chance), risks, oracles) for _ in range(PORTFOLIOS))


def _check_all(markets: int) -> int:
    return sum(map(_check, range(markets)))


def _is_ordered(positions: list[tuple[int, int]], risks: dict[int, SeriesRisk], oracles: Oracles) -> bool:
    asked, stale = (requirement(positions, risks, oracles, stale=stale) for stale in (False, True))
    for mode in Mode:
        engine = margin(0, positions, risks, mode=mode).maintenance
        assert engine <= asked, f"{mode.name}: the engine asks {engine}, the custodian {asked} of {positions}"
    assert asked <= stale, f"a stale oracle lowers {asked} to {stale}"
    return asked < stale


@settings(max_examples=5)
@given(st.integers(0, 2**64))
def test_the_custodian_never_asks_for_less_than_the_engine(seed: int) -> None:
    """Both margin modes; bounded and unbounded portfolios; a stale oracle asks for no less than a fresh one."""
    _check(seed)


@pytest.mark.long
def test_the_custodian_never_asks_for_less_in_thousands_of_draws() -> None:
    """As above; a shock that is doubled shows in many."""
    assert 1_000 < _check_all(200)


def test_a_bounded_portfolio_is_held_for_its_maximum_loss_alone() -> None:
    """A call spread at one volatility: marks and the distance of its strikes, whatever the shock; a naked call is held for the shock."""
    smooth = {
        one: replace(said, volatilities=dict.fromkeys(said.volatilities, WAD * 7 // 10), discount=WAD)
        for one, said in USUAL.items()
    }
    risks = {
        one.series: series_risk(one, risk_row(one, smooth[one.underlying]), smooth[one.underlying])
        for one in TERMS
    }
    low, high = (
        next(
            one.series
            for one in TERMS
            if (one.underlying, one.expiry, one.strike, one.is_call)
            == (0, EXPIRIES[1], strike * PRICE_UNIT, True)
        )
        for strike in (2_700, 3_000)
    )
    spread = [(low, -QUANTITY_UNIT), (high, QUANTITY_UNIT)]
    value = risks[high].mark - risks[low].mark
    for stale in (False, True):
        assert 300 * PRICE_UNIT + value + 8 == requirement(spread, risks, smooth, stale=stale)
    fresh, stale_one = (requirement(spread[:1], risks, smooth, stale=stale) for stale in (False, True))
    assert 1_500 * PRICE_UNIT <= stale_one - fresh <= 1_600 * PRICE_UNIT


def _patched(name: str, made: Callable[[Any], Any]) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setattr(conservative, name, made(getattr(conservative, name)))


MUTANTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "no floor of shorts": _patched("_floor", lambda _: lambda held: 0),
    "a smile hides nothing": _patched("_hidden", lambda _: lambda held, oracle, shock: 0),
    "a shorter shock": _patched("SHOCK", lambda _: 100_000),
    "volatility stays": _patched("risen_volatility", lambda _: lambda volatility, seconds: volatility),
    "no time value": _patched("call_put", lambda old: lambda *args: replace(old(*args), call=0)),
    "discounts above one don't count": _patched("WAD", lambda old: old * 2),
    "calls sold beyond those bought are covered": _patched(
        "lowest_payoff", lambda old: lambda legs: (old(legs)[0], 0)
    ),
    "a short is worth its mark": _patched("_worth", lambda _: lambda risk, oracle, shock: risk.mark),
}


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_a_mutant_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of these mistakes puts the engine above the custodian within a few hundred draws."""
    MUTANTS[name](monkeypatch)
    with pytest.raises(AssertionError, match="the engine asks"):
        _check_all(ROUNDS)
