"""Settlement: the average price before an expiry, what each position then gets, and who gets the dust. Pure.

::

    oracle updates ─► Average.advanced (price times seconds, summed) ─► settlement_price over the last half hour
    settlement_price, Terms ─► payoff per contract ─► settled(quantity) for each account, in any order, in any batches

A price holds from its update until the next, so a sum of price times seconds is exact and anyone who knows it
at two times knows the average between. Settlement takes the average from ``WINDOW_S`` before the expiry to
the expiry, rounded down.

Quantities of a series sum to zero, and so do the exact payoffs. What an account gets is rounded down and what
it pays is rounded up; what is left over, less than one micro-dollar per account, goes to the insurance fund.
Each account leaves its own share of that dust, in ten-thousandths of a micro-dollar; once all have settled it
is a whole number. Nothing is created or lost.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from rollup_node.engines.options.risk.rows import Terms
from rollup_node.engines.options.values import QUANTITY_UNIT, Overflow, cash_for, int64, int128

WINDOW_S: Final = 1_800
"""Half an hour, as on the large venues: too long to push for one print."""


@dataclass(frozen=True, slots=True)
class Average:
    """Running sum of one underlying's price over time."""

    total: int
    """Micro-USD times seconds, until ``timestamp``."""
    timestamp: int
    """Of the last update, unix seconds."""
    price: int
    """Since then, micro-USD."""

    def at(self, timestamp: int) -> int:
        """The sum at a time that isn't before the last update.

        Raises:
            Overflow: it is before, or the sum doesn't fit 128 bits.
        """
        if timestamp < self.timestamp:
            raise Overflow(f"the sum at {timestamp} is gone: a price of {self.timestamp} came since")
        return int128(self.total + self.price * (timestamp - self.timestamp))

    def advanced(self, timestamp: int, price: int) -> "Average":
        """The sum after an update.

        Raises:
            Overflow: the update is older than the last one, or a number out of range.
        """
        return Average(self.at(timestamp), timestamp, int64(price))


def settlement_price(at_start: int, at_expiry: int, seconds: int = WINDOW_S) -> int:
    """Average price between two sums, micro-USD, rounded down.

    Args:
        at_start: The sum at the window's start (``Average.at``).
        at_expiry: The sum at the expiry.
        seconds: Between them, above zero.

    Raises:
        Overflow: the sums don't belong to a window.
    """
    if seconds <= 0 or at_expiry < at_start:
        raise Overflow(f"no average from {at_start} to {at_expiry} over {seconds} s")
    return int64((at_expiry - at_start) // seconds)


class Settled(NamedTuple):
    """What one position gets."""

    cash: int
    """Micro-USD; below zero the account pays."""
    dust: int
    """What rounding kept of it, in micro-USD times 1e-4: from 0 to 9,999."""


def settled(payoff: int, quantity: int) -> Settled:
    """Settle one position.

    Args:
        payoff: Of one contract, micro-USD (``Terms.payoff``).
        quantity: 1e-4 contracts, signed.

    Raises:
        Overflow: the cash doesn't fit 128 bits.
    """
    cash = cash_for(payoff, quantity)
    return Settled(cash, payoff * quantity - cash * QUANTITY_UNIT)


class SeriesSettlement(NamedTuple):
    """A series settled at once."""

    cash: dict[int, int]
    """By account, micro-USD."""
    insurance: int
    """The dust, micro-USD."""


def settle_series(terms: Terms, price: int, positions: Mapping[int, int]) -> SeriesSettlement:
    """Settle all positions of a series; with the insurance fund's dust the cash sums to zero.

    Args:
        terms: The series.
        price: Settlement price, micro-USD.
        positions: Signed quantity by account.

    Raises:
        Overflow: the quantities don't sum to zero, or cash doesn't fit 128 bits.
    """
    if sum(positions.values()) != 0:
        raise Overflow(f"positions of series {terms.series} sum to {sum(positions.values())}, not to zero")
    payoff = terms.payoff(price)
    found = {account: settled(payoff, quantity) for account, quantity in positions.items()}
    dust = sum(one.dust for one in found.values())
    return SeriesSettlement({account: one.cash for account, one in found.items()}, dust // QUANTITY_UNIT)
