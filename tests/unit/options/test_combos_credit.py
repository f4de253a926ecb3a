"""The locked-combo credit is sound and never dearer: every rollup can pay at every price, by references that know nothing of the code."""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire import bundle
from rollup_node.engines.options.risk import combos as risk_combos
from rollup_node.engines.options.risk.combos import lock, max_loss, required_together
from rollup_node.engines.options.risk.grid import SCENARIOS, ladder
from rollup_node.engines.options.risk.margin import Mode, margin
from rollup_node.engines.options.risk.rows import Terms
from rollup_node.engines.options.state.leaves import Account, Combo
from rollup_node.engines.options.testing_mutants import patched
from rollup_node.engines.options.transition import combos, margins, pledges, trading
from rollup_node.engines.options.transition.accounts import bucket_of, credit
from rollup_node.engines.options.transition.block import Executed
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.margins import Risks, margin_of
from rollup_node.engines.options.transition.testing import EXPIRY, address, signed_call
from rollup_node.engines.options.transition.testing_combos import STRIKES, Rollups, Side
from rollup_node.engines.options.transition.testing_invariants import violations
from rollup_node.engines.options.transition.testing_messages import events
from rollup_node.engines.options.values import PRICE_UNIT, QUANTITY_UNIT, SECONDS_PER_DAY, WAD

ODD = st.integers(1, 10**13)
SMILE = {2_600: 72, 2_800: 68, 3_000: 65, 3_200: 66, 3_400: 69}
SOUND = "can't pay"


def _terms(strike: int, *, is_call: bool) -> Terms:
    return Terms(0, 0, EXPIRY, strike, is_call)


@st.composite
def _spread(draw: st.DrawFn) -> list[tuple[int, Terms, int]]:
    """Legs of a strategy without open ends, each on one of three rollups: quantity, terms, rollup. No figure is round."""
    legs = [
        (
            draw(st.integers(-(10**6), 10**6)),
            _terms(draw(ODD), is_call=draw(st.booleans())),
            draw(st.integers(0, 2)),
        )
        for _ in range(draw(st.integers(1, 6)))
    ]
    open_end = -sum(quantity for quantity, terms, _ in legs if terms.is_call)
    if open_end > 0:
        legs.append((open_end, _terms(draw(ODD), is_call=True), draw(st.integers(0, 2))))
    return [leg for leg in legs if leg[0]]


@settings(max_examples=40, deadline=None)
@given(_spread(), ODD)
def test_every_rollup_can_pay_and_all_together_hold_the_true_worst_loss(
    legs: list[tuple[int, Terms, int]], price: int
) -> None:
    """At any price, and at every corner; by adding payoffs up, one leg and one rollup at a time."""
    _all_can_pay(legs, price)


def _all_can_pay(legs: list[tuple[int, Terms, int]], price: int) -> None:
    plain = [leg[:2] for leg in legs]
    found = lock(plain)
    assert found is not None
    required = {
        rollup: required_together(
            plain, found.pledges, {place for place, leg in enumerate(legs) if leg[2] == rollup and leg[0] < 0}
        )
        for rollup in range(3)
    }
    worst = 0
    for corner in (0, price, *(terms.strike for _, terms in plain), 10**15):
        worst = max(worst, -sum(quantity * terms.payoff(corner) for quantity, terms in plain))
        for rollup in range(3):
            owes = sum(-q * terms.payoff(corner) for q, terms, where in legs if where == rollup and q < 0)
            gets = sum(
                one.quantity * legs[one.long][1].payoff(corner)
                for one in found.pledges
                if legs[one.short][2] == rollup
            )
            assert owes <= required[rollup] * QUANTITY_UNIT + gets, SOUND
    assert worst <= sum(required.values()) * QUANTITY_UNIT, SOUND
    assert sum(required.values()) <= sum(found.required) + 3
    for place, (quantity, *_) in enumerate(legs):
        assert sum(one.quantity for one in found.pledges if one.long == place) <= max(quantity, 0)


