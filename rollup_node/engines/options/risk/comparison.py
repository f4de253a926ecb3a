"""What a strategy needs of its owner's money: netted, each leg on its own rollup, and locked. Pure.

Own capital is the cash to bring: premiums paid less received, and what margin asks beyond what the options
are worth. In one account or leg by leg that is ``max(marks, maintenance)``; locked it is the marks and what
the rollups of the short legs require together, for there the marks count for nothing. What ``rollnet strategy
show --margin`` prints.
"""

from dataclasses import dataclass

from rollup_node.engines.options.risk.combos import Legs, lock
from rollup_node.engines.options.risk.margin import Positions, Risks, margin
from rollup_node.engines.options.values import QUANTITY_UNIT, ceil_divide


@dataclass(frozen=True, slots=True)
class Comparison:
    """Own capital, micro-USD."""

    netted: int
    separate: int
    locked: int | None
    """``None`` for a strategy without a maximum loss."""


def compare(legs: Legs, risks: Risks) -> Comparison:
    """Own capital of a strategy, in portfolio mode.

    Args:
        legs: Signed quantities and series, each series once.
        risks: Of each leg's series.
    """
    positions = [(terms.series, quantity) for quantity, terms in legs]
    value = sum(quantity * risks[series].mark for series, quantity in positions)
    locked = lock(legs)
    return Comparison(
        netted=_own(positions, risks),
        separate=sum(_own([position], risks) for position in positions),
        locked=None if locked is None else max(sum(locked.required) + ceil_divide(value, QUANTITY_UNIT), 0),
    )


def _own(positions: Positions, risks: Risks) -> int:
    found = margin(0, positions, risks)
    return max(found.equity, found.maintenance)
