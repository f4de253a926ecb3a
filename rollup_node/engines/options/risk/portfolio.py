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

from collections.abc import Mapping, Sequence
from struct import Struct
from typing import Final

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


def requirement(
    positions: Sequence[tuple[int, int]],
    risks: Mapping[int, SeriesRisk],
    pending: Sequence[Pending],
    parameters: RiskParameters,
) -> Requirement:
    """What ``margin`` asks of an account in portfolio mode."""
    value = doubt = 0
    losses: dict[int, int] = {}
    for series, quantity in positions:
        risk = risks[series]
        underlying = risk.underlying
        value += quantity * risk.mark
        if quantity < 0:
            losses[underlying] = losses.get(underlying, 0) - quantity * risk.short_lanes
            doubt -= quantity * risk.contingency
        else:
            losses[underlying] = losses.get(underlying, 0) - quantity * risk.lanes
    worst = maintenance = _worst(losses)
    if pending:
        held = dict(positions)
        for entry in pending:
            risk, quantity = risks[entry.series], held.get(entry.series, 0)
            underlying = risk.underlying
            shorts = max(entry.asks - quantity, 0) - max(-quantity, 0)
            lost = entry.bids * risk.falls + entry.asks * risk.rises
            lost += shorts * risk.short_floor << LANE_BITS * FLOOR_LANE
            losses[underlying] = losses.get(underlying, 0) + lost
            doubt += shorts * risk.contingency + entry.dearer_than(risk.mark)
        worst = _worst(losses)
    more = ceil_divide(doubt, QUANTITY_UNIT)
    return Requirement(value, maintenance, ceil_divide(worst * parameters.initial, PARTS) + more)


def _worst(losses: Mapping[int, int]) -> int:
    """Of each underlying the worst scenario or the floor; their sum in micro-USD, rounded up."""
    total = 0
    for lanes in losses.values():
        highest = max(_SPLIT((lanes + _MIDDLES).to_bytes(_LANE_BYTES * _LANES, "big")))
        total += max(int.from_bytes(highest, "big") - _MIDDLE, 0)
    return ceil_divide(total, QUANTITY_UNIT)