@settings(max_examples=25, deadline=None)
@given(st.lists(ODD, min_size=4, max_size=4, unique=True), st.integers(1, 10**6))
def test_closed_forms(strikes: list[int], size: int) -> None:
    """Verticals, condor, boxes: the widths, rounded up to a unit of cash."""
    low, mid, high, top = sorted(strikes)

    def cash(width: int) -> int:
        return -(-width * size // QUANTITY_UNIT)

    def loss(*legs: tuple[int, int, bool]) -> int | None:
        return max_loss([(side * size, _terms(strike, is_call=is_call)) for side, strike, is_call in legs])

    assert cash(top - low) == loss((-1, low, True), (1, top, True))
    assert 0 == loss((1, low, True), (-1, top, True))
    assert cash(top - low) == loss((-1, top, False), (1, low, False))
    condor = ((1, low, False), (-1, mid, False), (-1, high, True), (1, top, True))
    assert cash(max(mid - low, top - high)) == loss(*condor)
    box = ((1, low, True), (-1, top, True), (1, top, False), (-1, low, False))
    assert 0 == loss(*box)
    assert cash(top - low) == loss(*((-side, strike, is_call) for side, strike, is_call in box))
    assert None is loss((-1, low, True), (1, low, False))


@pytest.mark.parametrize("sides", [
    [(2_600, False, 1), (2_800, False, -1), (3_200, True, -1), (3_400, True, 1)],
    [(2_800, True, -1), (3_200, True, 1), (3_200, False, -1), (2_800, False, 1)],
    [(3_000, True, -1), (3_200, True, 1)],
    [(2_800, True, -1), (3_000, True, 2), (3_200, True, -1)],
], ids=["condor", "box", "vertical", "butterfly"])  # fmt: skip
def test_no_scenario_loses_more_than_the_credit_asks_for(sides: list[tuple[int, bool, int]]) -> None:
    """In each of the sixteen, unweighted: what the whole strategy would cost to close. One unit for each leg is rounding."""
    legs = [
        (side * QUANTITY_UNIT, _terms(strike * PRICE_UNIT, is_call=is_call))
        for strike, is_call, side in sides
    ]
    asked = max_loss(legs)
    assert asked is not None
    for scenario in range(len(SCENARIOS)):
        value = 0
        for strike, is_call, side in sides:
            steps = ladder(
                3_000 * PRICE_UNIT, strike * PRICE_UNIT, SMILE[strike] * WAD // 100, 30 * SECONDS_PER_DAY, WAD
            )
            priced = steps.moved[scenario]
            value += side * (priced.call if is_call else priced.put)
        assert -value <= asked + len(sides)


@pytest.fixture(scope="module")
def floor() -> Rollups:
    """A market to read risks from."""
    return Rollups((901,))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**64))
def test_a_lock_never_asks_for_more_than_the_same_legs_unlocked(floor: Rollups, seed: int) -> None:
    """Whatever else the account holds, in both modes; pledged longs are no part of either, for they are another's."""
    desk, chance = floor.desks[901], Random(seed)
    context = Context(desk.parameters, desk.number, desk.timestamp, Risks(desk.world))
    number, series = desk.account("alice"), list(desk.world.series)
    held = {one: chance.randrange(-50, 50) * 700 for one in chance.sample(series, chance.randrange(1, 6))}
    held = {one: quantity for one, quantity in held.items() if quantity}
    locks = {one: int(quantity * chance.random()) for one, quantity in held.items()}
    locks = {one: quantity for one, quantity in locks.items() if quantity}
    cash, before = chance.randrange(-(10**9), 10**11), desk.world.accounts[number]
    due = chance.choice([0, chance.randrange(10**9)])
    account = Account(
        before.owner, cash=cash, portfolio=chance.random() < 0.6, positions=tuple(sorted(held.items())),
        locks=tuple(sorted(locks.items())), locked=chance.randrange(10**10), due=due,
    )  # fmt: skip
    mark = desk.world.mark()
    desk.world.accounts[number] = account
    abroad = {one: chance.randint(0, quantity) for one, quantity in locks.items() if quantity > 0}
    pledges_of = tuple((one, 902, 1, 1, True, quantity) for one, quantity in abroad.items() if quantity)
    desk.world.combos[1] = Combo(bytes(32), number, bytes(32), (), combos.State.LOCKED, 0, pledges=pledges_of)
    found = margin_of(desk.world, context, number)
    desk.world.undo(mark)
    rest = [(one, quantity - abroad.get(one, 0)) for one, quantity in account.positions]
    mode = Mode.PORTFOLIO if account.portfolio else Mode.STANDARD
    alone = margin(cash, [one for one in rest if one[1]], context.risks, mode=mode)
    assert found.surplus >= alone.surplus
    assert found.equity - found.maintenance - due >= alone.equity - alone.maintenance
    free = [(one, quantity - locks.get(one, 0)) for one, quantity in account.positions]
    credited = margin(cash, [one for one in free if one[1]], context.risks, mode=mode, locked=account.locked)
    assert found.surplus == max(credited.surplus, alone.surplus)


