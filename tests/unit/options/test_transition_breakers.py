"""Breakers: a level follows from the block, rises at once, falls step by step after a cool-off, and never stops who must get out."""

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollup_node.engines.options.risk.breakers import Level
from rollup_node.engines.options.testing_mutants import patched
from rollup_node.engines.options.transactions import abi
from rollup_node.engines.options.transactions.decode import read_message
from rollup_node.engines.options.transactions.interfaces import BY_NAME, EVENTS
from rollup_node.engines.options.transition import accounts, block, breakers, liquidation
from rollup_node.engines.options.transition.block import Executed
from rollup_node.engines.options.transition.breakers import WHOLE, highest
from rollup_node.engines.options.transition.context import WEI_PER_CASH, Context
from rollup_node.engines.options.transition.margins import LIQUIDATING, Risks, margin_of
from rollup_node.engines.options.transition.testing import (
    PARAMETERS,
    SYMBOL,
    Desk,
    address,
    call_data,
    errors_of,
    event_names,
    order,
)
from rollup_node.engines.options.transition.testing_invariants import violations
from rollup_node.engines.options.values import PARTS, PRICE_UNIT, WAD

DOLLAR = PRICE_UNIT
ONE = 10_000
CALL = 1
COOL_OFF = 100
GUARDED = replace(
    PARAMETERS,
    step_roots=False,
    max_oracle_age=120,
    breaker_deviation_ppm=80_000,
    breaker_heartbeat=60,
    breaker_confidence_ppm=550_000,
    breaker_insolvency=True,
    breaker_freeze_ppm=100_000,
    breaker_cool_off=COOL_OFF,
    withdrawal_window=200,
)


