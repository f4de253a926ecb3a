"""Portfolio margin: the worst of sixteen scenarios over all positions of an underlying. Pure.

::

    scan        = max over scenarios of  - sum q·change              (hedges count in full, within one underlying)
    floor       = sum of short quantity · 0.5 % of the forward       (what no scenario has)
    maintenance = sum over underlyings of max(scan, floor, 0)        rounded up
    initial     = 1.25 x the same with open orders at their worst    rounded up
                  + what these pay beyond the marks + (1 - confidence)·forward for each short, if confidence is low

Open orders at their worst are exact per scenario, not a guess at which side fills: a scenario's loss is a sum
over contracts, so its worst fills are those of every bid whose contract falls and of every offer whose
contract rises.

It is sub-additive: two accounts' requirements aren't less than that of both together. Every term is a maximum
of sums or grows with the size of the shorts, and rounding up keeps it.
"""

from collections.abc import Collection, Mapping, Sequence
from operator import is_not
from struct import Struct
from typing import Final, NamedTuple, TypeAlias

from rollup_node.engines.options.risk.parameters import RiskParameters
from rollup_node.engines.options.risk.pending import Pending, Requirement
from rollup_node.engines.options.risk.rows import FLOOR_LANE, LANE_BITS, SeriesRisk
from rollup_node.engines.options.values import PARTS, QUANTITY_UNIT, ceil_divide

_LANE_BYTES: Final = LANE_BITS // 8
_LANES: Final = FLOOR_LANE + 1
_MIDDLE: Final = 1 << LANE_BITS - 1
_MIDDLES: Final = sum(_MIDDLE << LANE_BITS * lane for lane in range(_LANES))
"""Makes every lane a number above zero, so that lanes don't borrow from each other and compare as bytes."""
_SPLIT: Final = Struct(f"{_LANE_BYTES}s" * _LANES).unpack
_new = tuple.__new__
"""Makes a NamedTuple for half of what calling it costs."""


_Position: TypeAlias = tuple[int, int]
_Positions: TypeAlias = tuple[_Position, ...]


class Sums(NamedTuple):
    """What the positions of an account come to, all of them sums over positions: so a trade changes them by what it changes, exactly."""

    positions: _Positions
    shorts: int
    """How many positions are short."""
    value: int
    """Marks, micro-USD times quantity; so is the next."""
    doubt: int
    """What the oracle's uncertainty adds to initial margin."""
    losses: Mapping[int, int]
    """Lanes by underlying."""
    maintenance: int
    """Micro-USD."""


_NOTHING: Final = Sums((), 0, 0, 0, {}, 0)


def sums_of(
    positions: Sequence[tuple[int, int]], risks: Mapping[int, SeriesRisk], kept: Sums | None = None
) -> Sums:
    """Sums of positions.

    Args:
        positions: Series and signed quantity; each series once.
        risks: Of every series in them.
        kept: Sums of other positions with the same risks, such as these a trade ago; what both have isn't summed again.
    """
    before = kept or _NOTHING
    positions = tuple(positions)
    if before.positions == positions:
        return before
    gone, come = _differences(before.positions, positions)
    if len(gone) + len(come) > len(positions):
        before, gone, come = _NOTHING, (), positions
    _, shorts, value, doubt, known, _ = before
    losses = dict(known)
    for changed, sign in ((gone, -1), (come, 1)):
        for series, quantity in changed:
            risk, signed = risks[series], sign * quantity
            underlying = risk.underlying
            value += signed * risk.mark
            if quantity < 0:
                shorts += sign
                doubt -= signed * risk.contingency
            lanes = risk.short_lanes if quantity < 0 else risk.lanes
            losses[underlying] = losses.get(underlying, 0) - signed * lanes
    return _new(Sums, (positions, shorts, value, doubt, losses, _worst(losses)))


def _differences(
    before: _Positions, after: _Positions
) -> tuple[Collection[_Position], Collection[_Position]]:
    """Positions that only the one has, and that only the other has."""
    if len(before) == len(
        after
    ):  # a trade changes one, as a rule, and leaves the others the very same objects
        others = list(map(is_not, before, after))
        if others.count(True) == 1:
            place = others.index(True)
            return (before[place],), (after[place],)
    one, other = set(before), set(after)
    return one - other, other - one


