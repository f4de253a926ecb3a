"""Standard margin: every short option on its own, or the maximum loss of its expiry if that is less. Pure.

Per expiry of an underlying, in cash (marks of long options count for nothing)::

    isolated = sum of short quantity · (mark + a share of spot that is less out of the money, within limits)
    maximum  = the most that the expiry's positions can lose at any settlement price; calls sold beyond those held
               lose without limit, and count as isolated on top
    required = min(isolated, maximum)

That is the rule of Derive's standard manager. It isn't sub-additive, for a spread added to a naked short may
lose its own, cheaper reading; it is never above all shorts on their own. Equity includes marks, so the marks
of all positions are added to what is required of it.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby

from rollup_node.engines.options.risk.combos import lowest_payoff
from rollup_node.engines.options.risk.parameters import RiskParameters
from rollup_node.engines.options.risk.pending import Pending, Requirement
from rollup_node.engines.options.risk.rows import SeriesRisk
from rollup_node.engines.options.values import QUANTITY_UNIT, ceil_divide

_Held = Sequence[tuple[int, SeriesRisk]]


def requirement(
    positions: Sequence[tuple[int, int]],
    risks: Mapping[int, SeriesRisk],
    pending: Sequence[Pending],
    parameters: RiskParameters,  # noqa: ARG001 - one signature for all modes
) -> Requirement:
    """What ``margin`` asks of an account in standard mode."""
    held = [(quantity, risks[series]) for series, quantity in positions]
    value = sum(quantity * risk.mark for quantity, risk in held)
    maintenance = _in_cash(held, initial=False)
    quantities = dict(positions)
    paid = 0
    for entry in pending:
        quantities[entry.series] = quantities.get(entry.series, 0) - entry.asks
        paid += entry.bids * entry.highest_bid
    worst = [(quantity, risks[series]) for series, quantity in quantities.items()]
    doubt = sum(-quantity * risk.contingency for quantity, risk in worst if quantity < 0)
    initial = _in_cash(worst, initial=True) + paid + doubt
    return Requirement(
        value,
        max(ceil_divide(maintenance + value, QUANTITY_UNIT), 0),
        max(ceil_divide(initial + value, QUANTITY_UNIT), 0),
    )


def _in_cash(held: _Held, *, initial: bool) -> int:
    """Micro-USD times quantity."""

    def expiry(one: tuple[int, SeriesRisk]) -> tuple[int, int]:
        return one[1].underlying, one[1].terms.expiry

    return sum(_of_expiry(list(some), initial) for _, some in groupby(sorted(held, key=expiry), key=expiry))


def _of_expiry(held: _Held, initial: bool) -> int:
    def alone(risk: SeriesRisk) -> int:
        return risk.mark + (risk.isolated_initial if initial else risk.isolated_maintenance)

    isolated = sum(-quantity * alone(risk) for quantity, risk in held if quantity < 0)
    lowest, slope = lowest_payoff([(quantity, risk.terms) for quantity, risk in held])
    dearest = max((alone(risk) for quantity, risk in held if quantity < 0 and risk.terms.is_call), default=0)
    return min(isolated, max(-lowest, 0) + max(-slope, 0) * dearest)