class Street:
    """A market that is shocked; every block is checked for what breakers promise."""

    def __init__(self) -> None:
        self.desk = Desk(GUARDED)
        funds = {"alice": 40_000, "bob": 40_000, "carol": 3_000, "dan": 850}
        self.desk.open_market(funds)
        self.spot = 3_000 * DOLLAR
        self.left = 0
        """What users took out while withdrawals were capped, in the running window."""
        self.levels: set[int] = set()
        self.met: set[str] = set()

    def run(self, *raws: bytes, seconds: int = 1) -> Executed:
        """A block."""
        world = self.desk.world
        window = world.breakers[0].capped if 0 in world.breakers else 0
        executed = self.desk.block(*raws, seconds=seconds)
        level, now = highest(world), world.breakers.get(0)
        self.levels.add(level)
        if now is not None and now.capped != window:
            self.left = 0
        moved = False
        for receipt in executed.receipts:
            message, names = read_message(receipt.raw), event_names(receipt)
            moved |= "RiskUpdated" in names
            if message.is_deposit:
                continue
            if level >= Level.CANCEL_ONLY:
                added = {"OrderRested", "Trade", "SeriesListed"} & set(names)
                assert not added, f"level: {added} at level {level}"
            if level == Level.FROZEN and message.to != BY_NAME["update"].target:
                assert "failed" == receipt.status, f"level: something is done at level {level}"
            for log in receipt.logs:
                if log.topics[0] == EVENTS["Withdrawn"].topic and level >= Level.WITHDRAWALS_CAPPED:
                    self.left += abi.decode(EVENTS["Withdrawn"].plain, log.data)[0]
        held = world.globals.vault // WEI_PER_CASH + self.left
        assert self.left * PARTS <= 2 * held * GUARDED.withdrawal_cap_ppm, "cap: more has left than may"
        if now is not None and level >= Level.WITHDRAWALS_CAPPED and self.left:
            assert self.left <= now.allowed, f"cap: {self.left} has left where {now.allowed} may"
        if moved:
            self._all_liquidated()
        broken = violations(world)
        assert not broken, "; ".join(broken)
        self.met |= {result.reason.split("(")[0] for result in executed.results}
        return executed

    def _all_liquidated(self) -> None:
        world, desk = self.desk.world, self.desk
        context = Context(desk.parameters, desk.number, desk.timestamp, Risks(world))
        for number, account in world.accounts.items():
            flagged = account.flags & LIQUIDATING
            assert flagged or not margin_of(world, context, number).liquidatable, (
                f"liquidation: account {number} is below maintenance margin, and nothing is done"
            )

    def play(self, seed: int, moves: int) -> None:
        """Shocks, silence, orders, withdrawals, and forced ones that never fail."""
        rng, desk = random.Random(seed), self.desk
        names = ("alice", "bob", "carol", "dan")
        dan, bob = desk.account("dan"), desk.account("bob")
        self.run(
            desk.send("bob", "placeOrder", order(bob, CALL, 240 * DOLLAR, ONE)),
            desk.send("dan", "placeOrder", order(dan, CALL, 240 * DOLLAR, -ONE)),
        )
        for step in range(moves):
            user = rng.choice(names)
            mine = desk.account(user)
            match (step + rng.randrange(2)) % 8:
                case 0 | 1:
                    jump = rng.choice((990, 995, 1_000, 1_000, 1_005, 1_010, 1_095, 2_600, 400))
                    self.spot = min(max(self.spot * jump // 1_000, 1_500 * DOLLAR), 25_000 * DOLLAR)
                    sure = rng.choice((WAD, WAD, WAD, WAD // 2, WAD // 5))
                    self.run(desk.update(self.spot, confidence=sure), seconds=rng.choice((1, 20, 130)))
                case 2:
                    self.run(seconds=rng.choice((1, 40, 90, 150)))
                case 3 | 4:
                    price = max(10_000, desk.world.risk[CALL].mark // 10_000 * 10_000)
                    size, reduce = rng.choice((-ONE, 100, ONE)), rng.random() < 0.5
                    who, number = (rng.choice((("bob", bob), ("dan", dan)))) if reduce else (user, mine)
                    self.run(
                        desk.send(who, "placeOrder", order(number, CALL, price, size, reduce_only=reduce))
                    )
                case 5:
                    amount = rng.choice((DOLLAR, 2_000 * DOLLAR, 6_000 * DOLLAR))
                    self.run(desk.send(user, "withdraw", mine, address(user), amount))
                case 6:
                    self.run(desk.send(user, "cancelAll", mine, 0))
                case _:
                    self.forced(rng.choice(("eve", "fay")))

    def forced(self, name: str) -> None:
        """L1 brings cash and takes it out again, in one block: at any level, past any cap."""
        desk, amount = self.desk, 20_000 * DOLLAR
        self.run(desk.deposit(name, amount))
        call = call_data("withdraw", desk.account(name), address(name), amount)
        executed = self.run(desk.deposit(name, 0, to=BY_NAME["withdraw"].target, data=call))
        assert [""] == errors_of(executed), f"exit: L1's withdrawal is refused: {errors_of(executed)}"


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32))
def test_breakers_keep_their_promises(seed: int) -> None:
    """Whatever happens: caps hold, cancel-only is, liquidations go on, and L1 gets everybody out."""
    Street().play(seed, 25)


@pytest.mark.long  # the ring of every day has a part of it
@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_breakers_keep_their_promises_for_long(seed: int) -> None:
    """The same, longer and more often."""
    Street().play(seed, 80)


def _streets() -> list[Street]:
    streets = [Street() for _ in range(6)]
    for seed, street in enumerate(streets):
        street.play(seed, 60)
    return streets


def test_a_street_meets_every_level() -> None:
    """What the mutants below are hunted with goes through all levels, and is refused for their sake."""
    streets = _streets()
    assert {0, 1, 2, 3, 4} == set().union(*(street.levels for street in streets))
    assert {"BreakerOpen", "WithdrawalCapped"} <= set().union(*(street.met for street in streets))


class _OnlyAtRest:
    """A liquidation section that the breaker stops."""

    def __init__(self, section: Any) -> None:
        self._steps = section.steps

    def steps(self, world: Any, context: Any) -> Any:
        """None while a breaker is open."""
        return () if highest(world) else self._steps(world, context)


def _caps_everybody(world: Any, context: Any, amount: int) -> None:
    context.from_l1 = False
    breakers.count_withdrawal(world, context, amount)


@pytest.mark.parametrize(
    ("target", "name", "made", "caught"),
    [
        (accounts, "count_withdrawal", lambda world, context, amount: None, "cap"),
        (accounts, "count_withdrawal", _caps_everybody, "exit"),
        (block, "liquidation", _OnlyAtRest(liquidation), "liquidation"),
        (breakers, "_require", lambda world, context, underlying, below: None, "level"),
        (breakers, "require_thawed", lambda world, context: None, "level"),
    ],
    ids=[
        "withdrawals uncapped",
        "forced ones capped",
        "liquidations stop",
        "orders go on",
        "nothing freezes",
    ],
)
def test_a_breaker_that_fails_is_caught(target: Any, name: str, made: Any, caught: str) -> None:
    """Each of these mistakes breaks a promise within a few streets."""
    with patched(target, name, lambda _: made), pytest.raises(AssertionError, match=caught):
        _streets()


@pytest.fixture
def desk() -> Desk:
    """Alice is short a call, and has a fifth more than that needs."""
    desk = Desk(GUARDED)
    desk.open_market({"alice": 640, "bob": 50_000})
    alice, bob = desk.account("alice"), desk.account("bob")
    desk.block(
        desk.send("bob", "placeOrder", order(bob, CALL, 240 * DOLLAR, ONE)),
        desk.send("alice", "placeOrder", order(alice, CALL, 240 * DOLLAR, -ONE)),
    )
    return desk


def test_a_jump_of_the_price_opens_the_breaker_in_its_block_and_time_closes_it(desk: Desk) -> None:
    """Two deviations: cancel only, told by an event; each step down takes a cool-off without any."""
    executed = desk.block(desk.update(3_300 * DOLLAR))
    moves = [
        log for one in executed.receipts for log in one.logs if log.topics[0] == EVENTS["BreakerMoved"].topic
    ]
    assert [(SYMBOL, 2)] == [(log.topics[1], log.data[-1]) for log in moves]
    alice, bob = desk.account("alice"), desk.account("bob")
    mine = order(bob, CALL, 240 * DOLLAR, ONE)
    reducing = order(alice, CALL, 240 * DOLLAR, ONE, reduce_only=True)
    refused = desk.block(
        desk.send("bob", "placeOrder", mine),
        desk.send("alice", "placeOrder", reducing),
        desk.send("bob", "cancelAll", bob, 0),
    )
    assert ["BreakerOpen", "BreakerOpen", ""] == errors_of(refused)
    levels = []
    for _ in range(6):
        desk.block(desk.update(3_300 * DOLLAR), seconds=50)
        levels.append(desk.world.oracles[1].level)
    assert [2, 1, 1, 0, 0, 0] == levels


def test_reduce_only_asks_for_more_margin_and_liquidates_nobody(desk: Desk) -> None:
    """Initial margin times one and a half from the first level on: less may be taken out; maintenance is what it was."""
    alice = desk.account("alice")
    context = Context(GUARDED, 9, desk.timestamp, Risks(desk.world))
    margin = margin_of(desk.world, context, alice)
    free = margin.surplus
    assert 0 < free < margin.initial // 2
    bob = desk.account("bob")
    desk.block(desk.send("bob", "placeOrder", order(bob, CALL, 240 * DOLLAR, -100)))
    desk.block(desk.update(3_000 * DOLLAR, confidence=WAD // 2), seconds=2)
    assert 1 == desk.world.oracles[1].level
    executed = desk.block(
        desk.send("alice", "withdraw", alice, address("alice"), 1),
        desk.send("alice", "placeOrder", order(alice, CALL, 240 * DOLLAR, 100, reduce_only=True)),
        desk.send("alice", "placeOrder", order(alice, CALL, 240 * DOLLAR, 100)),
    )
    assert ["InsufficientMargin", "", "BreakerOpen"] == errors_of(executed)
    assert not desk.world.accounts[alice].flags & LIQUIDATING


def test_liquidations_trade_with_whoever_has_the_ordinary_margin() -> None:
    """An open breaker asks users for more; a liquidation still finds the maker that it would have found without."""
    desk = Desk(replace(GUARDED, breaker_deviation_ppm=0, breaker_open_interest=ONE // 2))
    desk.open_market({"alice": 640, "bob": 50_000, "carol": 700})
    alice, bob, carol = (desk.account(name) for name in ("alice", "bob", "carol"))
    desk.block(
        desk.send("bob", "placeOrder", order(bob, CALL, 240 * DOLLAR, ONE)),
        desk.send("alice", "placeOrder", order(alice, CALL, 240 * DOLLAR, -ONE)),
        desk.send("carol", "placeOrder", order(carol, CALL, 503_720_000, -ONE)),
    )
    desk.block()
    assert Level.REDUCE_ONLY == highest(desk.world)
    executed = desk.block(desk.update(3_400 * DOLLAR))
    assert any("Liquidated" in event_names(one) for one in executed.receipts)
    margin = margin_of(desk.world, Context(GUARDED, desk.number, desk.timestamp, Risks(desk.world)), carol)
    assert (True, True) == (
        bool(desk.world.accounts[carol].positions),
        0 < margin.surplus < margin.initial // 2,
    )


def test_a_silent_feed_opens_the_breaker_by_time_alone(desk: Desk) -> None:
    """Nothing is sent: past the heartbeat only reducing goes on, past the longest age only cancelling."""
    levels = []
    for _ in range(4):
        desk.block(seconds=45)
        levels.append(desk.world.oracles[1].level)
    assert [0, 1, 2, 2] == levels


def test_a_deficit_beyond_insurance_caps_what_leaves_for_all(desk: Desk) -> None:
    """A run on what is left: a tenth goes out in a window, then nothing; what L1 forces does; a greater hole freezes the rest."""
    desk.block(desk.update(4_900 * DOLLAR))
    bob = desk.account("bob")
    assert Level.WITHDRAWALS_CAPPED == desk.world.globals.level
    share = desk.world.globals.vault // WEI_PER_CASH // 10
    executed = desk.block(
        desk.send("bob", "withdraw", bob, address("bob"), share - 1),
        desk.send("bob", "withdraw", bob, address("bob"), 2),
        desk.send("bob", "withdraw", bob, address("bob"), 1),
    )
    assert ["", "WithdrawalCapped", ""] == errors_of(executed)
    forced = call_data("withdraw", bob, address("bob"), share)
    executed = desk.block(desk.deposit("bob", 0, to=BY_NAME["withdraw"].target, data=forced))
    assert [""] == errors_of(executed)
    desk.block(desk.update(30_000 * DOLLAR))
    assert Level.FROZEN == highest(desk.world)
    executed = desk.block(
        desk.send("bob", "cancelAll", bob, 0), desk.send("bob", "transfer", bob, desk.account("alice"), 1)
    )
    assert ["BreakerOpen", "BreakerOpen"] == errors_of(executed)


def test_volume_and_open_interest_have_caps() -> None:
    """Beyond either only reducing is allowed; volume is counted anew in each window."""
    cases: list[dict[str, Any]] = [
        {"breaker_volume": 400 * DOLLAR, "breaker_window": 500},
        {"breaker_open_interest": ONE},
    ]
    for limits in cases:
        desk = Desk(replace(PARAMETERS, step_roots=False, breaker_cool_off=10, **limits))
        desk.open_market({"alice": 50_000, "bob": 50_000})
        alice, bob = desk.account("alice"), desk.account("bob")
        errors = []
        for _ in range(3):
            executed = desk.block(
                desk.send("bob", "placeOrder", order(bob, CALL, 240 * DOLLAR, ONE)),
                desk.send("alice", "placeOrder", order(alice, CALL, 240 * DOLLAR, -ONE)),
            )
            errors.append(errors_of(executed)[-1])
        assert ["", "", "BreakerOpen"] == errors
        level = desk.world.globals.level if "breaker_volume" in limits else desk.world.oracles[1].level
        assert 1 == level
    assert WHOLE not in {market.symbol for market in PARAMETERS.markets.values()}


def test_breakers_that_are_off_leave_no_trace() -> None:
    """Without figures nothing is derived and nothing is kept, whatever the price does."""
    desk = Desk(PARAMETERS)
    desk.open_market({"alice": 1_000})
    executed = desk.block(desk.update(9_000 * DOLLAR))
    assert 2 == len(executed.receipts)
    assert (0, {}) == (highest(desk.world), dict(desk.world.breakers))
