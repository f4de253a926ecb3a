"""Margin of one account: what it is worth, and must be worth to stay or to take on more. Pure, integers alone.

Both modes answer with the same ``Margin``: ``equity`` (cash and marks) against ``maintenance`` and
``initial``, so that one rule (``accepts``) says whether an order, a match or a withdrawal may be. Where the
requirement comes from is the mode's affair: ``portfolio`` weighs all positions in sixteen scenarios,
``standard`` each short alone unless a maximum loss says less.

Open orders count at their worst: any of them, on either side, may fill at its limit before anything else
happens.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple

from rollup_node.engines.options.risk import portfolio, standard
from rollup_node.engines.options.risk.parameters import DEFAULT_PARAMETERS, RiskParameters
from rollup_node.engines.options.risk.pending import Pending
from rollup_node.engines.options.risk.portfolio import OpenSums, Sums
from rollup_node.engines.options.risk.rows import SeriesRisk
from rollup_node.engines.options.values import QUANTITY_UNIT, ceil_divide, int128

Positions = Sequence[tuple[int, int]]
"""Series and signed quantity; each series once."""
Risks = Mapping[int, SeriesRisk]
"""By series."""
_new = tuple.__new__
"""Makes a NamedTuple for half of what calling it costs: every order is margined, and every match."""


class Mode(IntEnum):
    """How an account is margined; the numbers are those of its leaf."""

    STANDARD = 0
    PORTFOLIO = 1


class Margin(NamedTuple):
    """One account's margin; micro-USD."""

    equity: int
    """Cash and marks, rounded down."""
    maintenance: int
    """Below this the account is liquidated. Positions alone: liquidation begins by cancelling orders."""
    initial: int
    """What equity must be for more risk. Positions and the worst of the open orders."""
    covered: bool
    """Whatever fills, it has no short option and has paid for what it bought: it can't owe anything, ever."""
    owing: bool = True
    """Whether its positions or its cash are such that it may come to owe."""

    @property
    def surplus(self) -> int:
        """Equity above initial margin; a shortfall is below zero."""
        return self.equity - self.initial

    @property
    def liquidatable(self) -> bool:
        """Whether equity is below maintenance margin, by more than roundings that hit each other.

        The requirement of worthless-to-be longs is their value rounded up, equity the same rounded down; whoever
        owes nothing isn't liquidated for that.
        """
        return self.owing and self.equity < self.maintenance


def margin(
    cash: int,
    positions: Positions,
    risks: Risks,
    *,
    pending: Sequence[Pending] = (),
    mode: Mode = Mode.PORTFOLIO,
    locked: int = 0,
    parameters: RiskParameters = DEFAULT_PARAMETERS,
    sums: Sums | None = None,
    opened: OpenSums | None = None,
) -> Margin:
    """Margin of an account.

    Args:
        cash: Micro-USD, less the fees reserved for open orders.
        positions: Without the legs of locked combos.
        risks: Of every series in ``positions`` and ``pending``.
        pending: Open orders, one entry per series (``pending.gather``).
        mode: Portfolio or standard.
        locked: What the account's locked legs here require, micro-USD (``combos.lock``).
        parameters: The rollup's.
        sums: Of the positions, where they are kept; of use in portfolio mode.
        opened: Of the open orders, where they are kept; of the same use.

    Raises:
        Overflow: a figure doesn't fit 128 bits.
        KeyError: a series has no risk; the caller admits only those that have.
    """
    if mode is Mode.PORTFOLIO:
        sums = sums or portfolio.sums_of(positions, risks)
        found, short = portfolio.requirement_of(sums, risks, pending, parameters, opened), sums.shorts > 0
    else:
        found = standard.requirement(positions, risks, pending, parameters)
        short = any(quantity < 0 for _, quantity in positions)
    owing = short or cash < 0 or bool(locked)
    value, maintenance, initial = found
    return _new(
        Margin,
        (
            int128(cash + value // QUANTITY_UNIT),
            int128(maintenance + locked),
            int128(initial + locked),
            not owing and _paid(cash, positions, pending),
            owing,
        ),
    )


def accepts(before: Margin, after: Margin) -> bool:
    """Whether what turns one margin into another is allowed.

    An account above its initial margin may do what leaves it there. One below it may only do what makes the
    shortfall smaller. One that can't owe anything may do what leaves it so: no requirement protects anyone
    from it.
    """
    return after.covered or after.surplus >= 0 or before.surplus < after.surplus


def _paid(cash: int, positions: Positions, pending: Iterable[Pending]) -> bool:
    """Whether what an account buys is paid and what it sells is held, given that it owes nothing now."""
    held = dict(positions)
    owed = sum(entry.bids * entry.highest_bid for entry in pending)
    sold = any(entry.asks > held.get(entry.series, 0) for entry in pending)
    return not sold and ceil_divide(owed, QUANTITY_UNIT) <= cash
