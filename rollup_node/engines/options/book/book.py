"""The book as a structure: orders in price-time order, found by id and by account, changed in five ways that can each be undone.

The problem: a margined rollup lives from cancels and replacements, so adding and removing must cost about a microsecond in Python, and
every change must be taken back exactly when a transaction, a bundle or a block is. The choice: a dictionary of levels by price, their
prices in a sorted list that is touched only when a level appears or empties, the best at its end, where nearly all of that happens; and in
each level a ring of orders. Removing an order leaves its own pointers as they were, so putting it back is two assignments ("dancing
links"), in whatever place it had. All members of a ring, the one that holds it together too, are of one class: what Python learns about
an attribute's place it learns for one class at a time. Nothing is made that the book has already: an order that comes in and rests, or
goes as a whole, is its own outcome.

Rejected: ordered dictionaries by level (an order that comes back comes back last; and taking from the front of a long one walks over the
dead), one sorted list of all orders (two to three times slower), a ``SortedList`` of prices (ten times a plain list's cost at the best
price, and cheaper only from tens of thousands of prices on), and packaged matching engines (none undoes).

Prices of both sides are kept as *ranks*, so that less is better on either: an ask's rank is its price, a bid's is minus its price.
"""

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

from sortedcontainers import SortedList

from rollup_node.engines.options.book.orders import (
    MOST,
    SERIES_SHIFT,
    Level,
    Reason,
    Refused,
    Resized,
    Resting,
    Side,
)
from rollup_node.engines.options.state.journal import Journal

NOTHING: Final = MOST + 1
"""Rank that is worse than every order's: of a side without orders."""


_new = tuple.__new__
"""Makes a NamedTuple for half of what calling it costs."""


Accounts: TypeAlias = defaultdict[int, dict[int, Resting]]
"""Orders by account and id; none of the inner ones is empty."""


class BookSide:
    """Bids or asks."""

    __slots__ = ("best", "levels", "ranks", "side")

    def __init__(self, side: Side) -> None:
        self.side = side
        self.best = NOTHING
        """Rank of the first level."""
        self.levels: dict[int, Level] = {}
        """By rank; none is empty."""
        self.ranks: list[int] = []
        """Those of all levels, negated, so that the best is the last."""

    def __iter__(self) -> Iterator[Resting]:
        """Orders from the best, the oldest of a price first."""
        for rank in reversed(self.ranks):
            ring = self.levels[-rank].ring
            order = ring.next
            while order is not ring:
                yield order
                order = order.next

    def open(self, level: Level) -> None:
        """Let a level in."""
        rank = level.rank
        self.levels[rank] = level
        insort(self.ranks, -rank)
        self.best = min(self.best, rank)

    def close(self, level: Level) -> None:
        """Let a level out that is empty."""
        rank = level.rank
        del self.levels[rank]
        ranks = self.ranks
        if rank == self.best:
            ranks.pop()
            self.best = -ranks[-1] if ranks else NOTHING
        else:
            del ranks[bisect_left(ranks, -rank)]