SPREADS: list[list[tuple[int, bool, int]]] = [
    [(3_000, True, -1), (3_200, True, 1)],
    [(3_000, False, -1), (2_800, False, 1)],
    [(2_600, False, 1), (2_800, False, -1), (3_200, True, -1), (3_400, True, 1)],
    [(2_800, True, -1), (3_000, True, 2), (3_200, True, -1)],
    [(2_800, True, -1), (3_200, True, 1), (3_200, False, -1), (2_800, False, 1)],
]


def _story(seed: int) -> None:
    """Alice locks a strategy spread over three rollups, takes out all that she can, tries to sell a long leg, and the market ends anywhere.

    She must be able to pay, everywhere, with what she had to leave; and nothing may be made or lost.
    """
    chance, chains = Random(seed), (901, 902, 903)
    rollups = Rollups(chains, STRIKES, {"alice": 20_000, "bob": 100_000})
    size = chance.randint(1, 3)
    sides: list[Side] = [
        (chance.choice(chains), strike, is_call, side * size)
        for strike, is_call, side in SPREADS[seed % len(SPREADS)]
    ]
    name, reasons = rollups.run(rollups.locks(sides))
    assert [] == reasons
    assert name
    _hold(rollups)
    _require_longs_to_be_worth_nothing(rollups, sides)
    for chain, strike, is_call, quantity in sides:
        desk, series = rollups.desks[chain], rollups.series[strike, is_call]
        mine = desk.account("alice")
        sign = quantity > 0
        arguments = (mine, series, not sign, abs(quantity) * QUANTITY_UNIT, 0 if sign else 2**64 - 1)
        rollups.single(chain, desk.send("alice", "tradeAmm", *arguments))
        most = _withdrawable(rollups, chain)
        if most > 0:
            nonce = next(one.nonce for one in desk.world.addresses[_bucket("alice")])
            rollups.single(
                chain, signed_call("alice", "withdraw", (mine, address("alice"), most), nonce, 0, chain)
            )
    _hold(rollups)
    ended = rollups.expire(chance.choice([1_000, 2_650, 2_990, 3_010, 3_333.25, 12_000]))
    _hold(rollups)
    covered = {
        chain: _covered(executed, rollups.desks[chain].account("alice")) for chain, executed in ended.items()
    }
    for chain, raws in rollups.carried(ended).items():
        assert [] == rollups.single(chain, *raws)
    for chain in chains:
        account = rollups.account(chain)
        assert account.cash >= covered[chain], f"{SOUND}: {account.cash} on {chain}"
        assert (0, 0, ()) == (account.due, account.locked, account.locks)
    _hold(rollups)


def _covered(executed: Executed, number: int) -> int:
    """What others have paid for an account's debt, before what was pledged to it came; a combo that gave way promises nothing any more."""
    told = [event for receipt in executed.receipts for event in events(receipt)]
    if "ComboBroken" in {name for name, _ in told}:
        return 0
    return sum(one[1] for name, one in told if name in {"InsurancePaid", "LossShared"} and one[0] == number)


def _require_longs_to_be_worth_nothing(rollups: Rollups, sides: list[Side]) -> None:
    """What is pledged to another rollup isn't lent upon here, nor does it hedge anything that its owner might sell."""
    for chain in {side[0] for side in sides} - {side[0] for side in sides if side[3] < 0}:
        desk, account = rollups.desks[chain], rollups.account(chain)
        context = Context(desk.parameters, desk.number, desk.timestamp, Risks(desk.world))
        number = desk.account("alice")
        for extra in (
            (),
            ((rollups.series[3_000, True], -5_000),),
            ((rollups.series[3_000, False], -5_000),),
        ):
            held = dict(account.positions)
            if any(series in held for series, _ in extra):
                continue
            mark = desk.world.mark()
            desk.world.accounts[number] = replace(account, positions=tuple(sorted((*held.items(), *extra))))
            found = margin_of(desk.world, context, number)
            desk.world.undo(mark)
            alone = margin(account.cash, extra, context.risks)
            assert (found.surplus, found.maintenance) == (alone.surplus, alone.maintenance), (
                f"{SOUND}: lent upon"
            )


