"""The book against a slow and obvious one: every fill, order, removal, refusal and root, with going back at any moment."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bridge.wire.keccak import keccak256
from rollup_node.engines.options.book import matching
from rollup_node.engines.options.book.book import Book
from rollup_node.engines.options.book.orders import (
    Reason,
    Refused,
    Resized,
    Resting,
    SelfTrade,
    Side,
    TimeInForce,
)
from rollup_node.engines.options.book.root import BookRoot, Record
from rollup_node.engines.options.state.journal import Journal, undo

SERIES = 7


@dataclass(frozen=True)
class Plain:
    """An order of the slow book."""

    id: int
    sequence: int
    account: int
    side: int
    price: int
    quantity: int
    expiry: int
    reduce_only: bool


class Slow:
    """A list, sorted anew whenever somebody looks. Says what the rules say, and nothing about speed."""

    def __init__(self) -> None:
        self.orders: list[Plain] = []
        self.sequence = (SERIES << 32) + 1

    def side(self, side: int) -> list[Plain]:
        """Best first."""
        mine = [order for order in self.orders if order.side == side]
        return sorted(mine, key=lambda order: (order.price if side else -order.price, order.sequence))

    def submit(  # noqa: C901, PLR0912 - as plain as a list of rules
        self,
        account: int,
        side: int,
        price: int,
        quantity: int,
        tif: TimeInForce,
        expiry: int,
        reducible: int | None,
        self_trade: SelfTrade,
        check: Callable[[int, int], int],
        under: int | None = None,
    ) -> Any:
        """Outcome as a tuple, or a reason."""
        if not 1 <= price < 2**63:
            return Reason.BAD_PRICE
        if not 1 <= quantity < 2**63:
            return Reason.BAD_QUANTITY
        if reducible is not None and reducible <= 0:
            return Reason.NOT_REDUCING
        before = list(self.orders)
        left = quantity if reducible is None else min(quantity, reducible)
        cancelled, reason = quantity - left, Reason.NOT_REDUCING if quantity > left else None
        against = [o for o in self.side(1 - side) if (o.price >= price if side else o.price <= price)]
        if tif is TimeInForce.POST_ONLY and against:
            return Reason.WOULD_CROSS
        fills, removed = [], []
        for maker in against:
            if left == 0:
                break
            traded = min(left, maker.quantity)
            if maker.account == account:
                taken = {
                    SelfTrade.CANCEL_NEWEST: (0, left),
                    SelfTrade.CANCEL_OLDEST: (maker.quantity, 0),
                    SelfTrade.CANCEL_BOTH: (maker.quantity, left),
                    SelfTrade.DECREMENT: (traded, traded),
                }[self_trade]
                if taken[0]:
                    removed.append(
                        (maker.id, maker.account, 1 - side, maker.price, taken[0], Reason.SELF_TRADE)
                    )
                    self.shrink(maker, taken[0])
                if taken[1]:
                    left, cancelled, reason = left - taken[1], cancelled + taken[1], Reason.SELF_TRADE
                continue
            allowed = min(traded, check(maker.account, traded))
            if allowed:
                fills.append((maker.id, maker.account, maker.price, allowed))
                left -= allowed
            if allowed < traded:
                lost = maker.quantity - allowed
                removed.append((maker.id, maker.account, 1 - side, maker.price, lost, Reason.MAKER_FAILED))
                self.shrink(maker, maker.quantity)
            else:
                self.shrink(maker, allowed)
        if tif in {TimeInForce.IOC, TimeInForce.FOK} and left:
            left, cancelled, reason = 0, cancelled + left, reason or Reason.UNFILLED
        if tif is TimeInForce.FOK and cancelled:
            self.orders = before
            return Reason.CANNOT_FILL
        identity = self.sequence if under is None else under
        if left:
            self.orders.append(
                Plain(identity, self.sequence, account, side, price, left, expiry, reducible is not None)
            )
        self.sequence += 1
        return (identity, left, cancelled, reason, tuple(fills), tuple(removed))

    def shrink(self, order: Plain, lost: int) -> None:
        """Take a quantity away."""
        place = self.orders.index(order)
        if lost == order.quantity:
            self.orders.pop(place)
        else:
            self.orders[place] = replace(order, quantity=order.quantity - lost)

    def replace(
        self,
        account: int,
        identity: int,
        price: int,
        quantity: int,
        post: bool,
        expiry: int | None,
        self_trade: SelfTrade,
        check: Callable[[int, int], int],
    ) -> Any:
        """Outcome as a tuple, or a reason."""
        found = [o for o in self.orders if (o.id, o.account) == (identity, account)]
        if not found:
            return Reason.UNKNOWN_ORDER
        (order,) = found
        lost = (order.id, account, order.side, order.price)
        if order.price == price and 0 < quantity <= order.quantity and expiry in {None, order.expiry}:
            if quantity == order.quantity:
                return (identity, quantity, 0, None, (), ())
            self.shrink(order, order.quantity - quantity)
            gone = (*lost, order.quantity - quantity, Reason.REPLACED)
            return (identity, quantity, 0, None, (), (gone,))
        before = list(self.orders)
        self.orders.remove(order)
        outcome = self.submit(
            account,
            order.side,
            price,
            quantity,
            TimeInForce.POST_ONLY if post else TimeInForce.GTC,
            order.expiry if expiry is None else expiry,
            quantity if order.reduce_only else None,
            self_trade,
            check,
            identity,
        )
        if isinstance(outcome, Reason):
            self.orders = before
            return outcome
        return (*outcome[:5], ((*lost, order.quantity, Reason.REPLACED), *outcome[5]))


def naive_root(orders: list[Plain]) -> bytes:
    """From the definition: split the sorted leaves at the highest bit in which they differ."""
    leaves = [
        (
            ((o.price if o.side else -o.price) + 2**63) << 64 | o.sequence,
            b"\1"
            + o.id.to_bytes(8, "big")
            + o.sequence.to_bytes(8, "big")
            + o.account.to_bytes(4, "big")
            + bytes([o.side])
            + o.price.to_bytes(8, "big")
            + o.quantity.to_bytes(8, "big")
            + o.expiry.to_bytes(8, "big")
            + bytes([o.reduce_only]),
        )
        for o in orders
    ]

    def node(members: list[tuple[int, bytes]]) -> bytes:
        if len(members) == 1:
            return keccak256(b"\0" + members[0][1])
        bit = (members[0][0] ^ members[-1][0]).bit_length() - 1
        left = [member for member in members if not member[0] >> bit & 1]
        return keccak256(b"\1" + bytes([bit]) + node(left) + node(members[len(left) :]))

    return node(leaves) if leaves else bytes(32)


def attempt(action: Callable[[], Any]) -> Any:
    """Its result as plain tuples, or the reason of its refusal."""
    try:
        result = action()
    except Refused as refused:
        return refused.reason
    fills, removed = tuple(map(tuple, result.fills)), tuple(map(tuple, result.removed))
    return (result.order, result.resting, result.cancelled, result.reason, fills, removed)


def plain(order: Resting) -> Plain:
    """The same as the slow book has it."""
    return Plain(
        order.id,
        order.sequence,
        order.account,
        int(order.side),
        order.price,
        order.quantity,
        order.expiry,
        order.reduce_only,
    )


accounts = st.integers(0, 3)
sides = st.sampled_from(Side)
prices = st.integers(95, 105)
quantities = st.integers(1, 12)
self_trades = st.sampled_from(SelfTrade)
limits = st.dictionaries(accounts, st.integers(0, 6), max_size=2)
"""How much of a match some accounts are let."""


class BookMachine(RuleBasedStateMachine):
    """Both books side by side."""

    @initialize()
    def begin(self) -> None:
        """Empty."""
        self.journal: Journal = []
        self.book, self.slow = Book(SERIES, self.journal), Slow()
        self.root, self.dirty = BookRoot(), set[Resting]()
        self.marks: list[tuple[int, list[Plain], int, tuple[bytes, bytes]]] = []
        self.entered = self.left = 0

    def _check(self, allowed: dict[int, int]) -> tuple[Callable[..., int], Callable[[int, int], int]]:
        return (
            lambda maker, price, quantity: min(quantity, allowed.get(maker.account, quantity)),
            allowed.get,
        )

    @rule(
        account=accounts,
        side=sides,
        price=prices,
        quantity=quantities,
        tif=st.sampled_from(TimeInForce),
        expiry=st.sampled_from([0, 0, 50, 60]),
        reducible=st.sampled_from([None, None, None, 0, 4, 40]),
        self_trade=self_trades,
        allowed=limits,
    )
    def submit(
        self,
        account: int,
        side: Side,
        price: int,
        quantity: int,
        tif: TimeInForce,
        expiry: int,
        reducible: int | None,
        self_trade: SelfTrade,
        allowed: dict[int, int],
    ) -> None:
        """An order of any kind fares the same, and its quantity is that of its fills, its rest and what was cancelled."""
        fast, slow = self._check(allowed)
        expected = self.slow.submit(account, side, price, quantity, tif, expiry, reducible, self_trade, slow)
        actual = attempt(
            lambda: matching.submit(
                self.book, account, side, price, quantity, tif, expiry, reducible, self_trade, fast
            )
        )
        assert expected == actual
        if not isinstance(actual, Reason):
            assert quantity == actual[1] + actual[2] + sum(fill[3] for fill in actual[4])

    @rule(
        pick=st.integers(0, 1000),
        stranger=st.booleans(),
        price=st.one_of(st.none(), prices),
        quantity=quantities,
        post=st.booleans(),
        expiry=st.sampled_from([None, None, 0, 55]),
        self_trade=self_trades,
        allowed=limits,
    )
    def replace(
        self,
        pick: int,
        stranger: bool,
        price: int | None,
        quantity: int,
        post: bool,
        expiry: int | None,
        self_trade: SelfTrade,
        allowed: dict[int, int],
    ) -> None:
        """A replacement of an order, or of somebody else's, fares the same."""
        orders = self.slow.orders
        order = orders[pick % len(orders)] if orders else Plain(1, 1, 1, 0, 100, 1, 0, reduce_only=False)
        price = order.price if price is None else price
        account = order.account + (1 if stranger else 0)
        fast, slow = self._check(allowed)
        expected = self.slow.replace(account, order.id, price, quantity, post, expiry, self_trade, slow)
        actual = attempt(
            lambda: matching.replace(
                self.book,
                account,
                order.id,
                price,
                quantity,
                post_only=post,
                expiry=expiry,
                self_trade=self_trade,
                check_maker=fast,
            )
        )
        assert expected == actual

    @rule(pick=st.integers(0, 1000))
    def cancel(self, pick: int) -> None:
        """One order goes."""
        if self.slow.orders:
            order = self.slow.orders.pop(pick % len(self.slow.orders))
            assert order == plain(self.book.cancel(order.account, order.id))

    @rule(account=accounts)
    def cancel_all(self, account: int) -> None:
        """All orders of an account go, the lowest id first."""
        gone = sorted((o for o in self.slow.orders if o.account == account), key=lambda o: o.id)
        self.slow.orders = [o for o in self.slow.orders if o.account != account]
        assert gone == list(map(plain, self.book.cancel_all(account)))

    @rule(now=st.integers(49, 61))
    def expire(self, now: int) -> None:
        """All orders go whose time is over, in the order of their times."""
        gone = sorted((o for o in self.slow.orders if 0 < o.expiry <= now), key=lambda o: (o.expiry, o.id))
        self.slow.orders = [o for o in self.slow.orders if not 0 < o.expiry <= now]
        assert gone == list(map(plain, self.book.expire(now)))

    @rule()
    def mark(self) -> None:
        """Remember this moment."""
        self.marks.append(
            (len(self.journal), list(self.slow.orders), self.slow.sequence, self._roots(len(self.journal)))
        )

    @rule(back=st.integers(1, 3))
    def undo(self, back: int) -> None:
        """Go back to a moment: the same orders, the same next number, the same roots."""
        for _ in range(min(back, len(self.marks))):
            mark, orders, sequence, roots = self.marks.pop()
            self._collect()
            undo(self.journal, mark)
            self.slow.orders, self.slow.sequence = orders, sequence
            assert roots == self._roots(mark)

    @rule()
    def hash(self) -> None:
        """The incremental roots are those of the definition."""
        assert (naive_root(self.slow.side(0)), naive_root(self.slow.side(1))) == self._roots(
            len(self.journal)
        )

    def _collect(self) -> None:
        changes = (change.order if isinstance(change, Resized) else change for change in self.journal)
        self.dirty |= {order for order in changes if isinstance(order, Resting)}

    def _roots(self, _: int) -> tuple[bytes, bytes]:
        self._collect()
        orders, self.dirty = self.dirty, set()
        return self.root.update(orders)

    @invariant()
    def same(self) -> None:
        """The same orders in the same order of matching, the same next number, and never a crossed book."""
        assert [*self.slow.side(0), *self.slow.side(1)] == [plain(order) for order in self.book]
        assert self.slow.sequence == self.book.sequence
        assert len(self.slow.orders) == len(self.book)
        for account in range(4):
            mine = sorted((o for o in self.slow.orders if o.account == account), key=lambda o: o.id)
            assert mine == [plain(order) for order in self.book.orders_of(account)]
        bid, ask = self.book.best_bid, self.book.best_ask
        assert bid is None or ask is None or bid < ask
        for side in Side:
            by_price: dict[int, int] = {}
            for order in self.slow.side(side):
                by_price[order.price] = by_price.get(order.price, 0) + order.quantity
            assert list(by_price.items())[:3] == self.book.depth(side, 3)


BookMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestBook = BookMachine.TestCase


@pytest.mark.parametrize("seed", range(3))
def test_a_long_trade_is_the_same_in_both_books(seed: int) -> None:
    """A thousand operations of every kind in one book, from a seed: deeper than generated examples come."""
    chance, machine = random.Random(seed), BookMachine()
    machine.begin()
    for _ in range(1_000):
        allowed = {chance.randrange(4): chance.randrange(7)} if chance.random() < 0.3 else {}
        rule = chance.choice(list(SelfTrade))
        kind = chance.choices(
            ["submit", "replace", "cancel", "cancel_all", "expire", "mark", "undo"], (60, 25, 8, 1, 1, 4, 1)
        )
        match kind[0]:
            case "submit":
                machine.submit(
                    chance.randrange(4), chance.choice(list(Side)), chance.randrange(95, 106), chance.randrange(1, 13),
                    chance.choice([TimeInForce.GTC, *TimeInForce]), chance.choice([0, 0, 50, 60]),
                    chance.choice([None, None, None, 0, 4, 40]), rule, allowed,
                )  # fmt: skip
            case "replace":
                machine.replace(
                    chance.randrange(1_000), chance.random() < 0.1, chance.choice([None, chance.randrange(95, 106)]),
                    chance.randrange(1, 13), chance.random() < 0.3, chance.choice([None, None, 0, 55]), rule, allowed,
                )  # fmt: skip
            case "cancel":
                machine.cancel(chance.randrange(1_000))
            case "cancel_all":
                machine.cancel_all(chance.randrange(4))
            case "expire":
                machine.expire(chance.randrange(49, 62))
            case "mark":
                machine.mark()
            case _:
                machine.undo(chance.randrange(1, 4))
        machine.same()
    machine.hash()


def test_going_back_over_ten_thousand_operations_gives_the_same_bytes() -> None:
    """Random trading, undone to each of a hundred moments: the records of every moment are what they were then."""
    seed = random.Random(5)
    journal: Journal = []
    book = Book(1, journal)
    moments = []
    for number in range(10_000):
        if number % 100 == 0:
            moments.append((len(journal), [Record.of(order) for order in book], book.sequence))
        account, side = seed.randrange(20), seed.choice(list(Side))
        if seed.random() < 0.4 and book.orders_of(account):
            book.cancel(account, seed.choice(book.orders_of(account)).id)
        else:
            tif = seed.choice([TimeInForce.GTC, TimeInForce.GTC, TimeInForce.IOC])
            matching.submit(book, account, side, 100 + seed.randrange(-20, 21), seed.randrange(1, 9), tif)
    while moments:
        mark, records, sequence = moments.pop()
        undo(journal, mark)
        assert (records, sequence) == ([Record.of(order) for order in book], book.sequence)
