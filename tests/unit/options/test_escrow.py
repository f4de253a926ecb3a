"""Strategies over the bridge on an options rollup: all legs or none, pledges as long as they are locked and no longer (I13)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from eth_abi.abi import encode as eth_encode
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.contracts.artifacts import artifact
from bridge.wire.keccak import keccak256
from rollup_node.engines.options.state.snapshot import dump, load
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.testing_mutants import patched
from rollup_node.engines.options.transactions.refusals import selector_of
from rollup_node.engines.options.transition import amm, escrow, reservations
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.escrow import Lock
from rollup_node.engines.options.transition.margins import Risks, shortfall
from rollup_node.engines.options.transition.promises import Fill, promised, slots
from rollup_node.engines.options.transition.testing import (
    AMM_LIMIT,
    EXPIRY,
    MARKET,
    START,
    Desk,
    address,
    errors_of,
    order,
)
from rollup_node.engines.options.transition.testing_messages import (
    LINKED,
    Counterpart,
    events,
    passed,
)
from rollup_node.engines.options.transition.testing_strategies import (
    ANY_PRICE,
    BOOK,
    Strategies,
    season,
)
from rollup_node.engines.options.values import PRICE_UNIT

DOLLAR = PRICE_UNIT
NAME = b"\x5a" * 32
QUICK = replace(LINKED, step_roots=False)
REGISTRY = artifact("StrategyRegistry").interface


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32))
def test_strategies_end_as_l1_says_with_all_their_legs(seed: int) -> None:
    """Locks, decisions and refunds in any order, some again, between makers, a moving market and withdrawals; a snapshot is the same state."""
    world = season(seed, 30).world
    assert world.root() == load(dump(world)).root()


def test_the_seasons_meet_every_end() -> None:
    """What the property above is worth: strategies end in each way that there is."""
    met = {state for seed in range(6) for state in season(seed, 40).ends}
    assert {Lock.LOCKED, Lock.REFUSED, Lock.COMMITTED, Lock.RELEASED, Lock.REFUNDED} <= met


def _keeps_pledges_of_makers(old: Any) -> Any:
    return lambda world, number, amount: old(world, number, amount) if number in (2, 3) else None


def _keeps_small_pledges(old: Any) -> Any:
    return lambda world, number, amount: old(world, number, amount) if amount > 10**7 else None


def _commits_after_an_abort(old: Any) -> Any:
    def lock_of(world: World, strategy: bytes) -> Any:
        found = old(world, strategy)
        return replace(found, state=Lock.LOCKED) if found.state == Lock.RELEASED and found.value else found

    return lock_of


def _trades_half(old: Any) -> Any:
    return lambda world, context, number, fills: old(world, context, number, fills[:1])


def _trades_when_given_up(old: Any) -> Any:
    def give_up(world: World, context: Context, known: Any, state: Lock) -> None:
        combo = escrow._end(world, known, state)
        reservations.trade(world, context, combo.account, [Fill(*fill) for fill in combo.fills])

    return give_up


MUTANTS: list[tuple[Any, str, Callable[[Any], Any]]] = [
    (escrow, "unpledge", _keeps_pledges_of_makers),
    (escrow, "unpledge", _keeps_small_pledges),
    (escrow, "lock_of", _commits_after_an_abort),
    (escrow, "trade", _trades_half),
    (escrow, "_give_up", _trades_when_given_up),
]


@pytest.mark.parametrize(("target", "name", "made"), MUTANTS, ids=[one[2].__name__[1:] for one in MUTANTS])
def test_a_mutant_is_caught(target: Any, name: str, made: Callable[[Any], Any]) -> None:
    """Each of these mistakes shows within a few seasons."""
    with patched(target, name, made), pytest.raises((AssertionError, KeyError)):
        _seasons(8)


def _seasons(count: int) -> None:
    for seed in range(count):
        season(seed, 40)


class Book:
    """A desk with a call and a put at 3,000, on both of which a maker quotes."""

    def __init__(self, **changes: Any) -> None:
        self.desk = Desk(replace(QUICK, **changes))
        self.l1 = Counterpart(self.desk)
        self.call, self.put = self.desk.open_market({"alice": 10_000, "maker": 100_000})
        self.alice, self.maker = self.desk.account("alice"), self.desk.account("maker")
        self.desk.block(
            self.desk.update(3_000 * DOLLAR),
            self.desk.send("maker", "placeOrder", order(self.maker, self.call, 250 * DOLLAR, -500)),
            self.desk.send("maker", "placeOrder", order(self.maker, self.call, 260 * DOLLAR, -500)),
            self.desk.send("maker", "placeOrder", order(self.maker, self.put, 200 * DOLLAR, 500)),
        )

    def leg(self, series: int, quantity: int, limit: int | None = None) -> tuple[Any, ...]:
        """One that takes the book."""
        most = ANY_PRICE if quantity > 0 else 0
        return series.to_bytes(32, "big"), BOOK, quantity, most if limit is None else limit

    def lock(self, *legs: tuple[Any, ...], after: int = 100, before: int = 50) -> list[tuple[str, Any]]:
        """Order them; what is told."""
        times = (self.desk.timestamp + before, self.desk.timestamp + after)
        return events(self.desk.block(self.l1.lock(NAME, address("alice"), times, legs)).receipts[0])

    def depth(self) -> list[tuple[int, int, int]]:
        """Account, price and quantity of every order."""
        orders = [*self.desk.world.book(self.call), *self.desk.world.book(self.put)]
        return [(one.account, one.price, one.quantity) for one in orders]

    def shortfalls(self) -> list[int]:
        """Of both."""
        context = Context(self.desk.parameters, self.desk.number, self.desk.timestamp, Risks(self.desk.world))
        return [shortfall(self.desk.world, context, number) for number in (self.alice, self.maker)]


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 5)), min_size=1, max_size=4), st.booleans())
def test_who_could_lock_has_the_margin_when_it_is_traded(
    wanted: list[tuple[bool, int]], portfolio: bool
) -> None:
    """At the same marks, in both modes: a pledge is as much as the trades need, whatever else the account has."""
    book = Book()
    desk = book.desk
    desk.block(
        desk.send("alice", "setMode", book.alice, portfolio),
        desk.send("maker", "setMode", book.maker, portfolio),
    )
    told = book.lock(
        *(book.leg(book.call, 100 * lots) if buy else book.leg(book.put, -100 * lots) for buy, lots in wanted)
    )
    locked = desk.world.accounts[book.alice]
    assert [0, 0] == book.shortfalls()
    if told[0][0] == "LegRefused":
        assert 0 == locked.reserved
        return
    assert 0 < locked.reserved <= locked.cash
    desk.block(book.l1.decide(NAME, commit=True))
    assert [0, 0] == book.shortfalls()
    assert 0 == desk.world.accounts[book.alice].reserved


def test_a_vote_says_why_not_and_the_registry_understands() -> None:
    """Refused as a whole, nothing is set aside, and the reason is an error with its figures; the calls of L1 are decoded by its own ABI."""
    book = Book()
    desk = book.desk
    desk.block(desk.deposit("bob", 5))
    far = EXPIRY - desk.timestamp
    cases: list[tuple[tuple[Any, ...], dict[str, int], str]] = [
        ((book.leg(book.call, 500), book.leg(book.put, -600)), {}, "NotFillable"),
        ((book.leg(book.call, 100, 240 * DOLLAR),), {}, "NotFillable"),
        ((book.leg(book.call, 150),), {}, "LotViolation"),
        ((book.leg(99, 100),), {}, "UnknownSeries"),
        ((book.leg(book.call, 100),), {"after": far}, "ExpiresWhileLocked"),
        ((book.leg(book.call, 100),), {"before": 0}, "TooLate"),
        ((book.leg(book.call, 0),), {}, "LotViolation"),
    ]
    start = desk.world.mark()
    for legs, how, error in cases:
        times = desk.timestamp + how.get("before", 50), desk.timestamp + how.get("after", 100)
        executed = desk.block(book.l1.lock(NAME, address("alice"), times, legs), seconds=0)
        told = events(executed.receipts[0])
        assert ["LegRefused", "MessagePassed"] == [name for name, _ in told][:2], error
        assert selector_of(error) == told[0][1][-1][:4], error
        ((_, _, (*_, vote)),) = passed(executed)
        assert (NAME, False, told[0][1][-1]) == tuple(REGISTRY.decode_arguments("vote", vote))
        assert not desk.world.combos
        asked = (NAME, address("alice"), times[1], legs)
        assert ["NotSelf"] == errors_of(desk.block(desk.send("bob", "reserveLegs", *asked), seconds=0))
        desk.world.undo(start)


def test_a_combo_is_what_was_ordered_and_orders_come_back_when_it_is_given_up() -> None:
    """Legs, their hash and their pledge are in the leaf; what of an order was set aside rests again at its price."""
    book = Book()
    desk, legs = book.desk, (book.leg(book.call, 700), book.leg(book.put, -200))

    before = sorted(book.depth())
    book.lock(*legs)
    (combo,) = desk.world.combos.values()
    encoded = eth_encode(["(bytes32,address,int256,uint256)[]"], [legs])
    assert (NAME, keccak256(encoded), ((book.call, 700), (book.put, -200))) == (
        combo.name,
        combo.legs_hash,
        combo.legs,
    )
    assert [(book.call, 500, 250), (book.call, 200, 260), (book.put, -200, 200)] == [
        (fill[1], fill[3], fill[4] // DOLLAR) for fill in combo.fills
    ]
    assert (700, 0) == promised(desk.world, book.alice, book.call)
    assert (0, 700) == promised(desk.world, book.maker, book.call)
    assert 2 == slots(desk.world, book.maker, desk.world.accounts[book.maker])
    assert (
        1_300
        == sum(quantity for *_, quantity in before) - sum(quantity for *_, quantity in book.depth()) + 400
    )
    desk.block(book.l1.decide(NAME, commit=False))
    merged: dict[tuple[int, int], int] = {}
    for account, price, quantity in book.depth():
        merged[account, price] = merged.get((account, price), 0) + quantity
    assert {(account, price): quantity for account, price, quantity in before} == merged


def test_there_is_always_room_for_what_was_promised() -> None:
    """With room for one position, which is promised, nothing else can be traded meanwhile; the commit finds its place."""
    book = Book(max_positions=1)
    desk = book.desk
    book.lock(book.leg(book.call, 100))
    sell = desk.send("alice", "placeOrder", order(book.alice, book.put, 200 * DOLLAR, -100))
    desk.block(sell)
    assert not desk.world.accounts[book.alice].positions
    desk.block(book.l1.decide(NAME, commit=True))
    assert ((book.call, 100),) == desk.world.accounts[book.alice].positions


def test_a_commit_after_the_series_is_over_gives_everything_back() -> None:
    """Nobody took the legs back and the word came when there was nothing left to trade: said so, and pledges are free."""
    book = Book()
    desk = book.desk
    book.lock(book.leg(book.call, 100), after=EXPIRY - START - 100)
    desk.timestamp = EXPIRY + 1
    executed = desk.block(book.l1.decide(NAME, commit=True))
    assert ["LegRefunded", "CommitMissed"] == [name for name, _ in events(executed.receipts[0])][:2]
    assert 0 == desk.world.accounts[book.alice].reserved == desk.world.accounts[book.maker].reserved
    assert not desk.world.accounts[book.alice].positions


@settings(max_examples=12, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["lock", "commit", "abort", "trade"]), st.integers(0, 1), st.integers(-40, 40)
        ),
        max_size=12,
    )
)
def test_nobody_profits_from_the_market_maker_by_what_is_set_aside(moves: list[tuple[str, int, int]]) -> None:
    """However trades are locked, made, given up and mixed with others, at steady marks and without fees: who ends with nothing has no more cash."""
    _plays_with_the_market_maker(moves)


def test_what_is_set_aside_moves_the_market_makers_price() -> None:
    """What the property above is worth: if it didn't, many trades at one price would be had, and sold back dearer."""
    moves = [("lock", 0, 30)] * 3 + [("commit", 0, 0)] * 3
    _plays_with_the_market_maker(moves)
    with patched(amm, "promises", lambda _: lambda *_: ()), pytest.raises(AssertionError):
        _plays_with_the_market_maker(moves)