def _bucket(user: str) -> int:
    return bucket_of(address(user))


def _withdrawable(rollups: Rollups, chain: int) -> int:
    desk = rollups.desks[chain]
    context = Context(desk.parameters, desk.number, desk.timestamp, Risks(desk.world))
    found = margin_of(desk.world, context, desk.account("alice"))
    cash = rollups.account(chain).cash
    return min(cash, cash if found.covered else found.surplus)


def _hold(rollups: Rollups) -> None:
    """All invariants on all rollups, and L1 holds what each of them owes."""
    for desk in rollups.desks.values():
        assert [] == violations(desk.world)


@pytest.mark.parametrize("seed", range(5))
def test_what_has_to_be_left_is_enough(seed: int) -> None:
    """One strategy each; see :func:`_story`."""
    _story(seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5, 30))
def test_what_has_to_be_left_is_enough_often(seed: int) -> None:
    """The same, with every strategy five times."""
    _story(seed)


def _longs_stay_free(old: Any) -> Any:
    return lambda account, parts: old(account, _without_longs(parts))


def _without_longs(parts: combos.Parts) -> combos.Parts:
    """Only short legs are locked."""
    return parts._replace(legs=tuple(leg for leg in parts.legs if leg[1] < 0))


def _locks_hold_nothing(old: Any) -> Any:
    return lambda number, account, series: None


def _rounds_down(old: Any) -> Any:
    return lambda dividend, divisor: dividend // divisor


def _longs_count_twice(old: Any) -> Any:
    def send(world: Any, context: Any, combo: Any, chain: int, account: int, amount: int) -> None:
        old(world, context, combo, chain, account, amount)
        credit(world, combo.account, amount)

    return send


def _asks_for_half(old: Any) -> Any:
    return lambda *arguments: old(*arguments) // 2


def _borrows_against_longs(old: Any) -> Any:
    return lambda world, number: {}


def _spends_what_is_owed(old: Any) -> Any:
    def settle(world: Any, context: Any, account: int, series: int) -> None:
        owed = world.accounts[account].due
        old(world, context, account, series)
        credit(world, account, world.accounts[account].due - owed)

    return settle


MUTANTS: list[tuple[Any, str, Callable[[Any], Any], str]] = [
    (combos, "_locked", _longs_stay_free, "I13"),
    (trading, "require_unlocked", _locks_hold_nothing, "I13"),
    (pledges, "_send", _longs_count_twice, "I1"),
    (pledges, "settle", _spends_what_is_owed, "I1"),
    (combos, "required_together", _asks_for_half, SOUND),
    (margins, "pledged_abroad", _borrows_against_longs, SOUND),
]


@pytest.mark.parametrize(
    ("target", "name", "made", "why"), MUTANTS, ids=[one[2].__name__.strip("_") for one in MUTANTS]
)
def test_a_mutant_is_caught(target: Any, name: str, made: Callable[[Any], Any], why: str) -> None:
    """A credit for an unlocked leg, a lock that holds nothing, money twice, half the requirement: some story breaks."""
    with patched(target, name, made), pytest.raises(AssertionError, match=why):
        _stories()


def _stories() -> None:
    for seed in range(5):
        _story(seed)


def test_a_requirement_rounded_down_is_caught() -> None:
    """By less than a unit of cash: still somebody's loss."""
    spread = [(-7, _terms(1_000_001, is_call=True), 0), (7, _terms(2_000_002, is_call=True), 1)]
    _all_can_pay(spread, 1)
    with patched(risk_combos, "ceil_divide", _rounds_down), pytest.raises(AssertionError, match=SOUND):
        _all_can_pay(spread, 1)


def test_a_half_lock_that_derivation_let_pass_would_be_money_from_nowhere() -> None:
    """Why it is a rule of bundles: without it a rollup gives credit for a leg that nobody has locked, and its account can't pay."""
    rollups = Rollups()
    sides: list[Side] = [(901, 3_000, True, -1), (902, 3_200, True, 1)]
    half = {901: rollups.locks(sides)[901]}
    with patched(bundle, "require_twins", _locks_hold_nothing_in_bundles):
        assert [] == rollups.run(half)[1]
    rollups.expire(9_000)
    rollups.single(901, seconds=rollups.desks[901].parameters.pledge_seconds)
    assert rollups.account(901).cash < 0


def _locks_hold_nothing_in_bundles(old: Any) -> Any:
    return lambda legs: None