def requirement(
    positions: Sequence[tuple[int, int]],
    risks: Mapping[int, SeriesRisk],
    pending: Sequence[Pending],
    parameters: RiskParameters,
) -> Requirement:
    """What ``margin`` asks of an account in portfolio mode."""
    return requirement_of(sums_of(positions, risks), risks, pending, parameters)


class OpenSums:
    """What the open orders of an account come to at their worst, by series and in all; brought up to date by the series that differ.

    Lasts for as long as risks do.
    """

    __slots__ = ("doubt", "losses", "parts")

    def __init__(self) -> None:
        self.parts: dict[int, _Part] = {}
        """By series."""
        self.losses: dict[int, int] = {}
        """Lanes by underlying, of all parts."""
        self.doubt = 0
        """Of all parts."""

    def update(
        self, pending: Sequence[Pending], held: Mapping[int, int], risks: Mapping[int, SeriesRisk]
    ) -> None:
        """Of these orders, with these positions by series; who passes the same entries again says that they are the same."""
        parts = self.parts
        for entry in pending:
            series = entry[0]
            known = parts.get(series)
            if known is not None and known[0] is entry and (known[1] == held.get(series, 0) or not entry[2]):
                continue
            part = _part(entry, held.get(series, 0), risks[series])
            if known is not None:
                self._take_out(known)
            parts[series] = part
            _, _, underlying, lost, doubt = part
            self.losses[underlying] = self.losses.get(underlying, 0) + lost
            self.doubt += doubt
        if len(parts) > len(pending):
            for series in parts.keys() - {entry.series for entry in pending}:
                self._take_out(parts.pop(series))

    def _take_out(self, part: "_Part") -> None:
        _, _, underlying, lost, doubt = part
        self.losses[underlying] -= lost
        self.doubt -= doubt


_Part: TypeAlias = tuple[Pending, int, int, int, int]
"""Open orders and the position of one series; its underlying, and what they come to: lanes, and what oracle and limits add to initial margin."""


def _part(entry: Pending, quantity: int, risk: SeriesRisk) -> _Part:
    _, bids, asks, _, _ = entry
    lost, doubt = bids * risk.falls, entry.dearer_than(risk.mark)
    if asks:
        lost += asks * risk.rises
        shorts = max(asks - quantity, 0) - max(-quantity, 0)
        if shorts:
            lost += shorts * risk.short_floor << LANE_BITS * FLOOR_LANE
            doubt += shorts * risk.contingency
    return entry, quantity, risk.underlying, lost, doubt


def requirement_of(
    sums: Sums,
    risks: Mapping[int, SeriesRisk],
    pending: Sequence[Pending],
    parameters: RiskParameters,
    kept: OpenSums | None = None,
) -> Requirement:
    """The same of positions that are summed up already; ``kept``: of the account's open orders when they were summed up last."""
    positions, _, value, doubt, known, maintenance = sums
    worst = maintenance
    if pending:
        opened = OpenSums() if kept is None else kept
        opened.update(pending, dict(positions), risks)
        losses = dict(known)
        for underlying, lost in opened.losses.items():
            losses[underlying] = losses.get(underlying, 0) + lost
        doubt += opened.doubt
        worst = _worst(losses)
    initial = ceil_divide(worst * parameters.initial, PARTS)
    return _new(
        Requirement, (value, maintenance, initial + ceil_divide(doubt, QUANTITY_UNIT) if doubt else initial)
    )


def _worst(losses: Mapping[int, int]) -> int:
    """Of each underlying the worst scenario or the floor; their sum in micro-USD, rounded up."""
    total = 0
    for lanes in losses.values():
        highest = max(_SPLIT((lanes + _MIDDLES).to_bytes(_LANE_BYTES * _LANES, "big")))
        total += max(int.from_bytes(highest, "big") - _MIDDLE, 0)
    return ceil_divide(total, QUANTITY_UNIT)