def _plays_with_the_market_maker(moves: list[tuple[str, int, int]]) -> None:
    desk = Strategies(amm_fee_ppm=0, markets={1: replace(MARKET, amm_limit=AMM_LIMIT // 60, amm_spread=0)})
    alice, start = desk.desk.account("alice"), desk.world.accounts[desk.desk.account("alice")].cash
    for kind, series, lots in moves:
        waiting = [at for at, name in enumerate(sorted(desk.known)) if desk.known[name].state is Lock.LOCKED]
        if kind == "lock" and lots:
            desk.lock("alice", ((series, lots * 100, True),), 1_000)
        elif kind == "trade" and lots:
            desk.close(desk.series[series], lots * 100)
        elif waiting:
            desk.decide(waiting[0], commit=kind == "commit")
    for at, name in enumerate(sorted(desk.known)):
        if desk.known[name].state is Lock.LOCKED:
            desk.decide(at, commit=bool(at % 2))
    desk.check()
    for number, held in desk.world.accounts[alice].positions:
        desk.close(number, -held)
    assert not desk.world.accounts[alice].positions
    assert desk.world.accounts[alice].cash <= start


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_long_run_of_seasons() -> None:
    """The same as above, and longer, fifty times."""
    for seed in range(50):
        season(seed, 60)
