"""Open orders as margin keeps them: whatever happened to books and positions, what is kept says what a fresh look says; and mutants."""

import random
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollup_node.engines.options.book.matching import replace as replace_order
from rollup_node.engines.options.book.matching import submit
from rollup_node.engines.options.book.orders import Refused, Resting, SelfTrade, Side, TimeInForce
from rollup_node.engines.options.risk.margin import Margin, margin
from rollup_node.engines.options.risk.pending import gather
from rollup_node.engines.options.risk.portfolio import OpenSums
from rollup_node.engines.options.risk.testing import risks_of
from rollup_node.engines.options.state.leaves import Account
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.testing_mutants import patched
from rollup_node.engines.options.transition.open_orders import OpenOrders
from rollup_node.engines.options.values import WAD

RISKS = risks_of(confidence=WAD // 2)
"""So doubtful that every short weighs on initial margin."""
SERIES = (0, 1, 2, 17, 18)
ACCOUNTS = (1, 2, 3)
STEPS = 60


def story(seed: int) -> None:
    """Orders come, go, trade, are replaced and taken back; after each step what is kept of an account says what fresh sums say."""
    chance = random.Random(seed)
    world = World()
    held: dict[int, dict[int, int]] = {number: {} for number in ACCOUNTS}
    for number in ACCOUNTS:
        world.accounts[number] = Account(bytes(20), cash=10**12, portfolio=True)
    kept = {number: OpenOrders() for number in ACCOUNTS}
    for _ in range(STEPS):
        mark, before = world.mark(), {number: dict(some) for number, some in held.items()}
        _step(chance, world, held, kept)
        if chance.random() < 0.2:
            world.undo(mark)
            held = before
        for number in chance.sample(ACCOUNTS, 2):
            kept[number].update(world.unsorted_orders_of(number))
            assert _fresh(world, held, number) == _margin(kept[number], held[number])


def _step(
    chance: random.Random, world: World, held: dict[int, dict[int, int]], kept: dict[int, OpenOrders]
) -> None:
    number, book = chance.choice(ACCOUNTS), world.book(chance.choice(SERIES))
    price, quantity = RISKS[book.series].mark + chance.randrange(-9, 10), chance.randrange(1, 50)

    def met(maker: Resting, _: int, traded: int) -> int:
        """As a match looks at its maker: what it is left with, before the book shows it."""
        before = held[maker.account].get(book.series, 0)
        held[maker.account][book.series] = before + (traded if maker.side is Side.BUY else -traded)
        kept[maker.account].update(world.unsorted_orders_of(maker.account), (maker, traded))
        rest = [
            (one.id >> 32, one.side is Side.BUY, one.price, one.quantity - traded * (one is maker))
            for one in world.unsorted_orders_of(maker.account)
        ]
        wanted = _weighed(held[maker.account], gather([one for one in rest if one[3]]))
        assert wanted == _margin(kept[maker.account], held[maker.account])
        return True

    own = book.orders_of(number)
    try:
        match chance.choice(("submit", "submit", "submit", "cancel", "replace", "move")):
            case "cancel" if own:
                book.cancel(number, chance.choice(own).id)
            case "replace" if own:
                replace_order(book, number, chance.choice(own).id, price, quantity, check_maker=met)
            case "move":
                held[number][book.series] = chance.randrange(-60, 60)
            case _:
                side, lives = chance.choice(list(Side)), chance.choice([TimeInForce.GTC, TimeInForce.IOC])
                submit(
                    book,
                    number,
                    side,
                    price,
                    quantity,
                    lives,
                    self_trade=SelfTrade.CANCEL_OLDEST,
                    check_maker=met,
                )
    except Refused:
        pass


def _positions(held: dict[int, int]) -> tuple[tuple[int, int], ...]:
    return tuple((series, quantity) for series, quantity in sorted(held.items()) if quantity)


def _weighed(held: dict[int, int], pending: Any) -> Margin:
    return margin(10**12, _positions(held), RISKS, pending=pending)


def _margin(kept: OpenOrders, held: dict[int, int]) -> Margin:
    return margin(10**12, _positions(held), RISKS, pending=kept.entries, opened=kept.sums)


def _fresh(world: World, held: dict[int, dict[int, int]], number: int) -> Margin:
    orders = [
        (one.id >> 32, one.side is Side.BUY, one.price, one.quantity)
        for one in world.unsorted_orders_of(number)
    ]
    return _weighed(held[number], gather(orders))


@settings(max_examples=40)
@given(st.integers(0, 2**64))
def test_what_is_kept_is_what_is(seed: int) -> None:
    """Fresh sums and kept ones give the same margin, also for a maker in the middle of its match, and after steps are taken back."""
    story(seed)


def _forgets_fills(update: Callable[..., None]) -> Any:
    return lambda self, orders, filled=None: update(self, orders)


def _by_id(update: Callable[..., None]) -> Any:
    """Knows an order again by its id: a replaced one has the same."""

    def changed(self: OpenOrders, orders: Iterable[Resting], filled: Any = None) -> None:
        known = {order.id: order for order, _ in self._orders}
        update(self, [known.get(order.id, order) for order in orders], filled)

    return changed


def _stale_positions(update: Callable[..., None]) -> Any:
    def changed(self: OpenSums, pending: Any, held: Any, risks: Any) -> None:
        before = {series: part[1] for series, part in self.parts.items()}
        update(self, pending, {**held, **before}, risks)

    return changed


def _keeps_what_is_gone(update: Callable[..., None]) -> Any:
    def changed(self: OpenSums, pending: Any, held: Any, risks: Any) -> None:
        named = {entry.series for entry in pending}
        gone = [part[0] for series, part in self.parts.items() if series not in named]
        update(self, (*pending, *gone), held, risks)

    return changed


@pytest.mark.parametrize(
    ("target", "made"),
    [
        (OpenOrders, _forgets_fills),
        (OpenOrders, _by_id),
        (OpenSums, _stale_positions),
        (OpenSums, _keeps_what_is_gone),
    ],
    ids=["forgets fills", "knows orders by id", "stale positions", "keeps what is gone"],
)
def test_mutants_are_caught(target: Any, made: Callable[[Any], Any]) -> None:
    """Each way of keeping too much, or too little, is seen within a few stories."""
    with patched(target, "update", made), pytest.raises(AssertionError):
        deque(map(story, range(40)), maxlen=0)
