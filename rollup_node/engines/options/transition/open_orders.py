"""An account's open orders by series, as margin reads them: kept for a block, and brought up to date by the orders that differ.

Whoever makes a market has dozens of orders, and each of its trades changes one. Like the sums of its positions (``margins.Risks.sums``) these
follow what the book says now, not what has happened to it: so nothing that moves orders, or takes moves back, has to tell.
"""

from collections.abc import Iterable

from rollup_node.engines.options.book.orders import SERIES_SHIFT, Resting
from rollup_node.engines.options.risk.pending import Pending, gather
from rollup_node.engines.options.risk.portfolio import OpenSums
from rollup_node.engines.options.state.world import World


class OpenOrders:
    """Of one account."""

    __slots__ = ("_entries", "_orders", "entries", "sums")

    def __init__(self) -> None:
        self._orders: set[tuple[Resting, int]] = set()
        """Each with the quantity that was left of it: an order's other terms never change."""
        self._entries: dict[int, Pending] = {}
        self.entries: tuple[Pending, ...] = ()
        """One for each series; the same object for as long as it says the same."""
        self.sums = OpenSums()
        """What they come to in portfolio mode."""

    def update(self, orders: Iterable[Resting], filled: tuple[Resting, int] | None = None) -> None:
        """Follow the book; ``filled``: an order of which so much has just been filled, though the book doesn't show that yet."""
        now = {(order, order.quantity) for order in orders}
        if filled is not None:
            done, taken = filled
            now.discard((done, done.quantity))
            if done.quantity > taken:
                now.add((done, done.quantity - taken))
        changed = now ^ self._orders
        if not changed:
            return
        self._orders = now
        touched = {order.id >> SERIES_SHIFT for order, _ in changed}
        for series in touched:
            self._entries.pop(series, None)
        self._entries.update((entry.series, entry) for entry in gather(_terms(now, touched)))
        self.entries = tuple(self._entries.values())


def _terms(orders: Iterable[tuple[Resting, int]], wanted: set[int]) -> Iterable[tuple[int, bool, int, int]]:
    for order, quantity in orders:
        series = order.id >> SERIES_SHIFT
        if series in wanted:
            level = order.level
            yield series, not level.side, level.price, quantity


def pending_of(world: World, number: int) -> tuple[Pending, ...]:
    """An account's open orders, by series."""
    found = OpenOrders()
    found.update(world.unsorted_orders_of(number))
    return found.entries