class Book:
    """The resting orders of one series.

    Args:
        series: its id, 32 bits.
        journal: where changes are noted, see :mod:`rollup_node.engines.options.state.journal`.
        accounts: where orders are found by account; books of one rollup share it, for their ids never meet.
    """

    __slots__ = ("accounts", "asks", "bids", "expiring", "journal", "sequence", "series")

    def __init__(self, series: int, journal: Journal, accounts: Accounts | None = None) -> None:
        self.series = series
        self.journal = journal
        self.sequence = (series << SERIES_SHIFT) + 1
        """Id of the next order, and its place in time; part of the state."""
        self.bids, self.asks = BookSide(Side.BUY), BookSide(Side.SELL)
        self.accounts: Accounts = defaultdict(dict) if accounts is None else accounts
        self.expiring: SortedList[tuple[int, int, int]] = SortedList()
        """Expiry, id and account of those that have one."""

    def __iter__(self) -> Iterator[Resting]:
        """All orders: bids from the best, then asks from the best, the oldest of a price first."""
        yield from self.bids
        yield from self.asks

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @property
    def untouched(self) -> bool:
        """Whether it never had an order."""
        return self.sequence == (self.series << SERIES_SHIFT) + 1

    @property
    def best_bid(self) -> int | None:
        """Ticks."""
        return None if self.bids.best == NOTHING else -self.bids.best

    @property
    def best_ask(self) -> int | None:
        """Ticks."""
        return None if self.asks.best == NOTHING else self.asks.best

    @property
    def first_expiry(self) -> int | None:
        """Unix seconds at which the first order's time is over; None if no order has one."""
        return self.expiring[0][0] if self.expiring else None

    def depth(self, side: Side, levels: int) -> list[tuple[int, int]]:
        """Price and total quantity of the best levels."""
        half = self.asks if side else self.bids
        found = []
        for rank in half.ranks[: -levels - 1 : -1]:
            level, total = half.levels[-rank], 0
            ring = level.ring
            order = ring.next
            while order is not ring:
                total += order.quantity
                order = order.next
            found.append((level.price, total))
        return found

    def orders_of(self, account: int) -> list[Resting]:
        """An account's orders, the lowest id first."""
        own = self.accounts.get(account, {})
        return [own[order] for order in sorted(own) if order >> SERIES_SHIFT == self.series]

    def find(self, account: int, order: int) -> Resting:
        """An account's order.

        Raises:
            Refused: it has none of this id.
        """
        found = self.accounts.get(account, {}).get(order)
        if found is None or found.level.book is not self:
            raise Refused(Reason.UNKNOWN_ORDER)
        return found

    def cancel(self, account: int, order: int) -> Resting:
        """Take an account's order out; returns what it was. Raises as :meth:`find`."""
        own = self.accounts.get(account)
        found = own.pop(order, None) if own else None
        if found is None:
            raise Refused(Reason.UNKNOWN_ORDER)
        level = found.level
        if level.book is not self:
            self.accounts[account][order] = found
            raise Refused(Reason.UNKNOWN_ORDER)
        if not own:
            del self.accounts[account]
        before, after = found.previous, found.next
        before.next, after.previous = after, before
        if before is after:  # only an empty level is the neighbour on both sides
            (self.asks if level.side else self.bids).close(level)
        if found.expiry:
            self.expiring.remove((found.expiry, order, account))
        self.journal.append(found)
        return found

    def cancel_all(self, account: int) -> list[Resting]:
        """Take all of an account's orders out, the lowest id first."""
        return [self.cancel(account, order.id) for order in self.orders_of(account)]

    def expire(self, now: int) -> list[Resting]:
        """Take out every order whose time is over at ``now``, unix seconds; by expiry, then by id."""
        over = list(self.expiring.irange(maximum=(now, self.sequence, 0)))
        return [self.cancel(account, order) for _, order, account in over]

    def resize(self, order: Resting, quantity: int) -> None:
        """Leave an order less than it had, but something; it keeps its place."""
        self.journal.append(_new(Resized, (order, order.quantity)))
        order.quantity = quantity

    def skip_number(self, until: int | None = None) -> None:
        """Use up a sequence number for an order that doesn't rest; or all before ``until``, when a book is read back."""
        self.journal.append(_new(Numbered, (self, self.sequence)))
        self.sequence = self.sequence + 1 if until is None else until

    def turn_round(self, order: Resting) -> None:
        """Undo the newest change, which was this order's coming or going."""
        if order.rests:
            self.cancel(order.account, order.id)
            self.journal.pop()
            self.sequence = order.sequence
            return
        level = order.level
        if level.ring.next is level.ring:
            (self.asks if level.side else self.bids).open(level)
        order.previous.next = order.next.previous = order
        self.accounts[order.account][order.id] = order
        if order.expiry:
            self.expiring.add((order.expiry, order.id, order.account))


class Numbered(NamedTuple):
    """A change: a sequence number was used up."""

    book: Book
    before: int

    def undo(self) -> None:
        """Give it back."""
        self.book.sequence = self.before
