"""What a strategy needs of its owner's money: netted, separate and locked. Pure.

Own capital is the cash to bring: premiums paid less received, and what margin asks beyond what the options
are worth. In one account, or rollup by rollup, that is ``max(marks, maintenance)``; locked it is the marks and
what the short legs of each rollup require together with what is pledged to them, for there the marks count for
nothing, or what they require unlocked where that is less. Cash of one rollup doesn't pay on another, so no rollup's figure is below zero. What ``rollnet strategy
show --margin`` prints.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from rollup_node.engines.options.risk.combos import Legs, Lock, lock, required_together
from rollup_node.engines.options.risk.margin import Positions, Risks, margin
from rollup_node.engines.options.values import QUANTITY_UNIT, ceil_divide


@dataclass(frozen=True, slots=True)
class Part:
    """One rollup's own capital, micro-USD."""

    separate: int
    """Its legs margined against each other, and no others."""
    locked: int | None
    """``None`` for a strategy without a maximum loss."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Own capital, micro-USD."""

    netted: int
    """All legs in one account."""
    parts: tuple[Part, ...]
    """By rollup, in the order of their first legs."""

    @property
    def separate(self) -> int:
        """Each rollup by itself, all together."""
        return sum(part.separate for part in self.parts)

    @property
    def locked(self) -> int | None:
        """The same with the legs locked; ``None`` for a strategy without a maximum loss."""
        found = [part.locked for part in self.parts if part.locked is not None]
        return sum(found) if len(found) == len(self.parts) else None


def compare(legs: Legs, risks: Risks, rollups: Sequence[Hashable] | None = None) -> Comparison:
    """Own capital of a strategy, in portfolio mode.

    Args:
        legs: Signed quantities and series; each series once on a rollup.
        risks: Of each leg's series.
        rollups: Where each leg is; none says that each is on a rollup of its own.
    """
    where = list(range(len(legs)) if rollups is None else rollups)
    found = lock(legs)
    places = [[place for place, one in enumerate(where) if one == rollup] for rollup in dict.fromkeys(where)]
    everything: dict[int, int] = {}
    for quantity, terms in legs:
        everything[terms.series] = everything.get(terms.series, 0) + quantity
    return Comparison(
        netted=_own(list(everything.items()), risks),
        parts=tuple(_part(legs, risks, mine, found) for mine in places),
    )


def _part(legs: Legs, risks: Risks, places: Sequence[int], found: Lock | None) -> Part:
    positions = [(legs[place][1].series, legs[place][0]) for place in places]
    value = sum(quantity * risks[series].mark for series, quantity in positions)
    separate = _own(positions, risks)
    if found is None:
        return Part(separate, None)
    required = required_together(legs, found.pledges, [place for place in places if legs[place][0] < 0])
    abroad = {
        place: sum(one.quantity for one in found.pledges if one.long == place and one.short not in places)
        for place in places
    }
    kept = [(legs[place][1].series, legs[place][0] - abroad[place]) for place in places]
    alone = margin(0, [one for one in kept if one[1]], risks)
    cash = min(required, alone.maintenance - alone.equity)
    return Part(separate, max(cash + ceil_divide(value, QUANTITY_UNIT), 0))


def _own(positions: Positions, risks: Risks) -> int:
    found = margin(0, [one for one in positions if one[1]], risks)
    return max(found.equity, found.maintenance)
