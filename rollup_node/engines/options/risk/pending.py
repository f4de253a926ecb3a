"""Open orders of one account, summed up per series for margin. Pure."""

from collections.abc import Iterable
from typing import NamedTuple

_new = tuple.__new__
"""Makes a NamedTuple for half of what calling it costs."""


class Pending(NamedTuple):
    """What may still fill of one series."""

    series: int
    bids: int = 0
    """Quantity that the account may buy."""
    asks: int = 0
    """Quantity that it may sell."""
    highest_bid: int = 0
    """The most that it pays, micro-USD per contract."""
    lowest_ask: int = 0
    """The least that it takes."""

    def dearer_than(self, mark: int) -> int:
        """What filling at the worst limits loses at once against the mark, micro-USD times quantity."""
        _, bids, asks, highest, lowest = self
        loss = bids * (highest - mark) if highest > mark else 0
        return loss + asks * (mark - lowest) if lowest < mark else loss


class Requirement(NamedTuple):
    """What a mode answers."""

    value: int
    """Marks of the positions, micro-USD times quantity."""
    maintenance: int
    """Micro-USD."""
    initial: int
    """Micro-USD."""


def gather(orders: Iterable[tuple[int, bool, int, int]]) -> tuple[Pending, ...]:
    """Sum up orders (series, buys, price, quantity left), by series."""
    found: dict[int, list[int]] = {}
    for series, buys, price, quantity in orders:
        known = found.get(series)
        if known is None:
            known = found[series] = [0, 0, 0, 0]
        if buys:
            known[0] += quantity
            known[2] = max(known[2], price)
        else:
            if price < known[3] or not known[1]:
                known[3] = price
            known[1] += quantity
    return tuple([_new(Pending, (series, *found[series])) for series in sorted(found)])
