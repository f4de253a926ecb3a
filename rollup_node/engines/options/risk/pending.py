"""Open orders of one account, summed up per series for margin. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Pending:
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
        loss = self.bids * max(self.highest_bid - mark, 0)
        return loss + self.asks * max(mark - self.lowest_ask, 0)


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
    found: dict[int, Pending] = {}
    for series, buys, price, quantity in orders:
        known = found.get(series, Pending(series))
        lowest = price if known.asks == 0 else min(known.lowest_ask, price)
        found[series] = (
            Pending(
                series, known.bids + quantity, known.asks, max(known.highest_bid, price), known.lowest_ask
            )
            if buys
            else Pending(series, known.bids, known.asks + quantity, known.highest_bid, lowest)
        )
    return tuple(found[series] for series in sorted(found))
