"""For tests: a small market, random accounts in it, and margin by plain fractions instead of packed lanes."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, floor

from rollup_node.engines.options.risk.margin import Margin, Mode, Risks, margin
from rollup_node.engines.options.risk.parameters import DEFAULT_PARAMETERS
from rollup_node.engines.options.risk.pending import gather
from rollup_node.engines.options.risk.rows import OracleState, SeriesRisk, Terms, risk_row, series_risk
from rollup_node.engines.options.values import PRICE_UNIT, QUANTITY_UNIT, SECONDS_PER_DAY, WAD, cash_for

NOW = 1_800_000_000
EXPIRIES = (NOW + 2 * SECONDS_PER_DAY, NOW + 40 * SECONDS_PER_DAY)
SPOTS = (3_000 * PRICE_UNIT, 60_000 * PRICE_UNIT)
"""By underlying."""

Order = tuple[int, bool, int, int]
"""Series, whether it buys, limit price, quantity."""


def oracle(underlying: int, confidence: int = WAD, sequence: int = 1) -> OracleState:
    """An oracle that knows every series of ``TERMS``."""
    spot = SPOTS[underlying]
    return OracleState(
        underlying=underlying,
        spot=spot,
        forwards={expiry: spot + index * 7_654_321 for index, expiry in enumerate(EXPIRIES)},
        volatilities={
            terms.series: (65 + abs(terms.strike - spot) * 60 // spot) * WAD // 100 for terms in TERMS
        },
        discount=99 * WAD // 100,
        confidence=confidence,
        sequence=sequence,
        timestamp=NOW,
    )


TERMS = tuple(
    Terms(
        series=series,
        underlying=series // 16,
        expiry=EXPIRIES[series // 8 % 2],
        strike=SPOTS[series // 16] * (80 + 10 * (series // 2 % 4)) // 100,
        is_call=series % 2 == 0,
    )
    for series in range(32)
)
"""Two underlyings, two expiries, four strikes, calls and puts."""


def risks_of(confidence: int = WAD) -> dict[int, SeriesRisk]:
    """The risks of ``TERMS``."""
    oracles = [oracle(underlying, confidence) for underlying in range(2)]
    return {
        terms.series: series_risk(
            terms, risk_row(terms, oracles[terms.underlying]), oracles[terms.underlying]
        )
        for terms in TERMS
    }


@dataclass(frozen=True, slots=True)
class Account:
    """A random account."""

    cash: int
    positions: tuple[tuple[int, int], ...]
    orders: tuple[Order, ...] = ()
    mode: Mode = Mode.PORTFOLIO

    def margin(self, risks: Risks) -> Margin:
        """Its margin by the rule under test."""
        return margin(self.cash, self.positions, risks, pending=gather(self.orders), mode=self.mode)

    def filled(self, index: int, quantity: int) -> "Account":
        """The account after a part of an order has filled at its limit."""
        series, buys, price, open_quantity = self.orders[index]
        held = dict(self.positions)
        held[series] = held.get(series, 0) + (quantity if buys else -quantity)
        rest = (series, buys, price, open_quantity - quantity)
        orders = (*self.orders[:index], *([rest] if rest[3] else []), *self.orders[index + 1 :])
        cash = self.cash + cash_for(price, -quantity if buys else quantity)
        return replace(self, cash=cash, positions=tuple(sorted(held.items())), orders=orders)


def account(chance: random.Random, risks: Risks, mode: Mode = Mode.PORTFOLIO, orders: int = 0) -> Account:
    """Draw an account: few or many positions, whole or odd quantities, limits around the marks."""

    def quantity() -> int:
        return chance.choice((1, 3, QUANTITY_UNIT, chance.randint(1, 100 * QUANTITY_UNIT)))

    sign = chance.choice(((1,), (-1,), (1, -1), (1, -1)))
    series = sorted(chance.sample(sorted(risks), chance.randint(0, 8)))
    positions = tuple((one, quantity() * chance.choice(sign)) for one in series)
    drawn = []
    for _ in range(chance.randint(0, orders)):
        of = chance.choice(sorted(risks))
        price = max(1, risks[of].mark * chance.randint(50, 150) // 100)
        drawn.append((of, chance.random() < 0.5, price, quantity()))
    return Account(chance.randint(-10_000, 100_000) * PRICE_UNIT, positions, tuple(drawn), mode)


def exact_portfolio(
    positions: Sequence[tuple[int, int]], risks: Risks, orders: Sequence[Order] = ()
) -> tuple[Fraction, Fraction, Fraction]:
    """Value, maintenance and initial margin in portfolio mode, before rounding initial margin; micro-USD."""
    value = sum(
        (Fraction(quantity * risks[series].mark, QUANTITY_UNIT) for series, quantity in positions),
        Fraction(0),
    )
    maintenance = _scanned(positions, risks, ())
    held = dict(positions)
    more = Fraction(0)
    for entry in gather(orders):
        held[entry.series] = min(held.get(entry.series, 0), held.get(entry.series, 0) - entry.asks)
        mark = risks[entry.series].mark
        more += Fraction(entry.bids * max(0, entry.highest_bid - mark), QUANTITY_UNIT)
        more += Fraction(entry.asks * max(0, mark - entry.lowest_ask), QUANTITY_UNIT)
    for series, quantity in held.items():
        more += Fraction(max(0, -quantity) * risks[series].contingency, QUANTITY_UNIT)
    return value, maintenance, ceil(_scanned(positions, risks, orders)) * Fraction(5, 4) + more


def _scanned(positions: Sequence[tuple[int, int]], risks: Risks, orders: Sequence[Order]) -> Fraction:
    total = Fraction(0)
    for underlying in {risk.underlying for risk in risks.values()}:
        held = {series: quantity for series, quantity in positions if risks[series].underlying == underlying}
        open_orders = [order for order in orders if risks[order[0]].underlying == underlying]
        worst = Fraction(0)
        for scenario in range(16):
            loss = Fraction(0)
            for series, quantity in held.items():
                loss -= Fraction(quantity * risks[series].row.changes[scenario], QUANTITY_UNIT)
            for series, buys, _, quantity in open_orders:
                change = Fraction(quantity * risks[series].row.changes[scenario], QUANTITY_UNIT)
                loss += max(Fraction(0), -change if buys else change)
            worst = max(worst, loss)
        for series, buys, _, quantity in open_orders:
            if not buys:
                held[series] = held.get(series, 0) - quantity
        shorts = sum(max(0, -quantity) * risks[series].short_floor for series, quantity in held.items())
        total += max(worst, Fraction(shorts, QUANTITY_UNIT))
    return total


def exact_standard(positions: Sequence[tuple[int, int]], risks: Risks, *, initial: bool) -> Fraction:
    """Cash that the standard mode requires, by trying every settlement price; micro-USD."""
    total = Fraction(0)
    for underlying in {risk.underlying for risk in risks.values()}:
        for expiry in EXPIRIES:
            legs = [
                (quantity, risks[series])
                for series, quantity in positions
                if risks[series].underlying == underlying and risks[series].terms.expiry == expiry
            ]
            extra = [risk.isolated_initial if initial else risk.isolated_maintenance for _, risk in legs]
            alone = sum(
                max(0, -quantity) * (risk.mark + more)
                for (quantity, risk), more in zip(legs, extra, strict=True)
            )
            prices = [0, *(risk.terms.strike for _, risk in legs)]
            lost = max(
                -sum(quantity * risk.terms.payoff(price) for quantity, risk in legs) for price in prices
            )
            unpaired = max(0, -sum(quantity for quantity, risk in legs if risk.terms.is_call))
            dearest = [
                risk.mark + more
                for (quantity, risk), more in zip(legs, extra, strict=True)
                if quantity < 0 and risk.terms.is_call
            ]
            total += Fraction(min(alone, max(0, lost) + unpaired * max(dearest, default=0)), QUANTITY_UNIT)
    return total


def check(chance: random.Random, risks: Risks) -> None:
    """Hold the margin rules to their properties on one random draw; an ``AssertionError`` names what broke."""
    mode = chance.choice(list(Mode))
    one, other = account(chance, risks, mode, orders=4), account(chance, risks, mode)
    found = one.margin(risks)
    _check_exact(one, found, risks)
    assert 0 <= found.maintenance <= found.initial, "initial margin is below maintenance margin"
    if all(quantity > 0 for _, quantity in one.positions):
        value = sum(
            Fraction(quantity * risks[series].mark, QUANTITY_UNIT) for series, quantity in one.positions
        )
        assert found.maintenance <= ceil(value), "what is bought can lose more than its premium"
    if mode is Mode.PORTFOLIO:
        both = dict(one.positions)
        for series, quantity in other.positions:
            both[series] = both.get(series, 0) + quantity
        together = replace(one, positions=tuple(sorted(both.items()))).margin(risks)
        apart = other.margin(risks)
        assert together.maintenance <= found.maintenance + apart.maintenance, "maintenance isn't sub-additive"
        assert together.initial <= found.initial + apart.initial, "initial isn't sub-additive"
    if one.orders:
        index = chance.randrange(len(one.orders))
        after = one.filled(index, chance.randint(1, one.orders[index][3])).margin(risks)
        assert after.surplus >= found.surplus - 4, "a fill at its limit made a shortfall that no one counted"
        assert after.covered or not found.covered, "a covered account's fill uncovered it"


def _check_exact(one: Account, found: Margin, risks: Risks) -> None:
    value = Fraction(0)
    for series, quantity in one.positions:
        value += Fraction(quantity * risks[series].mark, QUANTITY_UNIT)
    assert found.equity == one.cash + floor(value), "equity isn't rounded down"
    if one.mode is Mode.PORTFOLIO:
        _, maintenance, _ = exact_portfolio(one.positions, risks)
        _, _, initial = exact_portfolio(one.positions, risks, one.orders)
        assert found.maintenance == ceil(maintenance), "maintenance isn't the exact one, rounded up"
        assert initial <= found.initial < initial + 2, "initial isn't the exact one, rounded up"
        assert found.initial * 4 >= ceil(maintenance) * 5, DEFAULT_PARAMETERS
    else:
        cash = exact_standard(one.positions, risks, initial=False)
        assert found.maintenance == max(0, ceil(cash + value)), "maintenance isn't the exact one, rounded up"
        if not one.orders:
            more = sum(max(0, -quantity) * risks[series].contingency for series, quantity in one.positions)
            cash = exact_standard(one.positions, risks, initial=True) + Fraction(more, QUANTITY_UNIT)
            assert found.initial == max(0, ceil(cash + value)), "initial isn't the exact one, rounded up"
